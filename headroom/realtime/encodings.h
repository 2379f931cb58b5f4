// headroom/realtime/encodings.h - a message's bytes on each wire: the one table of formats.
//
//   pusher  a text frame: {"event": "...", "channel": "...", "data": "..." or any JSON, "user_id"?: "...", "id"?: "epoch-offset"}
//   plain   a text frame: {"type": "...", "channel": "...", "data": any JSON, "offset": 1, "priority": "normal", "user_id"?: "..."}
//   events  a chunk (RFC 9112, 7.1) with an event of an event stream (WHATWG): "data: " the plain text, and an empty line
//   lines   a chunk with the plain text and a line feed
//
//   ..._deflated  the same, in a frame that is compressed where that makes it smaller
//
// Owns: nothing. Worker: any.
#pragma once

#include <string>
#include <string_view>

#include "headroom/realtime/message.h"

namespace headroom::realtime {

[[nodiscard]] std::string encode(const Message& message, Wire wire);

// A text of the hub's own as the wire has it: a frame, or a chunk. For `events`, whole lines of an event are given.
[[nodiscard]] std::string wrap(std::string_view text, Wire wire);

}  // namespace headroom::realtime
