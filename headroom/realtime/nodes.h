// headroom/realtime/nodes.h - the seam to other nodes: what is published here is told to them, what they tell is published here.
//
// Today's only other node is the process before or after a take-over (relay.h). A Redis behind it would publish to sharded channels and keep
// history in streams; a channel's offsets would then be Redis's, given by its answer, and Homes::append() the place where it comes back.
//
// Worker: published() on the channel's home, in the channel's order; what comes in goes to Part::publish() with `relayed` set.
// Invariant: what another node told is not told to nodes again.
#pragma once

#include "headroom/realtime/message.h"

namespace headroom::realtime {

class Nodes {
 public:
  virtual void published(const Publication& what) = 0;

 protected:
  ~Nodes() = default;
};

}  // namespace headroom::realtime
