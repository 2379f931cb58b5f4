// headroom/base/bytes.h - sizes in bytes, and memory as bytes.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace headroom {

// A number of bytes, so that a setting or a limit cannot be mistaken for a count.
struct Bytes {
  std::uint64_t count = 0;

  constexpr auto operator<=>(const Bytes&) const = default;
  static constexpr Bytes kib(std::uint64_t n) { return {n << 10U}; }
  static constexpr Bytes mib(std::uint64_t n) { return {n << 20U}; }
};

// "256MiB", "10KiB", "17B": the largest unit that divides it.
[[nodiscard]] std::string to_string(Bytes bytes);

using ByteView = std::span<const std::byte>;

[[nodiscard]] inline std::string_view text_of(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};  // char may alias
}
[[nodiscard]] inline ByteView bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace headroom
