// headroom/tasks/board_parts.h - what the board is made of: entries, queues, workers, locks, staged changes. Private to the board's files.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "headroom/tasks/board.h"

namespace headroom::tasks {

inline constexpr std::size_t kMostHeld = 16384;  // entries of a lane in memory

// A job in memory: in the window of its lane, or leased.
struct Entry {
  Job job;  // its body is empty while it is leased
  Place place;
  std::uint64_t jid_hash = 0;
  Entry* next_same = nullptr;  // another one whose jid has the same hash
  bool held = false;           // in its lane's window
  bool staged = false;         // a change of it waits for its commit
  bool dropped = false;        // expired; waits to be removed
  bool leased = false;
  WallTime ready = 0;       // since when it waits in its queue; 0: not looked up yet
  bool was_leased = false;  // and came back without a word of its worker
  std::string wid;
  TimePoint leased_at{};
  TimePoint lease_end{};

  [[nodiscard]] bool free() const { return !staged && !dropped; }
};

// One line of a queue: of a key, or of all that have none.
struct Share {
  LaneId lane = 0;
  std::uint64_t turn = 0;  // when it is its turn again, by the queue's count
  bool stored = false;
};

struct Board::Queue {
  std::string name;
  Share common;
  std::map<std::string, Share> shares;
  std::uint64_t turn = 0;             // of who came last
  std::unique_ptr<QueueTimes> times;  // once there are any

  void count(metrics::HistogramValues QueueTimes::* which, Duration time) {
    if (!times) times = std::make_unique<QueueTimes>();
    metrics::HistogramValues& values = (*times).*which;
    ++values.buckets[metrics::Scale::index(time)];
    values.sum += time;
  }
  bool paused = false;
  std::uint64_t running = 0;
  std::uint64_t pushed = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
};

struct Board::Worker {
  WorkerIdentity identity;
  std::string state;
  std::uint32_t connections = 0;
  std::int64_t rss_kb = 0;
  std::optional<TimePoint> beat;
  TimePoint alone_since = kNever;  // without a connection
  Duration patience{};             // how long it may be so
  std::set<std::uint64_t> running;
  std::vector<std::string> cancelled{};  // to be told with the next heartbeat
};

struct Board::Lock {
  std::string jid;
  WallTime until = 0;
};

struct Board::Planned {
  Schedule schedule;
  Cron cron;
  std::optional<WallTime> next;
  std::uint64_t runs = 0;
};

struct Board::Change {
  enum class Kind : std::uint8_t { add, remove, move, remove_spilled, add_spilled };
  enum class Counts : std::uint8_t { nothing, pushed, done, failed };
  Kind kind{};
  Entry* entry = nullptr;             // remove, move
  EntryPointer added{};               // add, add_spilled
  Job* lender = nullptr;              // add: whose job it was
  Place to{};                         // move
  Place from{};                       // remove_spilled, add_spilled
  std::optional<std::string> body{};  // a new one
  Counts counts = Counts::nothing;
  std::optional<bool>
      late_ack_counts{};   // move: whether an acknowledgement may still come; else as it was
  bool lost = false;       // move: one more worker died on it
  bool fresh = false;      // move: the workers that died on it are forgotten
  bool failed = false;     // move: its batch counts it as failed
  bool cancelled = false;  // remove: its worker is to be told
};

}  // namespace headroom::tasks
