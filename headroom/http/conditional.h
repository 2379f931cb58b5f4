// headroom/http/conditional.h - validators: what a client's conditions say about a stored response (RFC 9110 13), and how we ask a server
// whether ours is still good and take over its 304 (RFC 9111 4.3).
//
// Worker: pure; views into the heads given.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "headroom/http/message.h"
#include "headroom/http/writer.h"

namespace headroom::http {

// Of a stored response.
struct Validators {
  std::string_view etag;           // with its quotes and W/; "" for none
  std::string_view last_modified;  // as it came; "" for none
  std::int64_t date = 0;           // Freshness::date

  [[nodiscard]] static Validators of(const ResponseHead& head, std::int64_t date);
};

// Entity tags, RFC 9110 8.8.3.2. Both as they stand in fields.
[[nodiscard]] bool same_strongly(std::string_view a, std::string_view b);
[[nodiscard]] bool same_weakly(std::string_view a, std::string_view b);

enum class Condition : std::uint8_t {
  holds,         // answer as if there were none (a Range still counts if range_applies)
  not_modified,  // 304
  failed         // 412
};

// By the precedence of RFC 9110 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else If-Modified-Since (GET and HEAD only; a date
// that is none is ignored). Without Last-Modified the stored Date stands for it (RFC 9111 4.3.2). For a stored 2xx only; for others conditions
// do not count (13.2.1).
[[nodiscard]] Condition evaluate(const RequestHead& request, const Validators& stored);

// Whether the request has a Range that may be answered with a part: GET, and If-Range, where there is one, is the strong tag or exactly the
// Last-Modified of what is stored, a date that is strong (a minute before Date, RFC 9110 8.8.2.2).
[[nodiscard]] bool range_applies(const RequestHead& request, const Validators& stored);

// Whether a 304 to the client carries this stored field (RFC 9110 15.4.5): all but those about a content that is not sent.
[[nodiscard]] bool goes_into_304(const Field& field);

// Writes If-None-Match and If-Modified-Since for a stored response; false when it has no validator. The client's own conditions are not to be
// forwarded beside them (is_condition).
bool write_validation(const Validators& stored, HeadWriter& to);
[[nodiscard]] constexpr bool is_condition(Name name) {
  return name == Name::if_match || name == Name::if_none_match || name == Name::if_modified_since ||
         name == Name::if_unmodified_since || name == Name::if_range;
}

// Whether the server's 304 is about what is stored (RFC 9111 4.3.4): its strong tag, weak tag or Last-Modified is ours, or it names none. If
// not, drop what is stored and ask anew without conditions.
[[nodiscard]] bool confirms(const ResponseHead& not_modified, const Validators& stored);

// Whether a HEAD's answer is about what is stored (RFC 9111 4.3.5): same status, and where it names them the same length and validators. Then it
// updates what is stored as a 304 does; if not, what is stored is stale.
[[nodiscard]] bool confirms_by_head(const ResponseHead& answer, const ResponseHead& stored);

// Whether a field of a 304 replaces the stored one (RFC 9111 3.2): not the hop-by-hop and framing ones, nor those that describe the bytes that
// we have (Content-Encoding, Content-Range, the digests), nor ETag (it is the same, or weaker).
[[nodiscard]] bool updates_stored(const Field& field);

// Writes the fields of the merged head: what is stored, each name that the 304 updates replaced by all of the 304's; the
// stored Age goes. No start line, no end.
void write_merged(const ResponseHead& stored, const ResponseHead& not_modified, HeadWriter& to);

}  // namespace headroom::http
