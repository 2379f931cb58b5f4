// headroom/sql/account.h - one database as one user: its pools, what a client is told when it logs in, its counters.
//
// Owns: the pools, one for each server. Worker: any; what is not the pool's is under a short lock, taken at logins, or a worker's own cell.
// Invariants: (1) an account lives until the room ends, and sleeps while it has no client and no connection; (2) `welcome` is what the server itself reported.
// Limits: kMostKnown start-up settings whose canonical values are remembered.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "headroom/base/metrics.h"
#include "headroom/postgres/pool.h"
#include "headroom/sql/client_auth.h"
#include "headroom/sql/cluster.h"
#include "headroom/sql/insight.h"
#include "headroom/sql/options.h"

namespace headroom::sql {

// A database that clients may name.
struct Database {
  std::string name;
  postgres::Route route;
  Mode mode{};
  Secret owner{};  // of the URL's user, for this database alone
  std::vector<postgres::Route> replicas{};
  std::unique_ptr<Cluster> cluster{};  // made when the room starts
};

class Account {
 public:
  // `who`: as each of the cluster's servers takes it.
  Account(net::Workers& workers, const postgres::Means& means, const Database& database,
          const std::vector<postgres::Credentials>& who, const SqlOptions& options,
          const std::vector<postgres::ConnectionLimits>& limits, metrics::Registry& registry);

  // Of the primary, whichever that is now.
  [[nodiscard]] postgres::Pool& pool() const { return *pools_[database_.cluster->primary()]; }
  [[nodiscard]] postgres::Pool& pool(std::size_t server) const { return *pools_[server]; }
  [[nodiscard]] std::size_t pools() const { return pools_.size(); }
  [[nodiscard]] const Database& database() const { return database_; }
  [[nodiscard]] Cluster& cluster() const { return *database_.cluster; }
  [[nodiscard]] const std::string& user() const { return pools_[0]->user(); }
  // Under whom its queries are counted.
  [[nodiscard]] const Insight::Asking& asking() const { return asking_; }

  // What servers report after a login; null before the first one.
  [[nodiscard]] std::shared_ptr<const postgres::Settings> welcome() const;
  void set_welcome(const postgres::Settings& reported);
  // What the server reports for a start-up setting that it has taken before; "" for one that it does not report. Nothing: not known yet.
  [[nodiscard]] std::optional<std::string> reported_as(const std::string& name,
                                                       const std::string& value) const;
  void remember(const std::string& name, const std::string& value, const std::string& reported);
  // search_path of a session that has not set it, as it was at the last login that asked.
  [[nodiscard]] std::string path() const;
  // Whether its transactions are READ COMMITTED unless they say otherwise.
  [[nodiscard]] bool reads_committed() const { return reads_committed_; }
  void set_defaults(const std::string& path, const std::string& isolation);
  // What its sessions begin with has changed: connections are renewed as they become free, and the next login asks. Any thread.
  void begin_anew();

  // Whether nobody uses it, for the limit of those who do.
  [[nodiscard]] bool sleeps() const;
  // Under the room's mutex.
  void client_comes() { ++clients_; }
  void client_goes() { --clients_; }

  metrics::Counter& queries;
  metrics::Counter& transactions;
  metrics::Counter& errors;
  metrics::Counter& lost;
  metrics::Counter& reads_on_replicas;
  metrics::Counter& reads_moved;
  metrics::Histogram& query_time;
  metrics::Histogram& wait_time;

 private:
  static constexpr std::size_t kMostKnown = 1000;

  const Database& database_;
  const Insight::Asking asking_;
  std::vector<std::unique_ptr<postgres::Pool>> pools_;  // one for each server of the cluster
  std::vector<metrics::GaugeHandle> gauges_;
  mutable std::mutex mutex_;
  std::shared_ptr<const postgres::Settings> welcome_;
  std::unordered_map<std::string, std::string> known_;
  std::string path_;
  std::atomic<bool> reads_committed_{false};
  std::size_t clients_ = 0;
};

}  // namespace headroom::sql
