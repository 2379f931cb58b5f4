#include "headroom/monitor/rates.h"

#include <algorithm>

namespace headroom::monitor {
namespace {

double growth(std::uint64_t from, std::uint64_t to) {
  return to > from ? static_cast<double>(to - from) : 0.0;
}

}  // namespace

void Rates::sample(TimePoint now, const Counts& counts) {
  samples_.push_back({now, counts});
  if (samples_.size() > kKept) samples_.pop_front();
}

Rates::PerSecond Rates::over(Duration window) const {
  if (samples_.size() < 2) return {};
  const Sample& last = samples_.back();
  const auto first = std::ranges::find_if(
      samples_, [&](const Sample& sample) { return elapsed(sample.at, last.at) <= window; });
  const Sample& from = &*first == &last ? samples_[samples_.size() - 2] : *first;
  const double time = seconds(elapsed(from.at, last.at));
  if (time <= 0) return {};
  return {growth(from.counts.requests, last.counts.requests) / time,
          growth(from.counts.errors, last.counts.errors) / time};
}

}  // namespace headroom::monitor
