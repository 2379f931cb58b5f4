// headroom/postgres/pool_watch.h - what a pool has been through of late: its last events, why connections ended, how full it was, how its server answers.
//
// Owns: these figures. Worker: any thread; a short lock, taken when a connection is made or ended and once a second.
// Invariants: (1) "filling" and "full" are said once each time the use passes kWarning and kAlarm percent, "eased" once it is below kWarning again.
// Limits: kMostEvents events; use over the last kWindow seconds.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/clock.h"

namespace headroom::postgres {

enum class Closing : std::uint8_t {
  idle,        // nobody needed it
  lifetime,    // it was old
  renewed,     // RECONNECT
  lost,        // the server ended it, or the network
  unanswered,  // it gave no sign of life
  unfit,       // what state it is in was not known
  shutdown,
};
inline constexpr std::array<std::string_view, 7> kClosings{
    "idle", "lifetime", "renewed", "lost", "unanswered", "unfit", "shutdown"};

struct PoolEvent {
  std::chrono::system_clock::time_point at;
  std::string
      what;  // connected, closed, failed, check_failed, wait_timeout, paused, resumed, renewed, filling, full, eased
  std::string detail;
};

struct PoolWatchReport {
  std::vector<PoolEvent> events;  // the newest first
  std::array<std::uint64_t, kClosings.size()> closings{};
  double peak_use = 0;                    // percent of the limit, within the last minute
  std::optional<Duration> response_time;  // of the last check that was answered
  Duration since_check{};                 // since the last one
  bool check_failed = false;              // the last one
};

class PoolWatch {
 public:
  static constexpr std::size_t kMostEvents = 50;
  static constexpr std::size_t kWindow = 60;
  static constexpr double kWarning = 80, kAlarm = 90;  // percent

  void note(std::string_view what, std::string detail);
  void closed(Closing why, std::uint32_t pid, Duration age);
  // Once a second.
  void use(std::uint64_t in_use, std::uint64_t limit);
  // A sign of life that an idle connection was asked for: how long it took; nothing: there was none.
  void checked(std::optional<Duration> time, TimePoint now);
  [[nodiscard]] PoolWatchReport report(TimePoint now) const;

 private:
  void add(std::string_view what, std::string detail);  // under the lock

  enum class Level : std::uint8_t { calm, filling, full };
  mutable std::mutex mutex_;
  std::deque<PoolEvent> events_;
  std::array<std::uint64_t, kClosings.size()> closings_{};
  std::array<double, kWindow> uses_{};
  std::size_t next_use_ = 0;
  Level level_ = Level::calm;
  std::optional<Duration> response_time_;
  TimePoint checked_at_{};
  bool check_failed_ = false;
};

}  // namespace headroom::postgres
