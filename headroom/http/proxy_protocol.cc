#include "headroom/http/proxy_protocol.h"

#include <algorithm>
#include <array>
#include <optional>

#include "headroom/base/text.h"

namespace headroom::http {
namespace {

constexpr std::string_view kV1Start = "PROXY ";
constexpr std::string_view kV2Start("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kV2Fixed = 16;

constexpr std::uint8_t kTcp4 = 0x11;
constexpr std::uint8_t kTcp6 = 0x21;

Parsed refused(const char* reason) { return {Parsed::State::refused, 0, {400, reason}}; }
Parsed complete(std::size_t size) { return {Parsed::State::complete, size, {}}; }

// The word up to the next space, which is cut off with it.
std::string_view next_word(std::string_view& line) {
  const auto space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

// Decimal without leading zeros, as the specification asks.
std::optional<std::uint16_t> port_of(std::string_view text) {
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  const auto number = text::to_u64(text);
  if (text.size() > 5 || !number || *number > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

Parsed parse_v1_line(std::string_view line, std::size_t size, ProxyAddresses& addresses) {
  line.remove_prefix(kV1Start.size());
  const std::string_view family = next_word(line);
  if (family == "UNKNOWN") return complete(size);
  if (family != "TCP4" && family != "TCP6") return refused("bad PROXY family");
  const bool has_ports = std::ranges::count(line, ' ') == 3;
  const std::string_view source_text = next_word(line);
  const std::string_view destination_text = next_word(line);
  const bool v6 = source_text.contains(':') && destination_text.contains(':');
  const bool v4 = !source_text.contains(':') && !destination_text.contains(':');
  const auto source = IpAddress::parse(source_text);
  const auto destination = IpAddress::parse(destination_text);
  const auto source_port = port_of(next_word(line));
  const auto destination_port = port_of(line);
  const bool right_family = family == "TCP4" ? v4 : v6;
  if (!has_ports || !right_family || !source || !destination || !source_port || !destination_port) {
    return refused("bad PROXY addresses");
  }
  addresses = {true, *source, *destination, *source_port, *destination_port};
  return complete(size);
}

Parsed parse_v1(std::string_view input, ProxyAddresses& addresses) {
  const std::string_view head = input.substr(0, kMaxV1Bytes);
  const auto stop = std::ranges::find_if(head, [](char c) { return c < 0x20 || c == 0x7f; });
  const auto size = static_cast<std::size_t>(stop - head.begin());
  if (size == head.size())
    return head.size() < kMaxV1Bytes ? Parsed{} : refused("PROXY header too long");
  if (head[size] != '\r') return refused("control character");
  if (size + 1 == kMaxV1Bytes) return refused("PROXY header too long");
  if (size + 1 == head.size()) return {};
  if (head[size + 1] != '\n') return refused("control character");
  return parse_v1_line(head.substr(0, size), size + 2, addresses);
}

std::uint8_t byte_at(std::string_view text, std::size_t at) {
  return static_cast<std::uint8_t>(text[at]);
}
std::uint16_t u16_at(std::string_view text, std::size_t at) {
  return static_cast<std::uint16_t>((byte_at(text, at) << 8U) | byte_at(text, at + 1));
}
IpAddress address_at(std::string_view text, std::size_t at, bool v6) {
  IpAddress::Bytes4 four{};
  IpAddress::Bytes16 sixteen{};
  if (v6) {
    for (std::size_t i = 0; i < 16; ++i) sixteen[i] = byte_at(text, at + i);
    return IpAddress::v6(sixteen);
  }
  for (std::size_t i = 0; i < 4; ++i) four[i] = byte_at(text, at + i);
  return IpAddress::v4(four);
}

Parsed parse_v2_block(std::string_view block, std::uint8_t family, std::size_t size,
                      ProxyAddresses& addresses) {
  if (family != kTcp4 && family != kTcp6) return complete(size);
  const std::size_t width = family == kTcp6 ? 16 : 4;
  if (block.size() < 2 * width + 4) return refused("PROXY header too short");
  addresses = {true, address_at(block, 0, family == kTcp6),
               address_at(block, width, family == kTcp6), u16_at(block, 2 * width),
               u16_at(block, 2 * width + 2)};
  return complete(size);
}

Parsed parse_v2(std::string_view input, ProxyAddresses& addresses) {
  if (input.size() > 12) {
    const std::uint8_t command = byte_at(input, 12);
    if (command != 0x20 && command != 0x21) return refused("bad PROXY version or command");
  }
  if (input.size() > 13) {
    const std::uint8_t family = byte_at(input, 13);
    if ((family >> 4U) > 3 || (family & 15U) > 2) return refused("bad PROXY family");
  }
  if (input.size() < kV2Fixed) return {};
  const std::size_t size = kV2Fixed + u16_at(input, 14);
  if (size > kMaxV2Bytes) return refused("PROXY header too long");
  if (input.size() < size) return {};
  if (byte_at(input, 12) == 0x20) return complete(size);
  return parse_v2_block(input.substr(kV2Fixed, size - kV2Fixed), byte_at(input, 13), size,
                        addresses);
}

bool may_start_with(std::string_view input, std::string_view start) {
  const std::size_t size = std::min(input.size(), start.size());
  return input.substr(0, size) == start.substr(0, size);
}

void append_u16(std::string& out, std::size_t value) {
  out += static_cast<char>(value >> 8U);
  out += static_cast<char>(value & 255U);
}

}  // namespace

Parsed parse_proxy_header(std::string_view input, ProxyAddresses& addresses) {
  addresses = {};
  if (input.empty()) return {};
  if (may_start_with(input, kV2Start)) {
    return input.size() < kV2Start.size() ? Parsed{} : parse_v2(input, addresses);
  }
  if (!may_start_with(input, kV1Start)) return refused("no PROXY header");
  return input.size() < kV1Start.size() ? Parsed{} : parse_v1(input, addresses);
}

void append_proxy_v1(std::string& out, const ProxyAddresses& addresses) {
  if (!addresses.known) {
    out += "PROXY UNKNOWN\r\n";
    return;
  }
  const bool v4 = addresses.source.is_v4() && addresses.destination.is_v4();
  const auto text_of = [v4](const IpAddress& address) {
    return (!v4 && address.is_v4() ? "::ffff:" : "") + to_string(address);
  };
  out += v4 ? "PROXY TCP4 " : "PROXY TCP6 ";
  out += text_of(addresses.source) + " " + text_of(addresses.destination) + " " +
         std::to_string(addresses.source_port) + " " + std::to_string(addresses.destination_port) +
         "\r\n";
}

void append_proxy_v2(std::string& out, const ProxyAddresses& addresses) {
  out += kV2Start;
  if (!addresses.known) {
    out.append("\x20\x00\x00\x00", 4);
    return;
  }
  const bool v4 = addresses.source.is_v4() && addresses.destination.is_v4();
  out += '\x21';
  out += static_cast<char>(v4 ? kTcp4 : kTcp6);
  append_u16(out, v4 ? 12 : 36);
  for (const IpAddress* address : {&addresses.source, &addresses.destination}) {
    const auto bytes = std::span(address->mapped()).subspan(v4 ? 12 : 0);
    out.append(bytes.begin(), bytes.end());
  }
  append_u16(out, addresses.source_port);
  append_u16(out, addresses.destination_port);
}

}  // namespace headroom::http
