// headroom/base/text.h - ASCII text as the protocols mean it; no locale.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::text {

[[nodiscard]] constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
[[nodiscard]] std::string lowered(std::string_view text);
[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b);

// Without the spaces and tabs at both ends.
[[nodiscard]] std::string_view trimmed(std::string_view text);

// The parts between separators, trimmed; empty parts are kept. "" has no part.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);

// All of `text` as a decimal number (digits only), or nothing.
[[nodiscard]] std::optional<std::uint64_t> to_u64(std::string_view text);

// The candidate with the smallest edit distance, if it is at most a third of the longer text.
[[nodiscard]] std::optional<std::string_view> nearest(std::string_view text,
                                                      std::span<const std::string> candidates);

// `size` random bytes of the kernel as lower-case hexadecimal: ids and secrets.
[[nodiscard]] std::string random_hex(std::size_t size_bytes);
[[nodiscard]] std::string hex(std::string_view bytes);

}  // namespace headroom::text
