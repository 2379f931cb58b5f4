// headroom/sql/warmer.h - runs what [[sql.warm]] lists through the proxy's own door, as a client would: so its results have the keys that clients ask by.
//
// Owns: its task and its connections. Borrows: the room, the door. Worker: its task runs on the first one; status() and begin() are for any thread.
// Invariants: (1) one query at a time; (2) what is reported of one is what SHOW CACHE counts of its shape; (3) it drops nothing and keeps nobody waiting.
// Limits: kMostWarmQueries, each for its time-out; results as ask() takes them; kTold problems told of.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "headroom/net/endpoint.h"
#include "headroom/net/task_group.h"
#include "headroom/sql/room.h"
#include "headroom/sql/sql.h"

namespace headroom::sql {

class Warmer {
 public:
  static constexpr std::size_t kTold = 10;

  Warmer(Room& room, net::Endpoint door);
  Warmer(const Warmer&) = delete;
  Warmer& operator=(const Warmer&) = delete;

  // From main's thread.
  void start();
  void stop();
  // Any thread. False: a run is under way.
  bool begin();
  [[nodiscard]] CacheWarmStatus status() const;

 private:
  struct Outcome {
    std::uint64_t CacheWarmStatus::* what;
    std::string why{};
  };

  [[nodiscard]] net::Task<> run();
  [[nodiscard]] net::Task<> run_due(bool all);
  [[nodiscard]] net::Task<Outcome> run_one(const WarmOptions& warm);
  [[nodiscard]] net::Task<Result<>> ask(const WarmOptions& warm, const Database& database);
  [[nodiscard]] net::Task<CacheLine> line_of(const WarmOptions& warm, const Database& database);
  [[nodiscard]] const Database* database_of(const WarmOptions& warm) const;
  [[nodiscard]] bool is_current() const;
  void show(const CacheWarmStatus& status);

  Room& room_;
  const net::Endpoint door_;
  net::Worker& worker_;
  std::unique_ptr<net::TaskGroup> group_;
  std::unique_ptr<net::Event> wake_;
  std::vector<TimePoint> due_;
  std::atomic<bool> asked_{false};
  std::map<const Database*, postgres::Route> routes_;
  std::array<metrics::Counter*, 4> outcomes_;
  mutable std::mutex mutex_;  // for a copy
  CacheWarmStatus status_;
};

}  // namespace headroom::sql
