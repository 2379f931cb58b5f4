// headroom/tasks/throttles.h - how many jobs of a queue, a type or a key may begin in a time, or run at once.
//
// Owns: the counts. Worker and threads: the engine's thread.
// Invariants: (1) a job begins only if every throttle that is meant for it allows it, and only then counts, for all of them; (2) what runs is
//   counted until it ends, whatever way; (3) rates go on over a restart: what notes() said counts as begun when it was said, which is
//   later than it was, so that a rate is never broken but for what began after the last note (kNoteEvery before a crash).
// Limits: kMostKeys keys counted by themselves in a throttle, further ones share a count; kMostNoted of them are noted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/limit/budget.h"
#include "headroom/tasks/job.h"
#include "headroom/tasks/options.h"
#include "headroom/tasks/store.h"

namespace headroom::tasks {

class Throttles {
 public:
  static constexpr std::size_t kMostKeys = 100'000;
  static constexpr std::size_t kMostNoted = 10'000;
  static constexpr Duration kNoteEvery = 1s;
  static constexpr std::string_view kNote = "rate/";

  explicit Throttles(const std::vector<ThrottleOptions>& options);

  // Whether one is for this type alone: its jobs must not stand in others' way.
  [[nodiscard]] bool names_type(std::string_view jobtype) const;
  [[nodiscard]] bool allows(const Job& job, TimePoint now);
  // `before`: a lease that is taken up again after a restart runs, and had begun already.
  enum class Begun : std::uint8_t { now, before };
  void begin(const Job& job, TimePoint now, Begun begun = Begun::now);
  // True when that has made room.
  [[nodiscard]] bool end(const Job& job);

  // When a rate that has refused something allows it; kNever: none has.
  [[nodiscard]] TimePoint next() const { return next_; }
  // True once that time has come.
  [[nodiscard]] bool take_passed(TimePoint now);

  // Since the last note jobs have begun that rates count.
  [[nodiscard]] bool note_due(TimePoint now) const { return unnoted_ && now >= next_note_; }
  // One for each throttle with a rate; from now on they are noted.
  [[nodiscard]] std::vector<Note> notes(const Now& now);
  // The notes could not be kept.
  void note_again() { unnoted_ = true; }
  // What an earlier process has noted. Nothing: it belongs to no throttle, or is no note.
  [[nodiscard]] bool restore(const Note& note, const Now& now);

 private:
  using State = std::vector<std::uint64_t>;  // a budget's bytes, aligned to 8
  struct Throttle {
    ThrottleOptions options;
    std::vector<limit::Budget> budgets;  // its rate, what may run at once
    std::unordered_map<std::string, std::vector<State>> counts{};
  };

  [[nodiscard]] static std::string name_of(const Throttle& throttle);
  [[nodiscard]] static std::uint64_t used(const limit::Budget& rate, State& state, TimePoint now);
  std::vector<State>& counts_of_key(Throttle& throttle, std::string key, TimePoint now);
  [[nodiscard]] static bool is_for(const Throttle& throttle, const Job& job);
  std::vector<State>& counts_of(Throttle& throttle, const Job& job, TimePoint now);

  std::vector<Throttle> throttles_;
  TimePoint next_ = kNever;
  bool unnoted_ = false;
  TimePoint next_note_{};
};

}  // namespace headroom::tasks
