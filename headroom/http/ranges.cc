#include "headroom/http/ranges.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "headroom/base/text.h"

namespace headroom::http {
namespace {

struct Spec {
  bool valid = false;
  std::optional<ByteRange> range;  // nothing: outside the body
};

Spec suffix(std::string_view length_text, std::uint64_t size) {
  const auto length = text::to_u64(length_text);
  if (!length) return {};
  if (*length == 0 || size == 0) return {true, std::nullopt};
  return {true, ByteRange{size - std::min(*length, size), size - 1}};
}

// "0-499", "500-" or "-500".
Spec spec_of(std::string_view text, std::uint64_t size) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return {};
  const std::string_view last_text = text.substr(dash + 1);
  if (dash == 0) return suffix(last_text, size);
  const auto first = text::to_u64(text.substr(0, dash));
  const auto last = last_text.empty() ? std::optional(UINT64_MAX) : text::to_u64(last_text);
  if (!first || !last || *last < *first) return {};
  if (*first >= size) return {true, std::nullopt};
  return {true, ByteRange{*first, std::min(*last, size - 1)}};
}

bool overlap(std::vector<ByteRange> parts) {
  std::ranges::sort(parts, {}, &ByteRange::first);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].first <= parts[i - 1].last) return true;
  }
  return false;
}

}  // namespace

RangeAnswer parse_range(std::string_view range, std::uint64_t size, const RangeLimits& limits) {
  using Kind = RangeAnswer::Kind;
  constexpr std::string_view kUnit = "bytes=";
  if (!text::equal_ignoring_case(range.substr(0, kUnit.size()), kUnit)) return {};
  RangeAnswer answer;
  std::size_t specs = 0;
  for (const std::string_view text : text::split(range.substr(kUnit.size()), ',')) {
    if (text.empty()) continue;
    const Spec spec = spec_of(text, size);
    if (!spec.valid || ++specs > limits.parts) return {};
    if (spec.range) answer.parts.push_back(*spec.range);
  }
  if (specs == 0 || overlap(answer.parts)) return {};
  answer.kind = answer.parts.empty() ? Kind::unsatisfiable : Kind::partial;
  return answer;
}

std::string content_range(const ByteRange& part, std::uint64_t size) {
  return fmt::format("bytes {}-{}/{}", part.first, part.last, size);
}
std::string content_range_unsatisfiable(std::uint64_t size) {
  return fmt::format("bytes */{}", size);
}

Multipart::Multipart(std::vector<ByteRange> parts, std::uint64_t size,
                     std::string_view content_type, std::string_view boundary)
    : parts_(std::move(parts)), size_(size), content_type_(content_type), boundary_(boundary) {}

std::string Multipart::content_type() const {
  return "multipart/byteranges; boundary=" + boundary_;
}

std::uint64_t Multipart::content_length() const {
  std::uint64_t sum = tail().size();
  for (std::size_t i = 0; i < parts_.size(); ++i) sum += head(i).size() + parts_[i].size();
  return sum;
}

std::string Multipart::head(std::size_t i) const {
  const std::string type =
      content_type_.empty() ? "" : fmt::format("Content-Type: {}\r\n", content_type_);
  return fmt::format("{}--{}\r\n{}Content-Range: {}\r\n\r\n", i == 0 ? "" : "\r\n", boundary_, type,
                     content_range(parts_[i], size_));
}

std::string Multipart::tail() const { return fmt::format("\r\n--{}--\r\n", boundary_); }

}  // namespace headroom::http
