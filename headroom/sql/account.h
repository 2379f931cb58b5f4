// headroom/sql/account.h - one database as one user: its pool, what a client is told when it logs in, its counters.
//
// Owns: the pool. Worker: any; what is not the pool's is under a short lock, taken at logins, or a worker's own cell.
// Invariants: (1) an account lives until the room ends; (2) `welcome` is what the server itself reported.
// Limits: kMostKnown start-up settings whose canonical values are remembered.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "headroom/base/metrics.h"
#include "headroom/postgres/pool.h"
#include "headroom/sql/options.h"

namespace headroom::sql {

// A database that clients may name.
struct Database {
  std::string name;
  postgres::Route route;
  Mode mode{};
};

class Account {
 public:
  Account(net::Workers& workers, const postgres::Means& means, const Database& database, postgres::Credentials who, const SqlOptions& options,
          metrics::Registry& registry);

  [[nodiscard]] postgres::Pool& pool() { return pool_; }
  [[nodiscard]] const postgres::Pool& pool() const { return pool_; }
  [[nodiscard]] const Database& database() const { return database_; }
  [[nodiscard]] const std::string& user() const { return pool_.user(); }

  // What servers report after a login; null before the first one.
  [[nodiscard]] std::shared_ptr<const postgres::Settings> welcome() const;
  void set_welcome(const postgres::Settings& reported);
  // What the server reports for a start-up setting that it has taken before; "" for one that it does not report. Nothing: not known yet.
  [[nodiscard]] std::optional<std::string> reported_as(const std::string& name, const std::string& value) const;
  void remember(const std::string& name, const std::string& value, const std::string& reported);
  // search_path of a session that has not set it; set once, before the first session has logged in.
  [[nodiscard]] const std::string& path() const { return path_; }
  void set_path(const std::string& path);

  metrics::Counter& queries;
  metrics::Counter& transactions;
  metrics::Counter& errors;
  metrics::Counter& lost;
  metrics::Histogram& query_time;
  metrics::Histogram& wait_time;

 private:
  static constexpr std::size_t kMostKnown = 1000;

  const Database& database_;
  postgres::Pool pool_;
  std::vector<metrics::GaugeHandle> gauges_;
  mutable std::mutex mutex_;
  std::shared_ptr<const postgres::Settings> welcome_;
  std::unordered_map<std::string, std::string> known_;
  std::string path_;
};

}  // namespace headroom::sql
