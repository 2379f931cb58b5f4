#include "headroom/tasks/throttles.h"

#include <algorithm>

namespace headroom::tasks {
namespace {

constexpr std::string_view kOthers = "\n";  // keys hold no line ends

std::byte* bytes_of(std::vector<std::uint64_t>& state) {
  return reinterpret_cast<std::byte*>(state.data());
}

bool counts_running(const limit::Budget& budget) {
  return budget.kind() == limit::Budget::Kind::concurrency;
}

}  // namespace

Throttles::Throttles(const std::vector<ThrottleOptions>& options) {
  for (const ThrottleOptions& each : options) {
    Throttle throttle{.options = each, .budgets = {}};
    if (each.rate) throttle.budgets.push_back(limit::Budget::sliding(*each.rate));
    if (each.at_once > 0) throttle.budgets.push_back(limit::Budget::concurrency(each.at_once));
    throttles_.push_back(std::move(throttle));
  }
}

bool Throttles::names_type(std::string_view jobtype) const {
  return std::ranges::any_of(throttles_, [&](const Throttle& each) {
    return !each.options.jobtype.empty() && each.options.jobtype == jobtype;
  });
}

bool Throttles::is_for(const Throttle& throttle, const Job& job) {
  const ThrottleOptions& options = throttle.options;
  return (options.queue.empty() || options.queue == job.queue) &&
         (options.jobtype.empty() || options.jobtype == job.jobtype) &&
         (!options.by_key || !job.key.empty());
}

std::vector<Throttles::State>& Throttles::counts_of(Throttle& throttle, const Job& job,
                                                    TimePoint now) {
  std::string key = throttle.options.by_key ? job.key : "";
  if (const auto known = throttle.counts.find(key); known != throttle.counts.end())
    return known->second;
  if (throttle.counts.size() >= kMostKeys) {
    for (auto at = throttle.counts.begin(); at != throttle.counts.end();) {
      bool idle = true;
      for (std::size_t i = 0; i < throttle.budgets.size(); ++i)
        idle = idle && throttle.budgets[i].idle(bytes_of(at->second[i]), now);
      at = idle ? throttle.counts.erase(at) : std::next(at);
    }
    if (throttle.counts.size() >= kMostKeys) key = kOthers;
  }
  auto& made = throttle.counts[key];
  for (std::size_t i = made.size(); i < throttle.budgets.size(); ++i) {
    State state((throttle.budgets[i].state_bytes() + sizeof(std::uint64_t) - 1) /
                sizeof(std::uint64_t));
    throttle.budgets[i].begin(bytes_of(state));
    made.push_back(std::move(state));
  }
  return made;
}

bool Throttles::allows(const Job& job, TimePoint now) {
  for (Throttle& throttle : throttles_) {
    if (!is_for(throttle, job)) continue;
    auto& counts = counts_of(throttle, job, now);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const limit::Standing standing = throttle.budgets[i].check(bytes_of(counts[i]), now, 1);
      if (standing.allowed) continue;
      if (!counts_running(throttle.budgets[i])) next_ = std::min(next_, now + standing.retry_after);
      return false;
    }
  }
  return true;
}

void Throttles::begin(const Job& job, TimePoint now) {
  for (Throttle& throttle : throttles_) {
    if (!is_for(throttle, job)) continue;
    auto& counts = counts_of(throttle, job, now);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      // A lease that is taken up again after a restart counts as running, not as begun.
      if (counts_running(throttle.budgets[i]) ||
          throttle.budgets[i].check(bytes_of(counts[i]), now, 1).allowed)
        throttle.budgets[i].take(bytes_of(counts[i]), now, 1);
    }
  }
}

bool Throttles::end(const Job& job) {
  bool room = false;
  for (Throttle& throttle : throttles_) {
    if (!is_for(throttle, job)) continue;
    auto known = throttle.counts.find(throttle.options.by_key ? job.key : "");
    if (known == throttle.counts.end()) known = throttle.counts.find(std::string(kOthers));
    for (std::size_t i = 0; known != throttle.counts.end() && i < known->second.size(); ++i) {
      std::byte* state = bytes_of(known->second[i]);
      if (!counts_running(throttle.budgets[i]) || throttle.budgets[i].idle(state, TimePoint{}))
        continue;
      throttle.budgets[i].give_back(state, 1);
      room = true;
    }
  }
  return room;
}

bool Throttles::take_passed(TimePoint now) {
  if (now < next_) return false;
  next_ = kNever;
  return true;
}

}  // namespace headroom::tasks
