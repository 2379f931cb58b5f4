#include "headroom/coding/coding.h"

#include "headroom/base/text.h"

namespace headroom::coding {
namespace {

constexpr std::array<std::string_view, kCodings> kTokens{"identity", "gzip", "br", "zstd"};

}  // namespace

std::string_view to_string(Coding coding) { return kTokens[static_cast<std::size_t>(coding)]; }

std::optional<Coding> coding_of(std::string_view token) {
  for (std::size_t i = 0; i < kCodings; ++i) {
    if (text::equal_ignoring_case(token, kTokens[i])) return static_cast<Coding>(i);
  }
  if (text::equal_ignoring_case(token, "x-gzip")) return Coding::gzip;
  return std::nullopt;
}

std::optional<Coding> sole_coding(std::string_view content_encoding) {
  const std::string_view token = text::trimmed(content_encoding);
  return token.empty() ? Coding::identity : coding_of(token);
}

}  // namespace headroom::coding
