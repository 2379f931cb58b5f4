#include "headroom/load/schedule.h"

#include <cmath>

#include "headroom/base/assert.h"

namespace headroom::load {

Schedule::Schedule(Arrivals arrivals, double rate, std::uint64_t seed)
    : arrivals_(arrivals), rate_(rate), random_(seed) {
  HR_ASSERT(rate > 0);
}

void Schedule::advance() {
  ++index_;
  if (arrivals_ == Arrivals::poisson) {
    sum_seconds_ -= std::log1p(-random_.unit()) / rate_;
  } else {
    sum_seconds_ = static_cast<double>(index_) / rate_;  // closed form: no error adds up
  }
  next_ = Duration(static_cast<std::int64_t>(sum_seconds_ * 1e9));
}

}  // namespace headroom::load
