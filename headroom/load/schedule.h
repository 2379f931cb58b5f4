// headroom/load/schedule.h - when the i-th request is meant to be sent. It depends on rate and seed
// alone, never on the clock or on answers.
#pragma once

#include <cstdint>

#include "headroom/base/clock.h"
#include "headroom/base/hash.h"
#include "headroom/load/load.h"

namespace headroom::load {

class Schedule {
 public:
  Schedule(Arrivals arrivals, double rate, std::uint64_t seed);

  // Of the request that is to be sent next, from the schedule's begin.
  [[nodiscard]] Duration next() const { return next_; }
  void advance();

 private:
  const Arrivals arrivals_;
  const double rate_;
  Random random_;
  std::uint64_t index_ = 0;
  double sum_seconds_ = 0;  // Poisson: of the gaps so far
  Duration next_{};
};

}  // namespace headroom::load
