// headroom/http/parser.h - the strict HTTP/1.x head parser: bytes to RequestHead or ResponseHead, or a refusal.
//
// Owns: nothing; the caller owns the bytes, the ScanState and the head. Nothing is allocated once `fields` has grown.
// Worker: pure functions of their arguments.
// Invariants: (1) the outcome does not depend on how the input was split: what is refused whole is refused, at the latest, when its last
//   byte arrives; (2) no byte is scanned twice for its line's end, so a head that drips in costs as much as a whole one; (3) what is
//   accepted has one reading: any doubt about where a message ends refuses it and its connection must close.
// Limits: HeadLimits. At most 32 options in the Connection fields.
//
// Refused (RFC 9110, 9112; edge.md section 6), beyond the limits:
//   any control byte but TAB, bare CR or LF, a folded line, white space before the colon, a name that is no token;
//   requests: Content-Length with Transfer-Encoding or twice or not 1*DIGIT; Transfer-Encoding other than exactly `chunked` or in
//     HTTP/1.0; no Host (1.1), two, or one that is no host[:port]; a target with space, '#' or non-ASCII, of a form its method must not
//     use, with userinfo or another authority than Host; Expect other than 100-continue; a version other than 1.0 and 1.1;
//   responses: the same framing rules; 1xx with a body; 101 without its Upgrade.
// One empty line before a request line is skipped (RFC 9112 2.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "headroom/http/message.h"

namespace headroom::http {

struct HeadLimits {
  std::size_t head_bytes = 32 * 1024;  // whole head with its last empty line: 431
  std::size_t line_bytes = 8 * 1024;   // request line without its end: 414
  std::size_t fields = 100;            // 431
};

// How far the parsing of one head has come. A new one (`= {}`) for each message.
struct ScanState {
  const char* base =
      nullptr;              // where the input began at the last call, only to notice that it moved
  std::size_t line = 0;     // start of the line not yet whole
  std::size_t scanned = 0;  // no end of line before this
  enum class Phase : std::uint8_t { start, first_line, fields } phase = Phase::start;
};

// Why a message is refused: the status to answer (502 for an upstream's message) and a short reason. Status 0: not refused.
struct Refusal {
  std::uint16_t status = 0;
  const char* reason = "";

  explicit operator bool() const { return status != 0; }
};

struct Parsed {
  enum class State : std::uint8_t { incomplete, complete, refused };
  State state = State::incomplete;
  std::size_t size = 0;  // complete: the bytes of the head; the body begins there
  Refusal refusal;       // refused
};

// `input` begins at the first byte of the message and grows from call to call, while `state` and `head` are kept; it may move between
// calls (the views follow). After refused nothing may be read from `head`, and the connection must close.
[[nodiscard]] Parsed parse_request_head(std::string_view input, const HeadLimits& limits,
                                        ScanState& state, RequestHead& head);

// `request_method` is that of the request answered; it decides whether there is a body (HEAD, CONNECT). A 1xx is a head of its own: the
// caller parses the next with a new state.
[[nodiscard]] Parsed parse_response_head(std::string_view input, const HeadLimits& limits,
                                         ScanState& state, Method request_method,
                                         ResponseHead& head);

// What Headroom never forwards though it is well formed: CONNECT and TRACE (405).
[[nodiscard]] Refusal refusal_by_policy(const RequestHead& head);

// host[:port]: letters, digits and "-._~", or a bracketed IPv6 address; port 1 to 65535. Narrower than RFC 3986: no percent-escapes, no
// sub-delimiters, no empty host or port.
[[nodiscard]] bool is_authority(std::string_view text);
// 1*tchar of RFC 9110 5.6.2.
[[nodiscard]] bool is_token(std::string_view text);
// No control byte but TAB.
[[nodiscard]] bool is_field_value(std::string_view text);

// The trailer section behind a last chunk, whole, each line with its end, without the empty last line. Appends to `fields`. Framing
// and routing names (Content-Length, Transfer-Encoding, Host) are refused; others that must not be trailers are dropped (chunked.h).
[[nodiscard]] Refusal parse_trailers(std::string_view section, std::size_t max_fields,
                                     std::vector<Field>& fields);

}  // namespace headroom::http
