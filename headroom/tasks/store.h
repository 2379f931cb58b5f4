// headroom/tasks/store.h - where jobs are kept: the seam behind which SQLite stands, and later PostgreSQL and Redis.
//
// A job lies at one place: a lane, and in it a rank and the job's number; a lane is read in the order of (rank, seq). Lanes are the three
// sets and one for each queue. In a queue's lane the rank is the negated priority, in `scheduled` and `retries` the moment it is due, in
// `dead` the moment it died. Leases are not kept: a job being worked on lies where it lay, so that a crash returns it.
//
// Worker and threads: one thread, the engine's; every call may block.
// Invariants: (1) what stands between begin() and a commit() that answered {} survives a power cut, all of it; after anything else none of
//   it is there; (2) what is read while a transaction is open may hold what is not committed: the board reads only between.
// Limits: those of the engine behind it. Codes: overloaded (disk full), unavailable, internal.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/tasks/job.h"

namespace headroom::tasks {

using LaneId = std::int64_t;
inline constexpr LaneId kScheduled = 1;
inline constexpr LaneId kRetries = 2;
inline constexpr LaneId kDead = 3;
inline constexpr LaneId kFirstQueue = 16;

struct Key {
  std::int64_t rank = 0;
  std::uint64_t seq = 0;
  auto operator<=>(const Key&) const = default;
};

struct Place {
  LaneId lane = 0;
  Key key;
  auto operator<=>(const Place&) const = default;
};
inline constexpr Place kBeforeAll{0, {std::numeric_limits<std::int64_t>::min(), 0}};

struct StoredJob {
  Job job;
  Place place;
};

struct StoredQueue {
  LaneId lane = 0;
  std::string name;
  bool paused = false;
};

// The lane of one key in a queue.
struct StoredShare {
  LaneId lane = 0;
  std::string queue;
  std::string key;
};

struct StoredLock {
  std::string key;
  std::string jid;
  WallTime until = 0;
};

// What one reading of a lane gave.
struct StoredPage {
  std::vector<StoredJob> jobs;
  bool end = true;  // none lies behind them
};

struct LaneCount {
  LaneId lane = 0;
  std::uint64_t jobs = 0;
};

// A small record of another kind, by name: a schedule, a lease that lives through a restart, totals.
struct Note {
  std::string name;
  std::string text;
};

class Store {
 public:
  virtual ~Store() = default;

  [[nodiscard]] virtual Result<> begin() = 0;
  [[nodiscard]] virtual Result<> commit() = 0;
  virtual void roll_back() = 0;

  [[nodiscard]] virtual Result<> add(const Job& job, const Place& place) = 0;
  [[nodiscard]] virtual Result<> move(std::string_view jid, const Place& from, const Place& to) = 0;
  // Its text and facts have changed.
  [[nodiscard]] virtual Result<> rewrite(const Job& job) = 0;
  [[nodiscard]] virtual Result<> remove(const Place& place) = 0;
  [[nodiscard]] virtual Result<> put_queue(const StoredQueue& queue) = 0;
  [[nodiscard]] virtual Result<> remove_queue(LaneId lane) = 0;
  [[nodiscard]] virtual Result<> put_share(const StoredShare& share) = 0;
  [[nodiscard]] virtual Result<> remove_share(LaneId lane) = 0;
  [[nodiscard]] virtual Result<> put_lock(const StoredLock& lock) = 0;
  [[nodiscard]] virtual Result<> remove_lock(std::string_view key) = 0;
  // Those that end before `now`.
  [[nodiscard]] virtual Result<> remove_old_locks(WallTime now) = 0;
  [[nodiscard]] virtual Result<> put_note(const Note& note) = 0;
  [[nodiscard]] virtual Result<> remove_note(std::string_view name) = 0;
  // Every job, lock, batch and track.
  [[nodiscard]] virtual Result<> clear() = 0;

  [[nodiscard]] virtual Result<std::vector<LaneCount>> counts() = 0;
  // The queues that the next `rows` jobs of a lane behind `after` name, and the last of these jobs.
  struct QueueCounts {
    std::unordered_map<std::string, std::uint64_t> jobs;
    Key last;
    bool end = true;  // none lies behind it
  };
  [[nodiscard]] virtual Result<QueueCounts> counts_by_queue(LaneId lane, const Key& after,
                                                            std::size_t rows) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> last_seq() = 0;
  [[nodiscard]] virtual Result<std::vector<StoredQueue>> queues() = 0;
  [[nodiscard]] virtual Result<std::vector<StoredShare>> shares() = 0;
  [[nodiscard]] virtual Result<std::vector<StoredLock>> locks() = 0;
  [[nodiscard]] virtual Result<std::optional<std::string>> note(std::string_view name) = 0;
  // Those whose name begins with `prefix`.
  [[nodiscard]] virtual Result<std::vector<Note>> notes(std::string_view prefix) = 0;
  // The jobs of a lane behind `after`, in its order, at most `limit`; fewer when their texts are longer than `bytes` in all, but one at
  // least, if there is one.
  static constexpr std::size_t kPageBytes = std::size_t{4} << 20U;
  [[nodiscard]] virtual Result<StoredPage> read(LaneId lane, const Key& after, std::size_t limit,
                                                std::size_t bytes) = 0;
  [[nodiscard]] Result<StoredPage> read(LaneId lane, const Key& after, std::size_t limit) {
    return read(lane, after, limit, kPageBytes);
  }
  [[nodiscard]] virtual Result<std::string> body(std::uint64_t seq) = 0;
  // Looks for jobs by their names among the next `rows` places behind `after`, in the order of lanes, ranks and numbers, without reading
  // what else is known of them.
  struct Found {
    std::string jid;
    Place place;
  };
  struct Search {
    std::vector<Found> found;
    Place looked_to;
    std::uint64_t first_seq =
        0;  // the lowest number among those that wait in a queue or for another try; 0: none does
    bool end = false;
  };
  [[nodiscard]] virtual Result<Search> search(const std::unordered_set<std::string>& jids,
                                              const Place& after, std::size_t rows) = 0;
};

}  // namespace headroom::tasks
