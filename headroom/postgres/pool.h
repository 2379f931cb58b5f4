// headroom/postgres/pool.h - the server connections of one database and user: shared by all workers, bounded, waited for in order.
//
// Owns: its idle connections and the right to open more; a connection in use belongs to who took it, until give().
// Worker: take(), give() on any worker, each with a part of its own; an idle connection lies on the worker that gave it, and moves by its
//   descriptor (a named hand-over) when another worker waits. The mutex is taken only while somebody waits, opens or closes.
// Invariants: (1) open() <= size + overflow, over all workers, and each has a place of every ConnectionLimit it was given; (2) a connection that becomes free goes to the one who waits longest, or to
//   one of its own worker who waits at most kUnfair less; (3) who waits gets a connection, or an error by its deadline; (4) what is given
//   out was idle, looked open, and was asked for a sign of life when it had rested for `ping_after`.
// Limits: PoolOptions; `max_waiting` who wait.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/net/worker.h"
#include "headroom/postgres/connection_limit.h"
#include "headroom/postgres/pool_watch.h"
#include "headroom/postgres/server.h"

namespace headroom::postgres {

struct PoolOptions {
  std::size_t min = 0;
  std::size_t size = 20;
  std::size_t overflow = 40;
  std::size_t max_waiting = 10'000;
  Duration wait = 30s;
  Duration connect = 10s;
  Duration idle = 45s;
  Duration lifetime = std::chrono::hours(1);
  Duration ping_after = 30s;
};

using ConnectionLimits = std::vector<std::shared_ptr<ConnectionLimit>>;

struct PoolStatus {
  std::uint64_t open = 0, idle = 0, waiting = 0, limit = 0;
  Duration longest_wait{};  // of who waits now
  std::uint64_t connects = 0, failures = 0, takes = 0, waits = 0, timeouts = 0, closes = 0;
  Duration waited{};  // in all
  bool paused = false;
  std::string last_error;  // of the last try to connect, until one succeeds
};

class Pool {
 public:
  Pool(net::Workers& workers, Means means, Route route, Credentials who, std::string database,
       PoolOptions options, ConnectionLimits limits = {});
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  // An idle connection of this worker, if one is there that needs no look first, and nobody waits.
  [[nodiscard]] std::unique_ptr<Server> take_now(net::Worker& worker);
  // Else. `event` wakes the wait, also to ask `wanted` again, which says no when nobody wants the connection any more (Errc::cancelled).
  // Errc::timeout (none became free), overloaded (too many wait), unavailable, unauthorized, invalid (`refusal` has the server's words).
  [[nodiscard]] net::Task<Result<std::unique_ptr<Server>>> take(net::Worker& worker,
                                                                net::Event& event,
                                                                std::function<bool()> wanted,
                                                                pgwire::Report* refusal);
  // Idle and unspoilt, in the state that `settings` and `prepared` say.
  void give(net::Worker& worker, std::unique_ptr<Server> server);
  // Ends it.
  void close(net::Worker& worker, std::unique_ptr<Server> server);
  // What it has been through. Any thread.
  [[nodiscard]] PoolWatchReport watch() const { return watch_.report(Clock::now()); }

  // From any thread: takes are held back until resume(). Those who wait keep their place.
  void pause();
  void resume();
  // Connections made until now are closed as they become free.
  void reconnect();
  // Another process takes over: idle connections are closed now, the others as they become free.
  void drain();
  [[nodiscard]] PoolStatus status() const;
  [[nodiscard]] std::string limited() const;  // by which limit, for an error's text
  [[nodiscard]] const PoolOptions& options() const { return options_; }
  [[nodiscard]] const Route& route() const { return route_; }
  [[nodiscard]] const std::string& database() const { return database_; }
  [[nodiscard]] const std::string& user() const { return who_.user; }
  [[nodiscard]] net::TaskGroup& group(net::Worker& worker) { return part(worker).group; }
  // Keys shown by a client whose verifier is the server's; used from the next login on. Any worker.
  void learn(const ScramKeys& keys);

  // Every second on each worker: closes what has idled for too long, keeps `min` ready, and now and then asks one that is idle for a sign of life.
  void upkeep(net::Worker& worker);
  // From main's thread, once nobody takes any more: ends everything.
  void stop();

 private:
  struct Waiter {
    net::Event& event;
    std::unique_ptr<Server> server{};
    bool may_open = false;
    bool delivered = false;
  };
  struct Part {
    explicit Part(net::Worker& worker) : group(worker) {}
    net::TaskGroup group;
    std::vector<std::unique_ptr<Server>> idle;  // used last: at the back
    std::unordered_map<std::uint64_t, Waiter*> waiters;
  };
  struct Place {
    std::uint64_t ticket;
    std::size_t worker;
    TimePoint since;
  };

  [[nodiscard]] Part& part(net::Worker& worker);
  [[nodiscard]] bool try_open();
  [[nodiscard]] bool take_right();
  void drop_right();
  [[nodiscard]] bool claim(std::uint64_t ticket);
  [[nodiscard]] Duration next_look(std::uint64_t ticket) const;
  [[nodiscard]] bool is_wanted_elsewhere(TimePoint now) const;
  [[nodiscard]] bool enqueue(std::uint64_t ticket, std::size_t worker, bool& may_open);
  void dequeue(net::Worker& worker, std::uint64_t ticket, Waiter& waiter);
  [[nodiscard]] std::optional<Place> next_for(std::size_t worker);
  void deliver(net::Worker& from, Place to, std::unique_ptr<Server> server);
  void arrive(net::Worker& worker, std::uint64_t ticket, std::unique_ptr<Server> server);
  void end(net::Worker& worker, std::unique_ptr<Server> server, Closing why);
  [[nodiscard]] Closing reason_of(Server& server) const;
  void release_right(net::Worker& worker);
  void nudge(net::Worker& from);
  void serve_waiting(net::Worker& worker);
  [[nodiscard]] bool worn_out(const Server& server, TimePoint now) const;
  [[nodiscard]] net::Task<Result<std::unique_ptr<Server>>> wait_for(
      net::Worker& worker, net::Event& event, const std::function<bool()>& wanted,
      TimePoint deadline);
  [[nodiscard]] net::Task<Result<std::unique_ptr<Server>>> open(net::Worker& worker,
                                                                pgwire::Report* refusal,
                                                                const std::function<bool()>& wanted,
                                                                TimePoint deadline);
  [[nodiscard]] net::Task<bool> alive(Server& server);
  [[nodiscard]] net::Task<> open_one(net::Worker& worker);
  [[nodiscard]] bool may_go(std::size_t least);
  void gone();
  void check_one(net::Worker& worker, TimePoint now);
  [[nodiscard]] net::Task<> check(net::Worker& worker, std::unique_ptr<Server> server);
  [[nodiscard]] Credentials credentials() const;

  net::Workers& workers_;
  const Means means_;
  const Route route_;
  Credentials who_;  // its keys: under the mutex
  const std::string database_;
  const PoolOptions options_;
  const ConnectionLimits limits_;
  std::vector<std::unique_ptr<Part>> parts_;  // each made and used on its worker
  std::vector<std::atomic<bool>> made_;

  PoolWatch watch_;
  std::atomic<Clock::rep> next_check_{0};

  mutable std::mutex mutex_;
  std::deque<Place> queue_;
  std::size_t open_ = 0;   // open, or being opened
  std::size_t going_ = 0;  // of these, surplus that is being closed
  std::string last_error_;
  std::string limited_by_;  // the limit that had no place, the last time
  std::atomic<std::size_t> waiting_{0};
  std::atomic<std::uint64_t> next_ticket_{1};
  std::atomic<std::uint64_t> epoch_{0};
  std::atomic<bool> paused_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> draining_{false};
  std::atomic<std::uint64_t> idle_{0}, connects_{0}, failures_{0}, takes_{0}, waits_{0},
      timeouts_{0}, closes_{0}, waited_ns_{0};
};

}  // namespace headroom::postgres
