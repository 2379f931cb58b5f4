// headroom/base/address.h - IP addresses and networks as values; no sockets, no names.
//
// An IPv4 address that comes as IPv4-mapped IPv6 (::ffff:1.2.3.4) is the IPv4 address: one client has one value.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "headroom/base/error.h"

namespace headroom {

class IpAddress {
 public:
  using Bytes4 = std::array<std::uint8_t, 4>;
  using Bytes16 = std::array<std::uint8_t, 16>;

  constexpr IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(const Bytes4& bytes);
  static IpAddress v6(const Bytes16& bytes);
  // "1.2.3.4", "2001:db8::1"; no brackets, port, zone, or short or octal forms.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] bool is_v4() const { return v4_; }
  // Bytes in network order: 4 or 16.
  [[nodiscard]] std::span<const std::uint8_t> bytes() const {
    return std::span(bytes_).subspan(v4_ ? 12 : 0);
  }
  // All 16, IPv4 as IPv4-mapped.
  [[nodiscard]] const Bytes16& mapped() const { return bytes_; }
  [[nodiscard]] bool is_loopback() const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  // IPv4 is kept as IPv4-mapped, so that comparing and matching are the same for both.
  Bytes16 bytes_{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  bool v4_ = true;
};

// "1.2.3.4", "2001:db8::1" (RFC 5952).
[[nodiscard]] std::string to_string(const IpAddress& address);

// The address of "1.2.3.4", "1.2.3.4:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80".
[[nodiscard]] std::optional<IpAddress> parse_address_with_port(std::string_view text);

class Cidr {
 public:
  // "10.0.0.0/8", "fd00::/8", or a lone address. Bits set behind the prefix are refused: likely a typing error.
  [[nodiscard]] static Result<Cidr> parse(std::string_view text);

  [[nodiscard]] bool contains(const IpAddress& address) const;
  [[nodiscard]] const IpAddress& address() const { return address_; }
  // As written: 0 to 32 for IPv4, 0 to 128 for IPv6.
  [[nodiscard]] unsigned prefix() const { return address_.is_v4() ? prefix_ - 96 : prefix_; }

  bool operator==(const Cidr&) const = default;

 private:
  IpAddress address_;
  unsigned prefix_ = 128;  // of the mapped form
};

[[nodiscard]] std::string to_string(const Cidr& cidr);
[[nodiscard]] bool contains_any(std::span<const Cidr> cidrs, const IpAddress& address);

}  // namespace headroom
