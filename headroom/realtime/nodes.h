// headroom/realtime/nodes.h - the seam to other nodes: who is told of what gets its place in a channel here.
//
// Today's only other node is the process before a take-over, which follows this one (relay.h). A Redis behind it would publish to sharded
// channels and keep history in streams; a channel's offsets would then be Redis's, given by its answer, and Homes::ordered() the place
// where it comes back.
//
// Worker: ordered() on the channel's home, in the channel's order; what comes in to be ordered goes to Part::publish() with `relayed` set.
#pragma once

#include "headroom/realtime/message.h"

namespace headroom::realtime {

class Nodes {
 public:
  virtual void ordered(const Message& message) = 0;

 protected:
  ~Nodes() = default;
};

}  // namespace headroom::realtime
