// headroom/link/link.h - where the edge and the SQL proxy meet: which request a query belongs to, and what its session must see.
//
// Owns: the requests at the app (requests.h), the positions of sessions (positions.h), the spans of sampled traces (spans.h). Made by main, borrowed by edge and sql.
// Threads: any. Invariants and limits: those of its parts.
#pragma once

#include <atomic>

#include "headroom/link/positions.h"
#include "headroom/link/reads.h"
#include "headroom/link/requests.h"
#include "headroom/link/spans.h"

namespace headroom::link {

struct Link {
  Requests requests;
  Positions positions;
  UnclaimedReads unclaimed;
  Spans spans;
  std::atomic<Currency*> currency{nullptr};  // the SQL proxy's, while it runs

  // Whether a page that read tables is as good as new.
  [[nodiscard]] bool current(TimePoint now) {
    Currency* const known = currency.load(std::memory_order_acquire);
    return known != nullptr && known->current(now);
  }
};

}  // namespace headroom::link
