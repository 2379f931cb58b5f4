// headroom/base/clock.h - time: monotonic for waits and measures, the wall clock only as a label.
#pragma once

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
// Seconds since 1970: for what messages say, never to measure by.
[[nodiscard]] inline std::int64_t unix_seconds() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()).time_since_epoch().count();
}
[[nodiscard]] inline double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
[[nodiscard]] inline double milliseconds(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

}  // namespace headroom
