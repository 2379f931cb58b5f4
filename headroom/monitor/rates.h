// headroom/monitor/rates.h - how fast counters have grown lately, from samples about a second apart.
//
// Owns: the last kKept samples. Worker and threads: one thread at a time; the server gives it to its reading thread.
// Invariants: a rate is never negative; time is the monotonic clock's. Limits: kKept samples.
#pragma once

#include <cstdint>
#include <deque>

#include "headroom/base/clock.h"

namespace headroom::monitor {

class Rates {
 public:
  static constexpr std::size_t kKept = 70;

  struct Counts {
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
  };
  void sample(TimePoint now, const Counts& counts);

  struct PerSecond {
    double requests = 0;
    double errors = 0;
  };
  // Over the last `window`, or as far back as samples go.
  [[nodiscard]] PerSecond over(Duration window) const;

 private:
  struct Sample {
    TimePoint at;
    Counts counts;
  };
  std::deque<Sample> samples_;
};

}  // namespace headroom::monitor
