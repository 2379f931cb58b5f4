#include "headroom/sql/options.h"

#include <fmt/format.h>

#include <cstdlib>
#include <set>

#include "headroom/postgres/url.h"
#include "headroom/sql/cluster.h"

namespace headroom::sql {
namespace {

using config::between;
using config::Reload;
using config::Section;

constexpr auto kHour = std::chrono::hours(1);
constexpr auto kLongest = std::chrono::hours(24 * 365);

const Section<DatabaseOptions>& database_section() {
  static const auto section = [] {
    Section<DatabaseOptions> s(
        "databases",
        "A database that clients may name, where its server is, and as whom to log in there.");
    s.required("name", &DatabaseOptions::name, Reload::restart, "What clients call it.");
    s.required("postgres", &DatabaseOptions::postgres, Reload::restart,
               "URL of its server: postgresql://user:password@host:port/database?sslmode=require.");
    s.setting("replicas", &DatabaseOptions::replicas, "", Reload::restart,
              "Its streaming replicas, URLs or host:port; reads go there.");
    s.setting("mode", &DatabaseOptions::mode, "", Reload::restart,
              "transaction or session; empty: as [sql] mode.",
              config::satisfying("such as transaction or session", [](const std::string& text) {
                return text.empty() || text == "transaction" || text == "session";
              }));
    s.setting("max_connections", &DatabaseOptions::max_connections, "0", Reload::restart,
              "Server connections of all its users together, on each of its servers; 0: as [sql] "
              "max_db_connections.",
              between(0U, 65'536U));
    s.setting("max_clients", &DatabaseOptions::max_clients, "0", Reload::restart,
              "Its clients at once; 0: as [sql] max_db_clients.", between(0U, 1'000'000U));
    return s;
  }();
  return section;
}

const Section<UserOptions>& user_section() {
  static const auto section = [] {
    Section<UserOptions> s("users",
                           "A user beside those of the URLs. It logs in to the server under the "
                           "same name, in pools of its own.");
    s.required("name", &UserOptions::name, Reload::restart, "The user's name.");
    s.secret("password", &UserOptions::password, "", Reload::restart,
             "In clear, or as the server stores it: SCRAM-SHA-256$... or md5...");
    s.setting("max_connections", &UserOptions::max_connections, "0", Reload::restart,
              "Server connections of the user over all databases, on each server; 0: as [sql] "
              "max_user_connections.",
              between(0U, 65'536U));
    s.setting("max_clients", &UserOptions::max_clients, "0", Reload::restart,
              "Its clients at once; 0: as [sql] max_user_clients.", between(0U, 1'000'000U));
    return s;
  }();
  return section;
}

const Section<TlsOptions>& tls_section() {
  static const auto section = [] {
    Section<TlsOptions> s("tls",
                          "TLS for clients, on the same port: after an SSLRequest, or at once.");
    s.setting("cert", &TlsOptions::cert, "", Reload::restart,
              "PEM file: the certificate and its chain. Empty: no TLS.");
    s.setting("key", &TlsOptions::key, "", Reload::restart, "PEM file: its private key.");
    s.setting("required", &TlsOptions::required, "false", Reload::restart,
              "Refuse clients without TLS.");
    s.setting("client_ca", &TlsOptions::client_ca, "", Reload::restart,
              "PEM file: who signs the certificates of clients, for auth = \"cert\".");
    s.setting(
        "client_users", &TlsOptions::client_users, "", Reload::restart,
        "Users by the common name of a client's certificate, `{ \"app.internal\" = \"app\" }`; "
        "empty: the name is the user's.");
    s.check([](const TlsOptions& o) -> Result<> {
      if (o.cert.empty() != o.key.empty())
        return fail(Errc::invalid, "cert and key belong together");
      if (o.required && o.cert.empty()) return fail(Errc::invalid, "required needs cert and key");
      if (!o.client_ca.empty() && o.cert.empty())
        return fail(Errc::invalid, "client_ca needs cert and key");
      return {};
    });
    return s;
  }();
  return section;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets any
  return value == nullptr ? "" : value;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// POSTGRES_SERVER is a host; the names beside it are those of PostgreSQL's image, with its defaults.
std::string url_of_server(std::string_view server) {
  if (server.contains("://")) return std::string(server);
  const std::string given_user = variable("POSTGRES_USER");
  const std::string user = given_user.empty() ? "postgres" : given_user;
  const std::string password = variable("POSTGRES_PASSWORD");
  const std::string database = variable("POSTGRES_DB");
  const std::string port = variable("POSTGRES_PORT");
  return fmt::format("postgresql://{}{}@{}{}/{}", escaped(user),
                     password.empty() ? "" : ":" + escaped(password), server,
                     port.empty() || server.contains(':') ? "" : ":" + port,
                     escaped(database.empty() ? user : database));
}

Result<> check_replicas(const std::vector<std::string>& replicas) {
  if (replicas.size() >= Cluster::kMostServers) return fail(Errc::invalid, "more than 15 replicas");
  for (const std::string& replica : replicas) {
    if (auto url = replica_target(replica, {}); !url) return pass(url, "replicas");
  }
  return {};
}

Result<> check_databases(const SqlOptions& o) {
  std::set<std::string> names{"headroom"};
  if (!o.postgres.empty()) {
    auto url = postgres::parse_url(o.postgres);
    if (!url) return pass(url, "postgres");
    if (!names.insert(url->database).second)
      return fail(Errc::invalid, "postgres: the database 'headroom' is the proxy's own");
  }
  if (o.postgres.empty() && !o.replicas.empty())
    return fail(Errc::invalid, "replicas: of what? postgres is not given");
  if (auto good = check_replicas(o.replicas); !good) return good;
  for (const DatabaseOptions& database : o.databases) {
    if (auto good = check_replicas(database.replicas); !good)
      return pass(good, "database '" + database.name + "'");
    if (auto url = postgres::parse_url(database.postgres); !url)
      return pass(url, "database '" + database.name + "'");
    if (!names.insert(database.name).second)
      return fail(Errc::invalid, "two databases are named '" + database.name + "'");
  }
  if ((o.auth == Auth::cert) == o.tls.client_ca.empty())
    return fail(Errc::invalid, "auth = \"cert\" and tls.client_ca belong together");
  if (o.warm.size() > kMostWarmQueries) return fail(Errc::invalid, "warm: more than 1000 queries");
  for (const WarmOptions& warm : o.warm) {
    if (warm.database.empty() ? o.postgres.empty() && o.databases.size() != 1
                              : !names.contains(warm.database) || warm.database == "headroom")
      return fail(Errc::invalid, "warm: no such database: '" + warm.database + "'");
  }
  if (o.pool_size + o.pool_overflow < std::max(1U, o.pool_min))
    return fail(Errc::invalid, "pool_size and pool_overflow allow fewer connections than pool_min");
  return {};
}

}  // namespace

const Section<SqlOptions>& sql_section() {
  static const auto section = [] {
    Section<SqlOptions> s("sql",
                          "The PostgreSQL proxy: apps connect here instead of to PostgreSQL.");
    s.setting("enabled", &SqlOptions::enabled, "true", Reload::restart,
              "Whether there is one. It listens when a server is given.");
    s.setting("listen", &SqlOptions::listen, "127.0.0.1:6432", Reload::restart,
              "Where clients connect.");
    s.setting("postgres", &SqlOptions::postgres, "", Reload::restart,
              "URL of the server; its database and user are then known to clients (--postgres).");
    s.setting("replicas", &SqlOptions::replicas, "", Reload::restart,
              "The server's streaming replicas, URLs or host:port; reads go there (--replica, once "
              "for each).");
    s.setting("max_lag", &SqlOptions::max_lag, "1s", Reload::restart,
              "A replica further behind gets no reads until it has caught up.",
              between(1ms, kHour));
    s.setting("replica_check", &SqlOptions::replica_check, "50ms", Reload::restart,
              "How often each server is asked how far it is and whether it is the primary.",
              between(10ms, Duration(10s)));
    s.setting(
        "read_only_transactions", &SqlOptions::read_only_transactions, "true", Reload::restart,
        "READ ONLY transactions of READ COMMITTED run on replicas, until they ask for more than "
        "plain reads.");
    s.list("databases", &SqlOptions::databases, database_section(), Reload::restart);
    s.list("users", &SqlOptions::users, user_section(), Reload::restart);
    s.setting("users_file", &SqlOptions::users_file, "", Reload::restart,
              "File of further users in PgBouncer's form: \"name\" \"password\", one a line.");
    s.setting(
        "auth", &SqlOptions::auth, "scram", Reload::restart,
        "How clients whose password is known in clear are asked for it; cert: all clients show a "
        "certificate instead.");
    s.setting(
        "auth_query", &SqlOptions::auth_query, "", Reload::restart,
        "Asks the server for users that are not known here, as the URL's user: SELECT usename, "
        "passwd FROM pg_catalog.pg_shadow WHERE usename = $1 and the like. Empty: off.");
    s.setting("admins", &SqlOptions::admins, "", Reload::restart,
              "Users who may change something in database headroom (PAUSE, RESUME, RECONNECT, "
              "KILL). Users of URLs may look.");
    s.section("tls", &SqlOptions::tls, tls_section());
    s.section("cache", &SqlOptions::cache, cache_section());
    s.list("warm", &SqlOptions::warm, warm_section(), Reload::restart);
    s.setting("mode", &SqlOptions::mode, "transaction", Reload::restart,
              "How long a client keeps a server connection.");
    s.setting("pool_min", &SqlOptions::pool_min, "0", Reload::restart,
              "Connections kept ready for each database and user once it was used.",
              between(0U, 1000U));
    s.setting("pool_size", &SqlOptions::pool_size, "20", Reload::restart,
              "Connections for each database and user, over all workers.", between(0U, 10'000U));
    s.setting("pool_overflow", &SqlOptions::pool_overflow, "40", Reload::restart,
              "Further ones in a burst, closed a second after it.", between(0U, 10'000U));
    s.setting("pool_wait", &SqlOptions::pool_wait, "30s", Reload::restart,
              "How long a client waits for a connection; then it gets an error (SQLSTATE 53300).",
              between(1ms, kHour));
    s.setting("max_pools", &SqlOptions::max_pools, "100", Reload::restart,
              "Pairs of database and user that may have clients or server connections at once.",
              between(1U, 10'000U));
    s.setting("max_clients", &SqlOptions::max_clients, "10000", Reload::restart, "Clients at once.",
              between(1U, 1'000'000U));
    s.setting(
        "max_db_connections", &SqlOptions::max_db_connections, "0", Reload::restart,
        "Server connections of each database, all its users together, on each of its servers. "
        "0: no limit but the pools'.",
        between(0U, 65'536U));
    s.setting("max_user_connections", &SqlOptions::max_user_connections, "0", Reload::restart,
              "Server connections of each user, over all databases, on each server. 0: no limit.",
              between(0U, 65'536U));
    s.setting("max_db_clients", &SqlOptions::max_db_clients, "0", Reload::restart,
              "Clients of each database at once. 0: no limit.", between(0U, 1'000'000U));
    s.setting("max_user_clients", &SqlOptions::max_user_clients, "0", Reload::restart,
              "Clients of each user at once. 0: no limit.", between(0U, 1'000'000U));
    s.setting("connect_timeout", &SqlOptions::connect_timeout, "10s", Reload::restart,
              "For connecting and logging in to the server, retries included.",
              between(1ms, kHour));
    s.setting("idle_timeout", &SqlOptions::idle_timeout, "45s", Reload::restart,
              "A server connection beyond pool_min that has been idle so long is closed.",
              between(1s, kLongest));
    s.setting("lifetime", &SqlOptions::lifetime, "1h", Reload::restart,
              "A server connection is renewed at this age, or up to a tenth earlier. 0: never.",
              between(0s, kLongest));
    s.setting(
        "ping_after", &SqlOptions::ping_after, "30s", Reload::restart,
        "A connection that has been idle so long is asked for a sign of life before it is used.",
        between(0s, kLongest));
    s.setting("login_timeout", &SqlOptions::login_timeout, "60s", Reload::restart,
              "For a client's login.", between(100ms, kHour));
    s.setting("query_timeout", &SqlOptions::query_timeout, "0", Reload::restart,
              "A query that takes longer is cancelled and its client closed (57014). 0: no limit.",
              between(0s, kLongest));
    s.setting("transaction_timeout", &SqlOptions::transaction_timeout, "0", Reload::restart,
              "A transaction that takes longer is rolled back and its client closed (25P04). 0: no "
              "limit.",
              between(0s, kLongest));
    s.setting("idle_in_transaction_timeout", &SqlOptions::idle_in_transaction_timeout, "0",
              Reload::restart,
              "A client that says nothing for so long within a transaction is closed (25P03). 0: "
              "no limit.",
              between(0s, kLongest));
    s.setting("client_idle_timeout", &SqlOptions::client_idle_timeout, "0", Reload::restart,
              "A client that says nothing for so long outside of a transaction is closed (57P05). "
              "0: no limit.",
              between(0s, kLongest));
    s.setting("slow_query", &SqlOptions::slow_query, "1s", Reload::restart,
              "Queries that take so long are logged, their literals blanked. 0: none.",
              between(0s, kLongest));
    s.setting(
        "samples", &SqlOptions::samples, "none", Reload::restart,
        "values: of each shape of query its slowest statement of late is kept with its values, "
        "in memory, for admins to look at and to be explained. redacted: with literals blanked, "
        "and "
        "of each parameter no more than its size. none: no value of any query is kept.");
    s.setting("max_prepared", &SqlOptions::max_prepared, "1000", Reload::restart,
              "Prepared statements that a client may have.", between(1U, 100'000U));
    s.setting("max_prepared_bytes", &SqlOptions::max_prepared_bytes, "16MiB", Reload::restart,
              "Memory for the prepared statements of one client (SQLSTATE 53400 beyond it).",
              between(Bytes{64U << 10U}, Bytes{1ULL << 40U}));
    s.setting("max_prepared_memory", &SqlOptions::max_prepared_memory, "256MiB", Reload::restart,
              "Memory for the prepared statements of all clients together, equal ones once.",
              between(Bytes{1U << 20U}, Bytes{1ULL << 40U}));
    s.alias("POSTGRES_SERVER", "postgres", url_of_server);
    s.alias("POSTGRES_READ_REPLICAS", "replicas");
    s.alias("DB_POOL_SIZE", "pool_size");
    s.alias("DB_MAX_OVERFLOW", "pool_overflow");
    s.alias("DB_POOL_TIMEOUT", "pool_wait", config::bare_seconds);
    s.check(check_databases);
    return s;
  }();
  return section;
}

postgres::PoolOptions pool_options(const SqlOptions& o) {
  return {.min = o.pool_min,
          .size = o.pool_size,
          .overflow = o.pool_overflow,
          .max_waiting = o.max_clients,
          .wait = o.pool_wait,
          .connect = o.connect_timeout,
          .idle = o.idle_timeout,
          .lifetime = o.lifetime,
          .ping_after = o.ping_after};
}

}  // namespace headroom::sql
