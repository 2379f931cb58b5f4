#include "headroom/sql/account.h"

#include <algorithm>

#include "headroom/sql/metrics.h"

namespace headroom::sql {
namespace {

constexpr Duration kReplicaConnect = 1s;  // then a read goes elsewhere

std::string key_of(const std::string& name, const std::string& value) {
  return name + '\0' + value;
}

}  // namespace

Account::Account(net::Workers& workers, const postgres::Means& means, const Database& database,
                 const std::vector<postgres::Credentials>& who, const SqlOptions& options,
                 const std::vector<postgres::ConnectionLimits>& limits, metrics::Registry& registry)
    : queries(registry.counter(kQueries, {database.name, who[0].user})),
      transactions(registry.counter(kTransactions, {database.name, who[0].user})),
      errors(registry.counter(kErrors, {database.name, who[0].user})),
      lost(registry.counter(kLost, {database.name, who[0].user})),
      reads_on_replicas(registry.counter(kReplicaReads, {database.name, who[0].user})),
      reads_moved(registry.counter(kReadsMoved, {database.name, who[0].user})),
      query_time(registry.histogram(kQueryTime, {database.name, who[0].user})),
      wait_time(registry.histogram(kWaitTime, {database.name, who[0].user})),
      database_(database),
      asking_(database.name, who[0].user) {
  for (std::size_t i = 0; i < database.cluster->size(); ++i) {
    const postgres::Route& route = database.cluster->route(i);
    postgres::PoolOptions its = pool_options(options);
    if (i > 0) its.connect = std::min(its.connect, kReplicaConnect);
    pools_.push_back(std::make_unique<postgres::Pool>(workers, means, route, who[i],
                                                      route.target.database, its, limits[i]));
  }
  const auto gauge = [&](const Family& family, std::uint64_t postgres::PoolStatus::* member) {
    gauges_.push_back(registry.gauge(family, {database_.name, user()}, [this, member] {
      return static_cast<double>(pool().status().*member);
    }));
  };
  gauge(kPoolOpen, &postgres::PoolStatus::open);
  gauge(kPoolIdle, &postgres::PoolStatus::idle);
  gauge(kPoolWaiting, &postgres::PoolStatus::waiting);
  gauge(kPoolLimit, &postgres::PoolStatus::limit);
}

bool Account::sleeps() const {
  return clients_ == 0 && std::ranges::all_of(pools_, [](const auto& pool) {
           const postgres::PoolStatus its = pool->status();
           return its.open == 0 && its.waiting == 0;
         });
}

std::shared_ptr<const postgres::Settings> Account::welcome() const {
  const std::scoped_lock lock(mutex_);
  return welcome_;
}

void Account::set_welcome(const postgres::Settings& reported) {
  const std::scoped_lock lock(mutex_);
  welcome_ = std::make_shared<const postgres::Settings>(reported);
}

void Account::set_defaults(const std::string& path, const std::string& isolation) {
  const std::scoped_lock lock(mutex_);
  if (welcome_) return;
  path_ = path;
  reads_committed_ = isolation == "read committed";
}

std::string Account::path() const {
  const std::scoped_lock lock(mutex_);
  return path_;
}

void Account::begin_anew() {
  for (const auto& pool : pools_) pool->reconnect();
  const std::scoped_lock lock(mutex_);
  welcome_.reset();
  known_.clear();
}

std::optional<std::string> Account::reported_as(const std::string& name,
                                                const std::string& value) const {
  const std::scoped_lock lock(mutex_);
  const auto found = known_.find(key_of(name, value));
  return found == known_.end() ? std::nullopt : std::optional(found->second);
}

void Account::remember(const std::string& name, const std::string& value,
                       const std::string& reported) {
  const std::scoped_lock lock(mutex_);
  if (known_.size() >= kMostKnown) known_.clear();
  known_[key_of(name, value)] = reported;
}

}  // namespace headroom::sql
