// headroom/limit/budget.h - how much one subject may use, counted by one of five algorithms over a few bytes of its own.
//
// Owns: nothing: a Budget is a value, the count lies in memory that the caller gives (state_bytes(), aligned to 8).
// Worker: pure; whoever calls holds the lock of that memory.
// Invariants, for `limit` units in each `window`, whatever the order and the speed of requests:
//   sliding      never more than `limit` in any half-open stretch of time as long as the window. Up to kLogLimit exact: a request is refused
//                only if it would break that. Above, the window is cut into kSubWindows, of which the oldest counts whole: what is
//                used stays counted for up to a hundredth of the window longer.
//   gcra         never more than burst + limit * t / window in any stretch of length t (the "generic cell rate algorithm", ITU-T I.371).
//   fixed        never more than `limit` in its window, which begins with a subject's first request; so up to twice that in some stretch.
//   concurrency  never more than `limit` taken and not yet given back.
//   Time may come late (workers read their clocks before they hold the lock). Log and gcra keep their promise by the times that came;
//   sub-windows do up to kLate of them late (beyond, and in `fixed`, a late request counts as one at the newest time seen).
// Limits: rates up to kMostCount in up to kLongestWindow.
#pragma once

#include <cstddef>
#include <cstdint>

#include "headroom/base/clock.h"
#include "headroom/config/values.h"

namespace headroom::limit {

inline constexpr std::uint64_t kLogLimit = 64;
inline constexpr std::int64_t kSubWindows = 100;
inline constexpr std::int64_t kLate = 3;
inline constexpr std::uint64_t kMostCount = 1'000'000'000;
inline constexpr Duration kLongestWindow = std::chrono::hours(24 * 31);

// How a subject stands when it asks for `cost` units.
struct Standing {
  bool allowed = true;
  std::uint64_t remaining = 0;  // when the request has been counted, if it is allowed
  Duration
      retry_after{};  // when refused: after this it would be allowed, if nobody else asks meanwhile
  Duration reset{};   // when the next units come back; 0: that is not a question of time
};

class Budget {
 public:
  enum class Kind : std::uint8_t { log, sub_windows, gcra, fixed, concurrency };

  Budget() = default;
  static Budget sliding(config::Rate rate);
  static Budget gcra(config::Rate rate, std::uint64_t burst);
  static Budget fixed(config::Rate rate);
  static Budget concurrency(std::uint64_t at_once);
  // Allows nothing.
  static Budget none() { return concurrency(0); }

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::uint64_t limit() const { return limit_; }
  // The most that can be used at once: gcra's burst, else the limit.
  [[nodiscard]] std::uint64_t most_at_once() const { return burst_; }
  [[nodiscard]] Duration window() const { return Duration(window_); }  // 0: concurrency
  [[nodiscard]] std::size_t state_bytes() const;
  bool operator==(const Budget&) const = default;

  // A new subject's state, with nothing used.
  void begin(std::byte* state) const;
  // How `cost` units would fare; `state` is null for a new subject. It may drop what has expired, nothing else.
  [[nodiscard]] Standing check(std::byte* state, TimePoint now, std::uint64_t cost) const;
  // Uses them: only after check() with the same arguments said so.
  void take(std::byte* state, TimePoint now, std::uint64_t cost) const;
  // Concurrency: gives them back.
  void give_back(std::byte* state, std::uint64_t cost) const;
  // Whether forgetting the state would change nothing.
  [[nodiscard]] bool idle(std::byte* state, TimePoint now) const;

 private:
  [[nodiscard]] Standing check_log(std::byte* state, std::int64_t now, std::uint64_t cost) const;
  [[nodiscard]] Standing check_sub_windows(std::byte* state, std::int64_t now,
                                           std::uint64_t cost) const;
  [[nodiscard]] Standing check_gcra(const std::byte* state, std::int64_t now,
                                    std::uint64_t cost) const;
  [[nodiscard]] Standing check_fixed(const std::byte* state, std::int64_t now,
                                     std::uint64_t cost) const;
  [[nodiscard]] Standing check_concurrency(const std::byte* state, std::uint64_t cost) const;
  [[nodiscard]] Standing fresh(std::uint64_t cost) const;
  void take_log(std::byte* state, std::int64_t now, std::uint64_t cost) const;
  void take_sub_windows(std::byte* state, std::int64_t now, std::uint64_t cost) const;

  Kind kind_ = Kind::log;
  std::uint64_t limit_ = 1;
  std::uint64_t burst_ = 1;
  std::int64_t window_ = 0;  // ns
  std::int64_t step_ = 0;    // ns: of a sub-window; between two units (gcra)
};

}  // namespace headroom::limit
