// headroom/base/clock.h - time: monotonic for waits and measures, the wall clock only as a label.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

namespace headroom {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = std::chrono::nanoseconds;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""us;

inline constexpr TimePoint kNever = TimePoint::max();

// From an earlier to a later moment; never negative.
[[nodiscard]] inline Duration elapsed(TimePoint from, TimePoint to) {
  return to > from ? Duration(to - from) : Duration::zero();
}
// As of the kernel's last tick, up to 10 ms ago, for a fifth of what Clock::now() costs: for deadlines, never to measure by.
[[nodiscard]] inline TimePoint rough_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return TimePoint(std::chrono::seconds(now.tv_sec) + Duration(now.tv_nsec));
}
// Seconds since 1970: for what messages say, never to measure by.
[[nodiscard]] inline std::int64_t unix_seconds() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec;
}
[[nodiscard]] inline double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
[[nodiscard]] inline double milliseconds(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

}  // namespace headroom
