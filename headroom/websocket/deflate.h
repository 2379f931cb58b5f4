// headroom/websocket/deflate.h - permessage-deflate (RFC 7692) without context takeover: each message is compressed by itself, so that its frame
// can be shared by all who get it, and a connection holds no compressor.
//
//   client  Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
//   we      Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover
//
// Owns: one compressor for each thread (256 KiB, made with its first message). Worker: any.
// Invariants: (1) what is inflated never exceeds the given limit, whatever the ratio; (2) an offer that asks for more than the above (a smaller
//   window of ours) is passed over, as RFC 7692, 7.1 allows.
// Limits: the caller's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"

namespace headroom::websocket {

inline constexpr std::string_view kDeflate =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

// Whether one of the offers in Sec-WebSocket-Extensions' values can be answered with kDeflate.
[[nodiscard]] bool offers_deflate(const std::vector<std::string_view>& extensions);

// The payload of a frame with RSV1; nothing where it would not be smaller.
[[nodiscard]] std::optional<std::string> deflate_message(std::string_view text);
// Errc::overloaded: more than `limit` bytes; protocol: no deflated data, or it ends too soon.
[[nodiscard]] Result<std::string> inflate_message(std::string_view bytes, std::size_t limit);

}  // namespace headroom::websocket
