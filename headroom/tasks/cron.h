// headroom/tasks/cron.h - when a recurring task runs: a cron expression in a time zone.
//
//   minute hour day month weekday            "30 8 * * mon-fri"
//   second minute hour day month weekday     "*/10 * * * * *"
//
// Fields: *, numbers, ranges, lists and steps; jan..dec, sun..sat; Sunday is 0 or 7. When both day and weekday are given, either is enough (as
// cron does). @hourly, @daily, @weekly, @monthly, @yearly.
//
// Where clocks are put forward, times of the gap do not exist: they are skipped, or run when the gap ends (`shift`). Where they are put
// back, times of the hour that comes twice run the first time, the last, or both.
//
// Owns: nothing; values. Threads: any. The zones are the system's (/usr/share/zoneinfo).
// Invariants: (1) next() is later than its argument; (2) the same slot is found from any moment before it.
// Limits: no slot within ten years counts as none.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/tasks/time.h"

namespace headroom::tasks {

enum class Gap : std::uint8_t { skip, shift };
enum class Fold : std::uint8_t { first, last, both };

class Cron {
 public:
  // Errc::invalid says which field, or that there is no such zone. An empty zone is UTC.
  [[nodiscard]] static Result<Cron> parse(std::string_view text, const std::string& zone = {},
                                          Gap gap = Gap::shift, Fold fold = Fold::first);

  // The first slot after `after`, a whole second.
  [[nodiscard]] std::optional<WallTime> next(WallTime after) const;

 private:
  using LocalSeconds = std::int64_t;  // since 1970 by the clock on the wall
  struct Found {
    LocalSeconds local = 0;
    std::optional<WallTime> slot;
  };

  [[nodiscard]] std::optional<LocalSeconds> next_local(LocalSeconds from) const;
  [[nodiscard]] bool day_matches(LocalSeconds day) const;
  // The moments that this local time means; none in a gap that is skipped.
  [[nodiscard]] std::array<std::optional<LocalSeconds>, 2> moments(LocalSeconds local) const;

  std::bitset<60> seconds_;
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = false;
  bool any_weekday_ = false;
  const void* zone_ = nullptr;  // date::time_zone, which lives for ever
  Gap gap_{};
  Fold fold_{};
};

}  // namespace headroom::tasks
