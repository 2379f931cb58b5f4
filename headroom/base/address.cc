#include "headroom/base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "headroom/base/text.h"

namespace headroom {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// The first `bits` bits of both are the same.
bool same_prefix(const IpAddress::Bytes16& a, const IpAddress::Bytes16& b, unsigned bits) {
  const unsigned whole = bits / 8;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  const unsigned rest = bits % 8;
  return rest == 0 || ((a[whole] ^ b[whole]) >> (8U - rest)) == 0;
}

bool is_zero_behind(const IpAddress::Bytes16& bytes, unsigned bits) {
  for (unsigned bit = bits; bit < 128; ++bit) {
    if (((bytes[bit / 8] >> (7U - bit % 8U)) & 1U) != 0) return false;
  }
  return true;
}

}  // namespace

IpAddress IpAddress::v4(const Bytes4& bytes) {
  IpAddress address;
  std::ranges::copy(bytes, address.bytes_.begin() + 12);
  return address;
}

IpAddress IpAddress::v6(const Bytes16& bytes) {
  IpAddress address;
  address.bytes_ = bytes;
  address.v4_ = std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size() || text.contains('\0')) return std::nullopt;
  std::ranges::copy(text, terminated.begin());
  if (text.contains(':')) {
    Bytes16 bytes{};
    if (inet_pton(AF_INET6, terminated.data(), bytes.data()) != 1) return std::nullopt;
    return v6(bytes);
  }
  Bytes4 bytes{};
  if (inet_pton(AF_INET, terminated.data(), bytes.data()) != 1) return std::nullopt;
  return v4(bytes);
}

bool IpAddress::is_loopback() const {
  static constexpr Bytes16 kV6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return v4_ ? bytes_[12] == 127 : bytes_ == kV6;
}

std::string to_string(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.is_v4()) {  // written for every request: inet_ntop formats through printf
    char* end = text.data();
    for (const std::uint8_t byte : address.bytes()) {
      if (end != text.data()) *end++ = '.';
      end = std::to_chars(end, text.data() + text.size(), byte).ptr;
    }
    return {text.data(), end};
  }
  inet_ntop(AF_INET6, address.bytes().data(), text.data(), text.size());
  return text.data();
}

std::optional<IpAddress> parse_address_with_port(std::string_view text) {
  const auto is_port = [](std::string_view port) {
    const auto number = text::to_u64(port);
    return port.size() <= 5 && number && *number <= 65535;
  };
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || !text.substr(0, close).contains(':'))
      return std::nullopt;
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && (rest.front() != ':' || !is_port(rest.substr(1)))) return std::nullopt;
    return IpAddress::parse(text.substr(1, close - 1));
  }
  const auto colon = text.find(':');
  const bool v4_and_port =
      colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos;
  if (!v4_and_port) return IpAddress::parse(text);
  if (!is_port(text.substr(colon + 1))) return std::nullopt;
  return IpAddress::parse(text.substr(0, colon));
}

Result<Cidr> Cidr::parse(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Errc::invalid, "'" + std::string(text) + "' " + std::string(why));
  };
  const auto slash = text.find('/');
  const std::string_view address_text = text.substr(0, slash);
  const auto address = IpAddress::parse(address_text);
  if (!address) return wrong("is not an address or a network such as 10.0.0.0/8");
  Cidr cidr;
  cidr.address_ = *address;
  if (slash == std::string_view::npos) return cidr;
  const auto bits = text::to_u64(text.substr(slash + 1));
  const bool written_v4 = !address_text.contains(':');
  if (!bits || *bits > (written_v4 ? 32U : 128U)) return wrong("has a bad prefix length");
  cidr.prefix_ = static_cast<unsigned>(*bits) + (written_v4 ? 96U : 0U);
  if (address->is_v4() && cidr.prefix_ < 96) return wrong("mixes IPv4 and IPv6");
  if (!is_zero_behind(address->mapped(), cidr.prefix_))
    return wrong("has bits set behind its prefix");
  return cidr;
}

bool Cidr::contains(const IpAddress& address) const {
  return address.is_v4() == address_.is_v4() &&
         same_prefix(address.mapped(), address_.mapped(), prefix_);
}

std::string to_string(const Cidr& cidr) {
  return to_string(cidr.address()) + "/" + std::to_string(cidr.prefix());
}

bool contains_any(std::span<const Cidr> cidrs, const IpAddress& address) {
  return std::ranges::any_of(cidrs, [&](const Cidr& cidr) { return cidr.contains(address); });
}

}  // namespace headroom
