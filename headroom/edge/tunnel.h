// headroom/edge/tunnel.h - bytes both ways between two streams, once they speak another protocol (WebSocket).
#pragma once

#include <cstdint>

#include "headroom/base/clock.h"
#include "headroom/net/buffer.h"
#include "headroom/net/stream.h"

namespace headroom::edge {

struct TunnelEnd {
  net::Stream& stream;
  net::Buffer& input;  // what it has sent already
};

// Until both sides have closed, one breaks, or nothing moves for `idle`. Each direction holds one 16 KiB block while bytes move and none
// while they do not. Back-pressure: a side is read only when the other has taken all.
[[nodiscard]] net::Task<> tunnel(net::TaskGroup& group, TunnelEnd a, TunnelEnd b, Duration idle);

}  // namespace headroom::edge
