#include "headroom/postgres/pool_watch.h"

#include <fmt/format.h>

#include <algorithm>

namespace headroom::postgres {

void PoolWatch::add(std::string_view what, std::string detail) {
  if (events_.size() >= kMostEvents) events_.pop_back();
  events_.push_front({std::chrono::system_clock::now(), std::string(what), std::move(detail)});
}

void PoolWatch::note(std::string_view what, std::string detail) {
  const std::scoped_lock lock(mutex_);
  add(what, std::move(detail));
}

void PoolWatch::closed(Closing why, std::uint32_t pid, Duration age) {
  const auto index = static_cast<std::size_t>(why);
  const std::scoped_lock lock(mutex_);
  ++closings_[index];
  add("closed",
      fmt::format("{}: server process {}, {:.0f} s old", kClosings[index], pid, seconds(age)));
}

void PoolWatch::use(std::uint64_t in_use, std::uint64_t limit) {
  const double percent =
      limit == 0 ? 0 : 100.0 * static_cast<double>(in_use) / static_cast<double>(limit);
  const Level now = percent > kAlarm     ? Level::full
                    : percent > kWarning ? Level::filling
                                         : Level::calm;
  const std::scoped_lock lock(mutex_);
  uses_[next_use_++ % kWindow] = percent;
  const Level before = std::exchange(level_, now);
  if (now == before || (now == Level::filling && before == Level::full)) return;
  add(now == Level::full      ? "full"
      : now == Level::filling ? "filling"
                              : "eased",
      fmt::format("{} of {} in use", in_use, limit));
}

void PoolWatch::checked(std::optional<Duration> time, TimePoint now) {
  const std::scoped_lock lock(mutex_);
  checked_at_ = now;
  if (!time && !check_failed_) add("check_failed", "an idle connection gave no sign of life");
  check_failed_ = !time;
  if (time) response_time_ = time;
}

PoolWatchReport PoolWatch::report(TimePoint now) const {
  const std::scoped_lock lock(mutex_);
  return {.events = {events_.begin(), events_.end()},
          .closings = closings_,
          .peak_use = std::ranges::max(uses_),
          .response_time = response_time_,
          .since_check = checked_at_ == TimePoint() ? Duration() : elapsed(checked_at_, now),
          .check_failed = check_failed_};
}

}  // namespace headroom::postgres
