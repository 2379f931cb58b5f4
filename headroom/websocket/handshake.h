// headroom/websocket/handshake.h - the opening handshake of RFC 6455 (section 4.2), a server's side, and who may open from where.
//
// Owns: nothing; views into the request's head. Worker: any.
// Invariants: (1) a request is taken only when every rule of 4.2.1 holds; (2) an origin is compared whole: scheme, host and port; `null`
//   and what does not parse is no origin anybody allowed.
// Limits: those of the HTTP parser.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/http/message.h"
#include "headroom/websocket/decoder.h"

namespace headroom::websocket {

struct Handshake {
  std::string_view key;
  std::vector<std::string_view> subprotocols;  // offered, in the client's order
  bool deflate = false;                        // offered as we would take it (deflate.h)
};

// Why a request is no handshake we can answer; `fields` are lines for the answer (426: the version we speak).
struct HandshakeRefusal {
  unsigned status = 400;
  std::string_view reason;
  std::string_view fields{};
};
[[nodiscard]] std::expected<Handshake, HandshakeRefusal> read_handshake(
    const http::RequestHead& head);

// Whether it asks for a WebSocket at all.
[[nodiscard]] bool wants_websocket(const http::RequestHead& head);

// The 101 head, whole. `subprotocol` must be one of those offered, or empty; compression only where it was offered.
[[nodiscard]] std::string accept(const Handshake& handshake, std::string_view subprotocol = {},
                                 Compression compression = Compression::none);
// Sec-WebSocket-Accept for a key.
[[nodiscard]] std::string accept_key(std::string_view key);

// "https://app.example:8443": the same origin as the request's own (its Host, and whether it came by TLS), or one of `allowed`, where "*"
// is any. A request without Origin does not come from a page and is let in.
[[nodiscard]] bool may_open(const http::RequestHead& head, bool secure,
                            const std::vector<std::string>& allowed);

}  // namespace headroom::websocket
