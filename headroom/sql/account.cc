#include "headroom/sql/account.h"

#include "headroom/sql/metrics.h"

namespace headroom::sql {
namespace {

std::string key_of(const std::string& name, const std::string& value) { return name + '\0' + value; }

}  // namespace

Account::Account(net::Workers& workers, const postgres::Means& means, const Database& database, postgres::Credentials who,
                 const SqlOptions& options, metrics::Registry& registry)
    : queries(registry.counter(kQueries, {database.name, who.user})),
      transactions(registry.counter(kTransactions, {database.name, who.user})),
      errors(registry.counter(kErrors, {database.name, who.user})),
      lost(registry.counter(kLost, {database.name, who.user})),
      query_time(registry.histogram(kQueryTime, {database.name, who.user})),
      wait_time(registry.histogram(kWaitTime, {database.name, who.user})),
      database_(database),
      pool_(workers, means, database.route, std::move(who), database.route.target.database, pool_options(options)) {
  const auto gauge = [&](const Family& family, std::uint64_t postgres::PoolStatus::* member) {
    gauges_.push_back(registry.gauge(family, {database_.name, pool_.user()}, [this, member] { return static_cast<double>(pool_.status().*member); }));
  };
  gauge(kPoolOpen, &postgres::PoolStatus::open);
  gauge(kPoolIdle, &postgres::PoolStatus::idle);
  gauge(kPoolWaiting, &postgres::PoolStatus::waiting);
  gauge(kPoolLimit, &postgres::PoolStatus::limit);
}

std::shared_ptr<const postgres::Settings> Account::welcome() const {
  const std::scoped_lock lock(mutex_);
  return welcome_;
}

void Account::set_welcome(const postgres::Settings& reported) {
  const std::scoped_lock lock(mutex_);
  welcome_ = std::make_shared<const postgres::Settings>(reported);
}

void Account::set_path(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  if (path_.empty()) path_ = path;
}

std::optional<std::string> Account::reported_as(const std::string& name, const std::string& value) const {
  const std::scoped_lock lock(mutex_);
  const auto found = known_.find(key_of(name, value));
  return found == known_.end() ? std::nullopt : std::optional(found->second);
}

void Account::remember(const std::string& name, const std::string& value, const std::string& reported) {
  const std::scoped_lock lock(mutex_);
  if (known_.size() >= kMostKnown) known_.clear();
  known_[key_of(name, value)] = reported;
}

}  // namespace headroom::sql
