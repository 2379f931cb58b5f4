// headroom/coding/eligible.h - which answers are worth encoding, and what changes in the head of one that is encoded or decoded.
//
// Worker: pure. Nothing here decides by the client: that is accept.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headroom::coding {

// Whether bodies of this media type get smaller: text/*, JSON, XML, JavaScript, SVG, WebAssembly, anything +json, +xml or +text, and fonts
// and images that carry no compression of their own. Parameters and letter case do not matter. Unknown types: no.
[[nodiscard]] bool shrinks(std::string_view content_type);

// Whether the reader waits for each piece: text/event-stream, NDJSON and JSON sequences. Such a stream is flushed at each piece.
[[nodiscard]] bool is_event_stream(std::string_view content_type);

struct Answer {
  std::uint16_t status = 200;
  std::string_view content_type;
  std::string_view content_encoding;  // as the server sent it
  bool has_content_range = false;
  bool no_transform = false;            // Cache-Control (RFC 9111 5.2.2.6)
  std::optional<std::uint64_t> length;  // of the body, where it is known
};

inline constexpr std::uint64_t kLeastBytes = 1024;

// Whether the answer is one that we encode for those who accept it. It then says Vary: Accept-Encoding also where it goes out plain.
[[nodiscard]] bool is_eligible(const Answer& answer, std::uint64_t least_bytes = kLeastBytes);

// The entity tag of a body that we changed: weak (RFC 9110 8.8.1). "" for what is no entity tag: send none.
[[nodiscard]] std::string weakened(std::string_view etag);

// The Vary value with `name` in it; as it is where "*" or the name (in any letter case) stands in it already.
[[nodiscard]] std::string merged_vary(std::string_view vary,
                                      std::string_view name = "Accept-Encoding");

// Fields that describe the bytes sent: they go when the coding changes. Content-Length, Content-MD5, Digest, Content-Digest,
// Repr-Digest, Accept-Ranges, Content-Encoding (the new one is written by the caller).
[[nodiscard]] bool goes_with_coding(std::string_view field_name);

}  // namespace headroom::coding
