// headroom/limit/concurrency.h - how many requests may be in flight to a group of servers, learnt from how they answer.
//
// Owns: counters only. Worker: called from any worker; entering and leaving is one atomic add; the limit is computed by whoever ends a
//   window, under a lock that nobody waits for.
// Invariants: (1) in_flight() never exceeds the limit by more than the workers; (2) a lower priority is turned away before a higher one:
//   background at 70 % of the limit, normal at 90 %, critical at all of it; (3) least <= limit() <= most.
// Limits: `least` and `most` of Options.
//
// The rule is a gradient (as in Netflix's concurrency-limits, "Gradient2"): when the mean answer time of a window (100 ms) is more than
// twice the long-term one, and more than 50 ms over it, the limit shrinks towards limit * long / short, at most by a fifth a window;
// otherwise it grows by its square root while it is used. Time-outs and refusals count as overload by themselves.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "headroom/base/clock.h"

namespace headroom::limit {

enum class Priority : std::uint8_t { critical, normal, background };

class Concurrency {
 public:
  struct Options {
    bool adaptive = true;
    std::uint64_t initial = 2000;
    std::uint64_t least = 16;
    std::uint64_t most = 100000;
  };
  enum class Outcome : std::uint8_t { answered, overloaded, ignored };

  explicit Concurrency(const Options& options);
  Concurrency(const Concurrency&) = delete;
  Concurrency& operator=(const Concurrency&) = delete;

  // True: the request is counted until leave().
  [[nodiscard]] bool enter(Priority priority);
  void leave(Duration answer_time, Outcome outcome, TimePoint now);

  [[nodiscard]] std::uint64_t in_flight() const {
    return in_flight_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }

 private:
  void end_window(TimePoint now);

  const Options options_;
  std::atomic<std::uint64_t> in_flight_{0};
  std::atomic<std::uint64_t> limit_;
  std::atomic<std::uint64_t> peak_{0};  // most in flight in this window
  std::atomic<std::uint64_t> answers_{0};
  std::atomic<std::uint64_t> overloads_{0};
  std::atomic<std::int64_t> time_ns_{0};
  std::atomic<TimePoint> window_ends_{TimePoint{}};
  std::mutex window_;  // taken with try_lock, once per window
  double long_ns_ = 0;
};

}  // namespace headroom::limit
