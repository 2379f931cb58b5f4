// headroom/tasks/time.h - wall-clock moments as the protocols write them (RFC 3339), in microseconds since 1970.
//
// Only `at`, expiry and cron read the wall clock; leases and waits are measured by the monotonic one (base/clock.h).
// Threads: any. Limits: years 1970 to 9999.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/clock.h"

namespace headroom::tasks {

using WallTime = std::int64_t;  // microseconds since 1970, UTC
inline constexpr WallTime kSecond = 1'000'000;

[[nodiscard]] WallTime wall_now();

// "2026-11-21T10:38:57.123456789Z", "2026-11-21t10:38:57+01:00". Digits beyond microseconds are cut.
[[nodiscard]] std::optional<WallTime> parse_time(std::string_view text);
// "2026-11-21T10:38:57.123456Z".
[[nodiscard]] std::string format_time(WallTime time);

// One moment by both clocks: handed down, so that tests can make either jump.
struct Now {
  TimePoint steady{};
  WallTime wall = 0;
  [[nodiscard]] static Now real() { return {Clock::now(), wall_now()}; }
};

}  // namespace headroom::tasks
