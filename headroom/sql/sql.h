// headroom/sql/sql.h - the PostgreSQL proxy: clients connect here, share few server connections, and notice nothing of it.
//
// Owns: its door, the sessions, the pools of server connections. Borrows: the workers, the resolver, the registry.
// Worker: a client lives on the worker that accepted it; server connections are shared by all workers (postgres::Pool).
// Invariants: those of Session; after stop() no connection is left.
// Limits: SqlOptions.
#pragma once

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
#include "headroom/sql/options.h"

namespace headroom::sql {

// One database as one user.
struct PoolReport {
  std::string database, user, server;
  postgres::PoolStatus pool;
  std::uint64_t queries = 0, transactions = 0, errors = 0;
  double mean_ms = 0, p50_ms = 0, p95_ms = 0, p99_ms = 0;
};

// One shape of query, its literals blanked.
struct QueryReport {
  std::string database, user, query;
  std::uint64_t calls = 0, errors = 0;
  double total_ms = 0, mean_ms = 0, p50_ms = 0, p95_ms = 0, max_ms = 0;
};

// One server of a database that has replicas.
struct ReplicaReport {
  std::string database;
  ServerStatus server;
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
  // The primary first; none for databases without replicas.
  [[nodiscard]] std::vector<ReplicaReport> replicas() const;
  // A query of Headroom's own to the primary of a database, as its URL's user. Waits; not from a worker. Errc::unavailable, timeout, invalid.
  [[nodiscard]] Result<postgres::Rows> ask(const std::string& database, std::string query) const;
  [[nodiscard]] std::vector<std::string> databases() const;
  enum class Order : std::uint8_t { total, mean, calls };
  // The first `most` in that order, of all workers together.
  [[nodiscard]] std::vector<QueryReport> queries(Order order, std::size_t most) const;

 private:
  class Body;
  std::unique_ptr<Body> body_;
};

// What start() would say of `options`, without opening a door. Reads files. Errc::invalid.
[[nodiscard]] Result<> validate(const std::shared_ptr<const SqlOptions>& options);

}  // namespace headroom::sql
