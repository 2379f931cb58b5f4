// headroom/sql/room.h - what all sessions of the proxy share: databases, users, accounts, statements; and each worker's part of it.
//
// Owns: the accounts with their pools, and the sessions' groups. Worker: a Part is its worker's; the rest is set before the first client, or locks.
// Invariants: (1) an account is made once, and lives until the end; (2) a session is in its part's table exactly while it can be cancelled.
// Limits: [sql] max_pools accounts that somebody uses, kMostAccounts in all; max_clients sessions.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/link/link.h"
#include "headroom/net/tls.h"
#include "headroom/net/worker.h"
#include "headroom/sql/account.h"
#include "headroom/sql/classify.h"
#include "headroom/sql/client_auth.h"
#include "headroom/sql/insight.h"
#include "headroom/sql/options.h"
#include "headroom/sql/result_cache.h"
#include "headroom/sql/statements.h"

namespace headroom::sql {

class Session;

inline constexpr std::string_view kAdminDatabase = "headroom";

// One worker's part.
struct Part {
  Part(net::Worker& worker, metrics::Registry& registry);
  net::TaskGroup group;
  std::unordered_map<std::uint32_t, Session*> sessions;  // by the pid that clients know
  std::uint32_t next = 1;
  bool draining = false;
  metrics::Cell& clients;
  std::map<std::string_view, metrics::Cell*> refused, cancels, failed, unprepared;
  Insight insight;
  Classifier classifier;
};

class Room {
 public:
  // `cache`: null: no results are cached.
  Room(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
       link::Link& link, cache::Cache* cache = nullptr);

  // Errc::invalid.
  [[nodiscard]] Result<> configure(std::shared_ptr<const SqlOptions> options);
  [[nodiscard]] const SqlOptions& options() const { return *options_; }
  [[nodiscard]] const Database* database(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, Database, std::less<>>& databases() const {
    return databases_;
  }
  // Of a user who asks for that database; null: for the proxy's own.
  [[nodiscard]] const Secret* secret(const Database* database, const std::string& user) const;
  [[nodiscard]] bool is_admin(const std::string& user) const;
  [[nodiscard]] bool may_look(const std::string& user) const;
  static constexpr std::size_t kMostAccounts = 20'000;
  // Errc::overloaded: max_pools are used already. `shown`: what the client proved itself by.
  [[nodiscard]] Result<Account*> account(const Database& database, const std::string& user,
                                         const Secret& secret,
                                         const std::optional<postgres::ScramKeys>& shown);
  [[nodiscard]] std::vector<Account*> accounts() const;
  // Of this role; "": of all.
  [[nodiscard]] std::vector<Account*> accounts_of(const Database& database,
                                                  const std::string& role) const;
  // Where processes that follow one another count their server connections together. Before the first account.
  void share(std::shared_ptr<const postgres::SharedPlaces> places) { places_ = std::move(places); }
  // One more client of that account; each that is let in must leave. Errc::overloaded.
  [[nodiscard]] Result<> let_in(Account& account);
  void leave(Account& account);
  [[nodiscard]] Part& part(const net::Worker& worker) { return *parts_[worker.index()]; }
  [[nodiscard]] const postgres::Means& means() const { return means_; }
  // From main's thread: the servers are watched, are no longer.
  void start_watching();
  void stop_watching();
  // A cancel request, from any worker; to the session's own.
  void cancel(std::uint32_t pid, std::string key);

  net::Workers& workers;
  metrics::Registry& registry;
  link::Link& link;
  metrics::GaugeHandle prepared_bytes;
  net::Offload offload{"sql", 1};
  Statements statements;
  std::shared_ptr<const net::TlsServer> tls;  // null: none
  std::string mock_key;                       // of users that are not there; from before start() on
  std::atomic<std::size_t> clients{0};
  std::atomic<bool> saw_md5{false};  // the secret of somebody is known as an md5 hash alone
  std::vector<std::unique_ptr<Part>> parts_;
  std::unique_ptr<ResultCache> results;  // null: none are cached, and nobody is told what is read
  bool tags_pages = false;
  const TimePoint started = Clock::now();

 private:
  [[nodiscard]] Result<> add_database(const std::string& name, const std::string& url,
                                      const std::vector<std::string>& replicas, Mode mode);
  [[nodiscard]] Result<> read_users_file(const std::string& path);
  [[nodiscard]] postgres::Credentials credentials(const Database& database,
                                                  const postgres::Route& route,
                                                  const std::string& user,
                                                  const Secret& secret) const;

  void watch_changes();
  [[nodiscard]] bool may_wake() const;
  [[nodiscard]] postgres::ConnectionLimits limits(const Database& database, const std::string& user,
                                                  const postgres::Route& route);
  [[nodiscard]] std::shared_ptr<postgres::ConnectionLimit> limit(const std::string& name,
                                                                 std::size_t most);

  cache::Cache* const cache_;
  postgres::Means means_;
  std::shared_ptr<const SqlOptions> options_;
  std::map<std::string, Database, std::less<>> databases_;
  std::map<std::string, Secret, std::less<>> users_;
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Account>> accounts_;
  std::shared_ptr<const postgres::SharedPlaces> places_;
  std::map<std::string, std::shared_ptr<postgres::ConnectionLimit>> limits_;
  std::map<std::string, std::size_t> clients_of_databases_, clients_of_users_;
};

}  // namespace headroom::sql
