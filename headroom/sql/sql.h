// headroom/sql/sql.h - the PostgreSQL proxy: clients connect here, share few server connections, and notice nothing of it.
//
// Owns: its door, the sessions, the pools of server connections. Borrows: the workers, the resolver, the registry.
// Worker: a client lives on the worker that accepted it; server connections are shared by all workers (postgres::Pool).
// Invariants: those of Session; after stop() no connection is left.
// Limits: SqlOptions.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/base/metrics.h"
#include "headroom/cache/cache.h"
#include "headroom/link/link.h"
#include "headroom/net/interfaces.h"
#include "headroom/net/resolver.h"
#include "headroom/net/worker.h"
#include "headroom/sql/cluster.h"
#include "headroom/sql/insight.h"
#include "headroom/sql/options.h"

namespace headroom::sql {

// One database as one user.
struct PoolReport {
  std::string database, user, server;
  postgres::PoolStatus pool;
  postgres::PoolWatchReport watch;
  std::uint64_t queries = 0, transactions = 0, errors = 0;
  double mean_ms = 0, p50_ms = 0, p95_ms = 0, p99_ms = 0;
};

// One server of a database that has replicas.
struct ReplicaReport {
  std::string database;
  ServerStatus server;
};

// A client that keeps a server connection beyond its transaction.
struct PinReport {
  std::string database, user, client, reason;
  std::uint32_t server_pid = 0;
  Duration time{};
};

// One shape of query at the cache of results.
struct CachedQueryReport {
  std::string database, query, reason;
  std::uint64_t hits = 0, misses = 0, stored = 0, refused = 0, passed_by = 0;
  bool cacheable = false;  // the last time it was asked for
  bool rests = false;      // written too often to be looked up
};

// One database's part of it.
struct CachedDatabaseReport {
  std::string database{}, state{};
  bool current = false;
  Duration lag{}, bypassed{};
  std::uint64_t commits = 0, flushes = 0, tables = 0;
  std::uint64_t hits = 0, misses = 0, refused = 0, passed_by = 0, stored = 0, not_stored = 0;
  std::uint64_t drops = 0;
  std::map<std::string, std::uint64_t> reasons{};  // of what was refused or passed by
};

struct CacheReport {
  bool on = false;
  std::uint64_t entries = 0, bytes = 0, limit_bytes = 0;
  std::vector<CachedDatabaseReport> databases{};
  std::vector<CachedQueryReport> queries{};  // those asked most first
};

// The last run of [[sql.warm]], or the one under way.
struct CacheWarmStatus {
  bool running = false;
  std::uint64_t runs = 0, total = 0, done = 0;
  std::uint64_t stored = 0, fresh = 0, not_stored = 0, failed = 0;
  Duration took{};
  std::int64_t began = 0;
  struct Problem {
    std::string query, why;
  };
  std::vector<Problem> problems{};  // the first of them
};

class Sql final : public net::Health {
 public:
  // `cache`: where results are kept; null: nowhere.
  Sql(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry, link::Link& link,
      cache::Cache* cache = nullptr);
  ~Sql() override;

  // What queries read is told to their requests, for pages (edge.cache.sql_tags). Before start().
  void tag_pages();
  // A file by which processes that follow one another count their server connections together. Before start().
  void share_limits(const std::string& path);
  // By which a login for a user that is not there looks like one for one that is; else one of this process alone, and a restart tells them apart. Before start().
  void mock_with(std::string key);
  // Opens the door (`inherited`: its sockets from a running process) and serves. From main's thread. Errc::invalid, unavailable.
  [[nodiscard]] Result<> start(std::shared_ptr<const SqlOptions> options,
                               std::vector<int> inherited = {});

  // For a take-over: where it listens.
  [[nodiscard]] std::string address() const;
  [[nodiscard]] std::vector<int> sockets() const;
  // Shutdown, in this order; each from main's thread.
  enum class Sockets : std::uint8_t {
    closed,
    handed_over
  };  // handed over: a Unix socket's path is another process's
  void stop_accepting(Sockets sockets = Sockets::closed);
  void drain();                            // idle clients are told to go
  [[nodiscard]] std::size_t open() const;  // clients still connected
  void stop();

  // Those of start(), which must have succeeded. Any thread.
  [[nodiscard]] const SqlOptions& options() const;
  // From any thread but a worker's.
  [[nodiscard]] std::vector<net::HealthReport> health() const override;
  [[nodiscard]] std::vector<PoolReport> pools() const;
  [[nodiscard]] std::vector<PinReport> pins() const;
  // The primary first; none for databases without replicas.
  [[nodiscard]] std::vector<ReplicaReport> replicas() const;
  // A query of Headroom's own to the primary of a database, as its URL's user. Waits; not from a worker. Errc::unavailable, timeout, invalid.
  [[nodiscard]] Result<postgres::Rows> ask(const std::string& database, std::string query) const;
  [[nodiscard]] std::vector<std::string> databases() const;
  // The cache of results, with the `most` queries asked most.
  [[nodiscard]] CacheReport cache(std::size_t most) const;
  // Runs what [[sql.warm]] lists. True: it begins; false: it is under way. Errc::not_found: nothing is listed.
  [[nodiscard]] Result<bool> warm() const;
  [[nodiscard]] CacheWarmStatus warm_status() const;
  enum class Order : std::uint8_t { total, mean, calls, errors, rows, wait };
  struct Queries {
    std::vector<ShapeReport> first;
    std::size_t all = 0, limit = 0;
    std::uint64_t forgotten = 0;  // shapes, for newer ones
  };
  // The first `most` in that order, of all workers together.
  [[nodiscard]] Queries queries(Order order, std::size_t most) const;
  [[nodiscard]] std::optional<ShapeReport> query(std::uint64_t id) const;
  // The statement that is kept of a shape (sql.samples); nothing: none.
  [[nodiscard]] std::optional<Sample> sample(std::uint64_t id) const;
  // What the server would do for a read, as its user: EXPLAIN (FORMAT JSON) of the sample, or of the shape with values left open (`generic`); in a
  // transaction that only reads, with a time-out. Waits; not from a worker. Errc::not_found; conflict: it is no read, or cannot be planned;
  // overloaded: its pool is full; unavailable, timeout.
  struct Explained {
    std::string plan;  // JSON
    bool generic = false;
  };
  [[nodiscard]] Result<Explained> explain(std::uint64_t id) const;

 private:
  class Body;
  std::unique_ptr<Body> body_;
};

// What start() would say of `options`, without opening a door. Reads files. Errc::invalid.
[[nodiscard]] Result<> validate(const std::shared_ptr<const SqlOptions>& options);

}  // namespace headroom::sql
