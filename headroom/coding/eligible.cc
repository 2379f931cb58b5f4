#include "headroom/coding/eligible.h"

#include <algorithm>
#include <array>
#include <span>

#include "headroom/base/text.h"

namespace headroom::coding {
namespace {

using text::equal_ignoring_case;

constexpr std::array<std::string_view, 33> kShrinking{
    "application/atom+xml",
    "application/dash+xml",
    "application/ecmascript",
    "application/geo+json",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/json-seq",
    "application/jsonl",
    "application/manifest+json",
    "application/ndjson",
    "application/rss+xml",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-mpegurl",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-www-form-urlencoded",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
    "font/collection",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
    "image/x-icon",
    "model/gltf+json",
};

constexpr std::array<std::string_view, 6> kEventStreams{
    "text/event-stream",    "application/x-ndjson",    "application/ndjson",
    "application/json-seq", "application/stream+json", "application/jsonl",
};

constexpr std::array<std::string_view, 7> kOfTheBytes{
    "Content-Length", "Content-Encoding", "Content-MD5",   "Digest",
    "Content-Digest", "Repr-Digest",      "Accept-Ranges",
};

std::string_view media_type(std::string_view content_type) {
  return text::trimmed(content_type.substr(0, content_type.find(';')));
}

bool begins_with(std::string_view text, std::string_view prefix) {
  return equal_ignoring_case(text.substr(0, prefix.size()), prefix);
}
bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() > suffix.size() &&
         equal_ignoring_case(text.substr(text.size() - suffix.size()), suffix);
}

bool is_one_of(std::span<const std::string_view> names, std::string_view text) {
  return std::ranges::any_of(
      names, [text](std::string_view name) { return equal_ignoring_case(name, text); });
}

bool has_body_to_encode(std::uint16_t status) {
  return status >= 200 && status != 204 && status != 205 && status != 206 && status != 304;
}

// '"' *etagc '"', perhaps behind "W/".
bool is_opaque_tag(std::string_view tag) {
  return tag.size() >= 2 && tag.front() == '"' && tag.back() == '"' &&
         !tag.substr(1, tag.size() - 2).contains('"');
}

}  // namespace

bool shrinks(std::string_view content_type) {
  const std::string_view type = media_type(content_type);
  return begins_with(type, "text/") || ends_with(type, "+json") || ends_with(type, "+xml") ||
         ends_with(type, "+text") || is_one_of(kShrinking, type);
}

bool is_event_stream(std::string_view content_type) {
  return is_one_of(kEventStreams, media_type(content_type));
}

bool is_eligible(const Answer& answer, std::uint64_t least_bytes) {
  const std::string_view coding = text::trimmed(answer.content_encoding);
  const bool is_plain = coding.empty() || equal_ignoring_case(coding, "identity");
  return is_plain && has_body_to_encode(answer.status) && !answer.has_content_range &&
         !answer.no_transform && answer.length.value_or(least_bytes) >= least_bytes &&
         shrinks(answer.content_type);
}

std::string weakened(std::string_view etag) {
  const std::string_view tag = text::trimmed(etag);
  if (tag.starts_with("W/")) return std::string(is_opaque_tag(tag.substr(2)) ? tag : "");
  return is_opaque_tag(tag) ? "W/" + std::string(tag) : std::string();
}

std::string merged_vary(std::string_view vary, std::string_view name) {
  const std::string_view known = text::trimmed(vary);
  if (known.empty()) return std::string(name);
  for (const std::string_view part : text::split(known, ',')) {
    if (part == "*" || equal_ignoring_case(part, name)) return std::string(known);
  }
  return std::string(known) + ", " + std::string(name);
}

bool goes_with_coding(std::string_view field_name) { return is_one_of(kOfTheBytes, field_name); }

}  // namespace headroom::coding
