// headroom/base/address.h - IP addresses as values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headroom {

class IpAddress {
 public:
  IpAddress() = default;
  static IpAddress from_v4(const std::uint8_t* four);
  static IpAddress from_v6(const std::uint8_t* sixteen);
  static std::optional<IpAddress> parse(std::string_view text);
  bool is_v4() const { return v4_; }
  std::array<std::uint8_t, 4> v4_bytes() const { return {bytes_[12], bytes_[13], bytes_[14], bytes_[15]}; }
  std::array<std::uint8_t, 16> v6_bytes() const { return bytes_; }
  std::string to_string() const;
  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  bool v4_ = false;
};

}  // namespace headroom
