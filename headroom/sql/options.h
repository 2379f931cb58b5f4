// headroom/sql/options.h - the settings of `[sql]` as values; the tables that read them are in options.cc.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"
#include "headroom/postgres/pool.h"
#include "headroom/sql/cache_options.h"

namespace headroom::sql {

enum class Mode : std::uint8_t { transaction, session };
inline constexpr std::array<config::Choice<Mode>, 2> kModes{
    {{"transaction", Mode::transaction}, {"session", Mode::session}}};
constexpr const auto& setting_choices(Mode /*of*/) { return kModes; }

enum class Auth : std::uint8_t { scram, md5, cert };
inline constexpr std::array<config::Choice<Auth>, 3> kAuths{
    {{"scram", Auth::scram}, {"md5", Auth::md5}, {"cert", Auth::cert}}};
constexpr const auto& setting_choices(Auth /*of*/) { return kAuths; }

// What is kept of the values in statements.
enum class Samples : std::uint8_t { none, redacted, values };
inline constexpr std::array<config::Choice<Samples>, 3> kSamples{
    {{"none", Samples::none}, {"redacted", Samples::redacted}, {"values", Samples::values}}};
constexpr const auto& setting_choices(Samples /*of*/) { return kSamples; }

// [[sql.databases]]
struct DatabaseOptions {
  std::string name;
  std::string postgres;
  std::vector<std::string> replicas;
  std::string mode;  // empty: [sql] mode
  std::uint32_t max_connections = 0;
  std::uint32_t max_clients = 0;
};

// [[sql.users]]
struct UserOptions {
  std::string name;
  std::string password;
  std::uint32_t max_connections = 0;
  std::uint32_t max_clients = 0;
};

// [sql.tls]
struct TlsOptions {
  std::string cert;
  std::string key;
  bool required = false;
  std::string client_ca;
  std::map<std::string, std::string> client_users;  // by a certificate's common name
};

// [sql]
struct SqlOptions {
  bool enabled = true;
  config::Address listen;
  std::string postgres;
  std::vector<std::string> replicas;
  Duration max_lag{};
  Duration replica_check{};
  bool read_only_transactions = true;
  std::vector<DatabaseOptions> databases;
  std::vector<UserOptions> users;
  std::string users_file;
  Auth auth{};
  std::string auth_query;
  std::vector<std::string> admins;
  TlsOptions tls;
  CacheOptions cache;
  std::vector<WarmOptions> warm;
  Mode mode{};
  std::uint32_t pool_min = 0;
  std::uint32_t pool_size = 0;
  std::uint32_t pool_overflow = 0;
  Duration pool_wait{};
  std::uint32_t max_pools = 0;
  std::uint32_t max_clients = 0;
  std::uint32_t max_db_connections = 0;
  std::uint32_t max_user_connections = 0;
  std::uint32_t max_db_clients = 0;
  std::uint32_t max_user_clients = 0;
  Duration connect_timeout{};
  Duration idle_timeout{};
  Duration lifetime{};
  Duration ping_after{};
  Duration login_timeout{};
  Duration query_timeout{};
  Duration transaction_timeout{};
  Duration idle_in_transaction_timeout{};
  Duration client_idle_timeout{};
  Duration slow_query{};
  Samples samples{};
  std::uint32_t max_prepared = 0;  // of a client
  Bytes max_prepared_bytes{};      // of a client
  Bytes max_prepared_memory{};     // of all
  [[nodiscard]] bool configured() const { return !postgres.empty() || !databases.empty(); }
  [[nodiscard]] bool has_replicas() const {
    return !replicas.empty() ||
           std::ranges::any_of(databases, [](const auto& each) { return !each.replicas.empty(); });
  }
};

[[nodiscard]] const config::Section<SqlOptions>& sql_section();
[[nodiscard]] postgres::PoolOptions pool_options(const SqlOptions& options);

}  // namespace headroom::sql
