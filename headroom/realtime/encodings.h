// headroom/realtime/encodings.h - a message's bytes on each wire: the one table of formats.
//
//   pusher  a text frame: {"event": "...", "channel": "...", "data": "..." or any JSON, "user_id"?: "...", "id"?: "epoch-offset"}
//
// Owns: nothing. Worker: any.
#pragma once

#include <string>

#include "headroom/realtime/message.h"

namespace headroom::realtime {

[[nodiscard]] std::string encode(const Message& message, Wire wire);

}  // namespace headroom::realtime
