// headroom/tasks/throttles.h - how many jobs of a queue, a type or a key may begin in a time, or run at once.
//
// Owns: the counts. Worker and threads: the engine's thread.
// Invariants: (1) a job begins only if every throttle that is meant for it allows it, and only then counts, for all of them; (2) what runs is
//   counted until it ends, whatever way; rates begin anew with the process, what runs at once does not.
// Limits: kMostKeys keys counted by themselves in a throttle; further ones share a count.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/limit/budget.h"
#include "headroom/tasks/job.h"
#include "headroom/tasks/options.h"

namespace headroom::tasks {

class Throttles {
 public:
  static constexpr std::size_t kMostKeys = 100'000;

  explicit Throttles(const std::vector<ThrottleOptions>& options);

  // Whether one is for this type alone: its jobs must not stand in others' way.
  [[nodiscard]] bool names_type(std::string_view jobtype) const;
  [[nodiscard]] bool allows(const Job& job, TimePoint now);
  void begin(const Job& job, TimePoint now);
  // True when that has made room.
  [[nodiscard]] bool end(const Job& job);

  // When a rate that has refused something allows it; kNever: none has.
  [[nodiscard]] TimePoint next() const { return next_; }
  // True once that time has come.
  [[nodiscard]] bool take_passed(TimePoint now);

 private:
  using State = std::vector<std::uint64_t>;  // a budget's bytes, aligned to 8
  struct Throttle {
    ThrottleOptions options;
    std::vector<limit::Budget> budgets;  // its rate, what may run at once
    std::unordered_map<std::string, std::vector<State>> counts{};
  };

  [[nodiscard]] static bool is_for(const Throttle& throttle, const Job& job);
  std::vector<State>& counts_of(Throttle& throttle, const Job& job, TimePoint now);

  std::vector<Throttle> throttles_;
  TimePoint next_ = kNever;
};

}  // namespace headroom::tasks
