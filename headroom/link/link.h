// headroom/link/link.h - where the edge and the SQL proxy meet: which request a query belongs to, what its session must see,
// and what a CDN is to be told of.
//
// Owns: the requests at the app (requests.h), the positions of sessions (positions.h), the spans of sampled traces (spans.h). Made by main, borrowed by edge and sql.
// Threads: any. Invariants and limits: those of its parts.
#pragma once

#include <atomic>

#include "headroom/link/positions.h"
#include "headroom/link/reads.h"
#include "headroom/link/requests.h"
#include "headroom/link/spans.h"
#include "headroom/link/tags_out.h"

namespace headroom::link {

struct Link {
  Requests requests;
  Positions positions;
  UnclaimedReads unclaimed;
  Spans spans;
  TagsOut tags_out;
  std::atomic<Currency*> currency{nullptr};  // the SQL proxy's, while it runs

  // Whether a page that read tables is as good as new.
  [[nodiscard]] bool current(TimePoint now) {
    Currency* const known = currency.load(std::memory_order_acquire);
    return known != nullptr && known->current(now);
  }
};

}  // namespace headroom::link
