#include "headroom/sql/room.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "headroom/auth/crypto.h"
#include "headroom/base/text.h"
#include "headroom/sql/metrics.h"
#include "headroom/sql/session.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kLongestLine = 4096;

// "name" "password" with doubled quotes inside, and comments after ';' as PgBouncer's userlist.txt has them.
std::optional<std::string> quoted(std::string_view& line) {
  line = text::trimmed(line);
  if (!line.starts_with('"')) return std::nullopt;
  std::string value;
  for (std::size_t i = 1; i < line.size(); ++i) {
    if (line[i] != '"') {
      value += line[i];
    } else if (i + 1 < line.size() && line[i + 1] == '"') {
      value += line[i++];
    } else {
      line.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

// An empty password is nobody's: only a URL without one trusts the loopback.
Secret secret_of_user(std::string_view password, std::string_view user, std::string_view mock_key) {
  return password.empty() ? Secret{} : parse_secret(password, user, mock_key);
}

}  // namespace

Part::Part(net::Worker& worker, metrics::Registry& registry)
    : group(worker), clients(registry.counter(kClients).at(worker.index())) {
  const std::size_t index = worker.index();
  for (const std::string_view reason :
       {"limit", "login", "protocol", "database", "tls", "address", "cancel"})
    refused[reason] = &registry.counter(kRefused, {std::string(reason)}).at(index);
  for (const std::string_view outcome : {"forwarded", "waiting", "nothing"})
    cancels[outcome] = &registry.counter(kCancels, {std::string(outcome)}).at(index);
  for (const std::string_view limit : {"number", "client", "all"})
    unprepared[limit] = &registry.counter(kPreparedRefused, {std::string(limit)}).at(index);
  for (const std::string_view reason : {"timeout", "unavailable", "overloaded", "refused"})
    failed[reason] = &registry.counter(kFailed, {std::string(reason)}).at(index);
}

Room::Room(net::Workers& its_workers, net::Resolver& resolver, metrics::Registry& its_registry,
           link::Link& its_link, cache::Cache* cache)
    : workers(its_workers),
      registry(its_registry),
      link(its_link),
      prepared_bytes(registry.gauge(kPreparedBytes, {},
                                    [this] { return static_cast<double>(statements.bytes()); })),
      mock_key(auth::random_bytes(32)),
      cache_(cache),
      means_{resolver, offload} {}

Result<> Room::add_database(const std::string& name, const std::string& url,
                            const std::vector<std::string>& replicas, Mode mode) {
  auto target = postgres::parse_url(url);
  if (!target) return pass(target, "database '" + name + "'");
  auto route = postgres::make_route(*target, workers.size());
  if (!route) return pass(route, "database '" + name + "'");
  const std::string its_name = name.empty() ? target->database : name;
  Database made{.name = its_name,
                .route = std::move(*route),
                .mode = mode,
                .owner = parse_secret(target->password, target->user, mock_key)};
  std::vector<postgres::Route> routes{made.route};
  for (const std::string& replica : replicas) {
    auto its_target = replica_target(replica, made.route.target);
    if (!its_target) return pass(its_target, "database '" + its_name + "': replica");
    auto its_route = postgres::make_route(*its_target, workers.size());
    if (!its_route) return pass(its_route, "database '" + its_name + "': replica");
    routes.push_back(std::move(*its_route));
  }
  const ClusterOptions how{.check = options_->replica_check, .max_lag = options_->max_lag};
  made.cluster = std::make_unique<Cluster>(workers, means_, its_name, std::move(routes), how);
  databases_.emplace(its_name, std::move(made));
  return {};
}

Result<> Room::read_users_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(Errc::invalid, fmt::format("sql.users_file: {} cannot be read", path));
  std::size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    std::string_view rest = text::trimmed(line);
    if (rest.empty() || rest.starts_with(';') || rest.starts_with('#')) continue;
    auto name = quoted(rest);
    auto password = quoted(rest);
    if (!name || name->empty() || !password || line.size() > kLongestLine)
      return fail(Errc::invalid,
                  fmt::format("{}:{}: expected \"name\" \"password\"", path, number));
    users_.insert_or_assign(*name, secret_of_user(*password, *name, mock_key));
  }
  return {};
}

Result<> Room::configure(std::shared_ptr<const SqlOptions> options) {
  options_ = std::move(options);
  statements.limit(options_->max_prepared_memory.count);
  for (const UserOptions& user : options_->users)
    users_.insert_or_assign(user.name, secret_of_user(user.password, user.name, mock_key));
  if (!options_->users_file.empty()) {
    if (auto read = read_users_file(options_->users_file); !read) return read;
  }
  saw_md5.store(
      std::ranges::any_of(users_, [](const auto& each) { return !each.second.md5.empty(); }));
  if (!options_->postgres.empty()) {
    if (auto added = add_database("", options_->postgres, options_->replicas, options_->mode);
        !added)
      return added;
  }
  for (const DatabaseOptions& database : options_->databases) {
    const Mode mode =
        database.mode.empty() ? options_->mode : *config::Value<Mode>::parse(database.mode);
    if (auto added = add_database(database.name, database.postgres, database.replicas, mode);
        !added)
      return added;
  }
  watch_changes();
  if (options_->tls.cert.empty()) return {};
  net::TlsServerOptions made;
  made.certificates.push_back({options_->tls.cert, options_->tls.key});
  made.alpn = {"postgresql"};
  if (!options_->tls.client_ca.empty()) {
    // Who shows none is told so by the login, not by a broken handshake.
    made.client_certificates = net::TlsClientCertificates::request;
    made.client_ca = options_->tls.client_ca;
  }
  auto server =
      net::TlsServer::make(made, workers.size(),
                           std::make_shared<const net::TlsTicketKeys>(net::TlsTicketKeys::fresh()));
  if (!server) return fail(Errc::invalid, "sql.tls: " + server.error().message);
  tls = std::move(*server);
  return {};
}

// Of every database, as its URL's user.
void Room::watch_changes() {
  if (cache_ == nullptr || (!options_->cache.on() && !tags_pages)) return;
  results = std::make_unique<ResultCache>(workers, *cache_, registry, options_->cache,
                                          tags_pages ? &link : nullptr);
  for (const auto& [name, database] : databases_) {
    const postgres::Target& target = database.route.target;
    results->add(means_, database,
                 {.user = target.user, .password = target.password, .md5 = {}, .keys = {}},
                 {.any = [this, &its = database](
                             const std::string& role) { return !accounts_of(its, role).empty(); },
                  .renew =
                      [this, &its = database](const std::string& role) {
                        for (Account* account : accounts_of(its, role)) account->begin_anew();
                      }});
  }
}

const Database* Room::database(std::string_view name) const {
  const auto found = databases_.find(name);
  return found == databases_.end() ? nullptr : &found->second;
}

// A URL says who its user is for its own database; for the proxy's own one of them with a password counts before those without.
const Secret* Room::secret(const Database* database, const std::string& user) const {
  if (const auto found = users_.find(user); found != users_.end()) return &found->second;
  const Secret* owner = nullptr;
  for (const auto& [name, each] : databases_) {
    if (each.route.target.user != user || (database != nullptr && database != &each)) continue;
    if (owner == nullptr || owner->none) owner = &each.owner;
  }
  return owner;
}

bool Room::is_admin(const std::string& user) const {
  return std::ranges::find(options_->admins, user) != options_->admins.end();
}

bool Room::may_look(const std::string& user) const {
  return is_admin(user) || std::ranges::any_of(databases_, [&](const auto& each) {
           return each.second.route.target.user == user;
         });
}

// The URL's user logs in by the URL's password; others as themselves, by what is known of theirs.
postgres::Credentials Room::credentials(const Database& database, const postgres::Route& route,
                                        const std::string& user, const Secret& secret) const {
  const postgres::Target& to = route.target;
  if (user == to.user && !to.password.empty())
    return {.user = user, .password = to.password, .md5 = {}, .keys = {}};
  if (user == database.route.target.user)
    return {.user = user, .password = database.route.target.password, .md5 = {}, .keys = {}};
  return {.user = user, .password = secret.password, .md5 = secret.md5, .keys = {}};
}

Result<Account*> Room::account(const Database& database, const std::string& user,
                               const Secret& secret,
                               const std::optional<postgres::ScramKeys>& shown) {
  const std::scoped_lock lock(mutex_);
  const auto known = accounts_.find({database.name, user});
  const bool there = known != accounts_.end();
  if ((!there || known->second->sleeps()) &&
      (!may_wake() || (!there && accounts_.size() >= kMostAccounts)))
    return fail(Errc::overloaded,
                fmt::format("{} pairs of database and user have clients or connections already "
                            "(sql.max_pools)",
                            options_->max_pools));
  auto& account = accounts_[{database.name, user}];
  if (!account) {
    std::vector<postgres::Credentials> who;
    for (std::size_t i = 0; i < database.cluster->size(); ++i)
      who.push_back(credentials(database, database.cluster->route(i), user, secret));
    std::vector<postgres::ConnectionLimits> allowed;
    for (std::size_t i = 0; i < database.cluster->size(); ++i)
      allowed.push_back(limits(database, user, database.cluster->route(i)));
    account =
        std::make_unique<Account>(workers, means_, database, who, *options_, allowed, registry);
  }
  for (std::size_t i = 0; shown && i < account->pools(); ++i) account->pool(i).learn(*shown);
  return account.get();
}

// Under the mutex: whether one more account may be used.
bool Room::may_wake() const {
  if (accounts_.size() < options_->max_pools) return true;
  const auto awake =
      std::ranges::count_if(accounts_, [](const auto& each) { return !each.second->sleeps(); });
  return static_cast<std::size_t>(awake) < options_->max_pools;
}

std::shared_ptr<postgres::ConnectionLimit> Room::limit(const std::string& name, std::size_t most) {
  auto& known = limits_[name];
  if (!known) known = std::make_shared<postgres::ConnectionLimit>(name, most, places_);
  return known;
}

namespace {

template <class Named>
const Named* find_named(const std::vector<Named>& all, const std::string& name) {
  const auto found = std::ranges::find(all, name, &Named::name);
  return found == all.end() ? nullptr : &*found;
}

// What is said of one, else of all.
template <class Named>
std::uint32_t most_of(const std::vector<Named>& all, const std::string& name,
                      std::uint32_t Named::* member, std::uint32_t of_all) {
  const Named* its = find_named(all, name);
  return its != nullptr && its->*member != 0 ? its->*member : of_all;
}

}  // namespace

// The pool's own only where it is shared: in one process the pool counts by itself.
postgres::ConnectionLimits Room::limits(const Database& database, const std::string& user,
                                        const postgres::Route& route) {
  const SqlOptions& o = *options_;
  const std::string at = " at " + route.target.address();
  postgres::ConnectionLimits all;
  if (places_)
    all.push_back(limit(fmt::format("the pool {}/{}{}", database.name, user, at),
                        o.pool_size + o.pool_overflow));
  if (const auto most = most_of(o.databases, database.name, &DatabaseOptions::max_connections,
                                o.max_db_connections))
    all.push_back(limit(fmt::format("database {}{}", database.name, at), most));
  if (const auto most =
          most_of(o.users, user, &UserOptions::max_connections, o.max_user_connections))
    all.push_back(limit(fmt::format("user {}{}", user, at), most));
  return all;
}

Result<> Room::let_in(Account& account) {
  const SqlOptions& o = *options_;
  const std::string& database = account.database().name;
  const std::string& user = account.user();
  const std::uint32_t most_db =
      most_of(o.databases, database, &DatabaseOptions::max_clients, o.max_db_clients);
  const std::uint32_t most_user =
      most_of(o.users, user, &UserOptions::max_clients, o.max_user_clients);
  const std::scoped_lock lock(mutex_);
  std::size_t& of_database = clients_of_databases_[database];
  std::size_t& of_user = clients_of_users_[user];
  if (most_db != 0 && of_database >= most_db)
    return fail(Errc::overloaded,
                fmt::format("no more than {} clients of database \"{}\" are let in "
                            "(sql.max_db_clients)",
                            most_db, database));
  if (most_user != 0 && of_user >= most_user)
    return fail(
        Errc::overloaded,
        fmt::format("no more than {} clients of user \"{}\" are let in (sql.max_user_clients)",
                    most_user, user));
  ++of_database;
  ++of_user;
  account.client_comes();
  return {};
}

void Room::leave(Account& account) {
  const std::scoped_lock lock(mutex_);
  account.client_goes();
  const auto less = [](std::map<std::string, std::size_t>& all, const std::string& name) {
    const auto found = all.find(name);
    if (found != all.end() && --found->second == 0) all.erase(found);
  };
  less(clients_of_databases_, account.database().name);
  less(clients_of_users_, account.user());
}

std::vector<Account*> Room::accounts() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Account*> all;
  for (const auto& [name, account] : accounts_) all.push_back(account.get());
  return all;
}

std::vector<Account*> Room::accounts_of(const Database& database, const std::string& role) const {
  std::vector<Account*> all = accounts();
  std::erase_if(all, [&](const Account* account) {
    return &account->database() != &database || (!role.empty() && role != account->user());
  });
  return all;
}

// Who waits for a server that is the primary no longer, or runs a read on one that is gone, has to be told.
void Room::start_watching() {
  const auto changed = [this] {
    for (auto& worker : workers) {
      worker->post([this, index = worker->index()] {
        for (auto& [pid, session] : parts_[index]->sessions) session->servers_changed();
      });
    }
  };
  for (auto& [name, database] : databases_) database.cluster->start(changed);
}

void Room::stop_watching() {
  for (auto& [name, database] : databases_) database.cluster->stop();
}

// The low six bits of a pid are its worker's.
void Room::cancel(std::uint32_t pid, std::string key) {
  const std::size_t index = pid % metrics::kMaxWorkers;
  if (index >= parts_.size()) return;
  workers[index].post([this, index, pid, key = std::move(key)] {
    Part& there = *parts_[index];
    const auto found = there.sessions.find(pid);
    if (found == there.sessions.end()) return there.cancels.at("nothing")->add();
    found->second->cancel(key);
  });
}

}  // namespace headroom::sql
