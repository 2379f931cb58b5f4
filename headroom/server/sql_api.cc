#include "headroom/server/sql_api.h"

#include <fmt/format.h>

#include <array>

#include "headroom/base/text.h"
#include "headroom/json/writer.h"
#include "headroom/server/report.h"
#include "headroom/server/sql_queries_api.h"
#include "headroom/sql/options.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;
using sql::Sql;

constexpr double kSlow = 100;  // ms, of a sign of life (the seeds' warning)

// What is not as it should be with a pool.
struct Warning {
  bool critical = false;
  std::string_view what;
  double value = 0, limit = 0;
};

// All pools together.
struct Total {
  std::uint64_t open = 0, idle = 0, waiting = 0, limit = 0, queries = 0, waits = 0, timeouts = 0,
                connects = 0, failures = 0;
  double mean_ms = 0, p95_ms = 0, highest_use = 0;
  std::optional<Duration> response_time;  // the slowest
  Duration longest_wait{};
  bool failing = false, warned = false;
  [[nodiscard]] std::string_view status() const {
    return failing ? "unhealthy" : warned ? "degraded" : "healthy";
  }
};

double use_of(const sql::PoolReport& report) {
  return percentage(report.pool.open - std::min(report.pool.open, report.pool.idle),
                    report.pool.limit);
}

bool is_failing(const sql::PoolReport& report) {
  return !report.pool.last_error.empty() && report.pool.open == 0;
}

std::vector<Warning> warnings_of(const sql::PoolReport& report) {
  using postgres::PoolWatch;
  const postgres::PoolStatus& pool = report.pool;
  std::vector<Warning> all;
  const double use = use_of(report);
  if (use > PoolWatch::kAlarm)
    all.push_back({true, "use_percent", use, PoolWatch::kAlarm});
  else if (use > PoolWatch::kWarning)
    all.push_back({false, "use_percent", use, PoolWatch::kWarning});
  if (pool.waiting > 0) all.push_back({false, "waiting", static_cast<double>(pool.waiting), 0});
  const double ms = milliseconds(report.watch.response_time.value_or(Duration()));
  if (ms > kSlow) all.push_back({false, "response_time_ms", ms, kSlow});
  if (report.watch.check_failed) all.push_back({true, "check_failed", 1, 0});
  if (!pool.last_error.empty()) all.push_back({pool.open == 0, "cannot_connect", 1, 0});
  return all;
}

std::string_view status_of(const sql::PoolReport& report, const std::vector<Warning>& warnings) {
  if (is_failing(report)) return "unhealthy";
  return std::ranges::any_of(warnings, &Warning::critical) ? "critical"
         : warnings.empty()                                ? "healthy"
                                                           : "warning";
}

Total total_of(const std::vector<sql::PoolReport>& pools) {
  Total t;
  double time = 0;
  for (const sql::PoolReport& each : pools) {
    t.open += each.pool.open;
    t.idle += std::min(each.pool.open, each.pool.idle);
    t.waiting += each.pool.waiting;
    t.limit += each.pool.limit;
    t.queries += each.queries;
    t.waits += each.pool.waits;
    t.timeouts += each.pool.timeouts;
    t.connects += each.pool.connects;
    t.failures += each.pool.failures;
    t.longest_wait = std::max(t.longest_wait, each.pool.longest_wait);
    t.highest_use = std::max(t.highest_use, use_of(each));
    t.p95_ms = std::max(t.p95_ms, each.p95_ms);
    t.failing = t.failing || is_failing(each);
    t.warned = t.warned || !warnings_of(each).empty();
    t.response_time = std::max(t.response_time, each.watch.response_time);
    time += each.mean_ms * static_cast<double>(each.queries);
  }
  if (t.queries > 0) t.mean_ms = time / static_cast<double>(t.queries);
  return t;
}

std::string utc_of(std::chrono::system_clock::time_point at) {
  return utc_text(std::chrono::floor<std::chrono::seconds>(at));
}

// How it is, and what it has been through.
void write_watch(json::Writer& out, const sql::PoolReport& report) {
  const postgres::PoolWatchReport& watch = report.watch;
  const std::vector<Warning> warnings = warnings_of(report);
  out.field("status", status_of(report, warnings)).key("warnings").begin_array();
  for (const Warning& each : warnings) {
    out.begin_object()
        .field("level", each.critical ? "critical" : "warning")
        .field("what", each.what);
    out.key("value").fixed(each.value, 2).key("limit").fixed(each.limit, 2).end_object();
  }
  out.end_array().key("peak_use_percent").fixed(watch.peak_use, 2).key("response_time_ms");
  if (watch.response_time)
    out.fixed(milliseconds(*watch.response_time), 3)
        .key("checked_seconds_ago")
        .fixed(seconds(watch.since_check), 1);
  else
    out.null().key("checked_seconds_ago").null();
  out.key("closes_by").begin_object();
  for (std::size_t i = 0; i < watch.closings.size(); ++i)
    out.field(postgres::kClosings[i], watch.closings[i]);
  out.end_object().key("events").begin_array();
  for (const postgres::PoolEvent& each : watch.events)
    out.begin_object()
        .field("at", utc_of(each.at))
        .field("what", each.what)
        .field("detail", each.detail)
        .end_object();
  out.end_array();
}

void write_pools(json::Writer& out, const std::vector<sql::PoolReport>& pools) {
  out.key("pools").begin_array();
  for (const sql::PoolReport& each : pools) {
    const postgres::PoolStatus& pool = each.pool;
    out.begin_object()
        .field("database", each.database)
        .field("user", each.user)
        .field("server", each.server)
        .field("paused", pool.paused);
    out.field("open", pool.open)
        .field("idle", pool.idle)
        .field("in_use", pool.open - std::min(pool.open, pool.idle))
        .field("limit", pool.limit)
        .key("use_percent")
        .fixed(use_of(each), 2);
    out.field("waiting", pool.waiting)
        .field("longest_wait_ms", milliseconds(pool.longest_wait))
        .field("waits", pool.waits)
        .key("wait_ms")
        .fixed(pool.waits == 0 ? 0 : milliseconds(pool.waited) / static_cast<double>(pool.waits), 3)
        .field("timeouts", pool.timeouts);
    out.field("connects", pool.connects)
        .field("failures", pool.failures)
        .field("closes", pool.closes)
        .field("last_error", pool.last_error);
    out.field("queries", each.queries)
        .field("transactions", each.transactions)
        .field("errors", each.errors);
    out.key("mean_ms")
        .fixed(each.mean_ms, 3)
        .key("p50_ms")
        .fixed(each.p50_ms, 3)
        .key("p95_ms")
        .fixed(each.p95_ms, 3)
        .key("p99_ms")
        .fixed(each.p99_ms, 3);
    write_watch(out, each);
    out.end_object();
  }
  out.end_array();
}

Reply pools_of(const Sql& sql, const Call&) {
  std::string body;
  json::Writer out(body);
  const auto pools = sql.pools();
  out.begin_object().field("status", total_of(pools).status());
  write_pools(out, pools);
  out.end_object();
  return json_reply(std::move(body));
}

// A-Cube: status, response time, the pool's settings.
Reply pool_health(const Sql& sql, const Call&) {
  const auto pools = sql.pools();
  const Total t = total_of(pools);
  const sql::SqlOptions& options = sql.options();
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", t.status()).key("response_time_ms").fixed(t.mean_ms, 3);
  out.key("pool").begin_object();
  out.field("min_pool_size", options.pool_min)
      .field("max_pool_size", options.pool_size + options.pool_overflow);
  out.field("max_idle_time_ms", milliseconds(options.idle_timeout))
      .field("connect_timeout_ms", milliseconds(options.connect_timeout));
  out.field("wait_timeout_ms", milliseconds(options.pool_wait))
      .field("open", t.open)
      .field("idle", t.idle)
      .field("in_use", t.open - t.idle);
  out.field("waiting", t.waiting).key("use_percent").fixed(t.highest_use, 2).end_object();
  out.key("query_stats")
      .begin_object()
      .field("queries", t.queries)
      .key("mean_ms")
      .fixed(t.mean_ms, 3)
      .key("p95_ms")
      .fixed(t.p95_ms, 3)
      .end_object();
  write_pools(out, pools);
  out.field("timestamp", utc_now()).end_object();
  return json_reply(std::move(body));
}

Reply sixfb_database(const Sql& sql, const Call&) {
  const auto pools = sql.pools();
  const Total t = total_of(pools);
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", t.status()).key("pool_usage").fixed(t.highest_use, 2);
  out.field("pool_size", t.limit)
      .field("checked_out", t.open - t.idle)
      .field("waiting", t.waiting)
      .key("response_time_ms")
      .fixed(t.mean_ms, 3);
  out.key("slow_queries");
  write_queries(out, sql.queries(Sql::Order::mean, 10).first);
  out.key("indexes").null();  // the advisor's, which is not there yet
  write_pools(out, pools);
  out.end_object();
  return json_reply(std::move(body));
}

// Of the servers' shared buffers, by pg_stat_database; the system's own cache behind them is not seen.
Reply hit_ratio(const Sql& sql, const Call&) {
  constexpr std::string_view kQuery =
      "SELECT pg_catalog.sum(blks_hit)::pg_catalog.int8, "
      "pg_catalog.sum(blks_read)::pg_catalog.int8, "
      "(SELECT pg_catalog.sum(idx_blks_hit)::pg_catalog.int8 FROM "
      "pg_catalog.pg_statio_user_tables), "
      "(SELECT pg_catalog.sum(idx_blks_read)::pg_catalog.int8 FROM "
      "pg_catalog.pg_statio_user_tables) "
      "FROM pg_catalog.pg_stat_database WHERE datname = pg_catalog.current_database()";
  std::string databases;
  json::Writer each(databases);
  std::array<std::uint64_t, 4> sums{};
  std::string_view status = "ok";
  each.begin_array();
  for (const std::string& name : sql.databases()) {
    auto rows = sql.ask(name, std::string(kQuery));
    each.begin_object().field("database", name);
    if (!rows || rows->size() != 1 || (*rows)[0].size() != sums.size()) {
      status = "unavailable";
      each.field("error", rows ? "malformed answer" : rows.error().message).end_object();
      continue;
    }
    std::array<std::uint64_t, 4> counts{};
    for (std::size_t i = 0; i < counts.size(); ++i)
      sums[i] += counts[i] = (*rows)[0][i] ? text::to_u64(*(*rows)[0][i]).value_or(0) : 0;
    each.field("blocks_hit", counts[0])
        .field("blocks_read", counts[1])
        .key("cache_hit_ratio")
        .fixed(percentage(counts[0], counts[0] + counts[1]), 2);
    each.key("index_hit_ratio").fixed(percentage(counts[2], counts[2] + counts[3]), 2).end_object();
  }
  each.end_array();
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", status)
      .key("cache_hit_ratio")
      .fixed(percentage(sums[0], sums[0] + sums[1]), 2);
  out.key("index_hit_ratio")
      .fixed(percentage(sums[2], sums[2] + sums[3]), 2)
      .field("target", 95)
      .key("databases")
      .raw(databases)
      .end_object();
  return json_reply(std::move(body));
}

std::string lsn_text(std::uint64_t lsn) {
  return fmt::format("{:X}/{:X}", lsn >> 32U, lsn & 0xffffffffU);
}

Reply replication(const Sql& sql, const Call&) {
  const auto servers = sql.replicas();
  double lag = 0;
  std::size_t usable = 0;
  std::size_t replicas = 0;
  for (const auto& [database, server] : servers) {
    if (server.is_primary) continue;
    ++replicas;
    usable += server.usable ? 1 : 0;
    if (server.role == sql::Role::replica) lag = std::max(lag, seconds(server.lag));
  }
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", replicas == 0        ? "not_configured"
                                     : usable == replicas ? "healthy"
                                     : usable > 0         ? "degraded"
                                                          : "unhealthy");
  out.key("lag_seconds");
  if (replicas == 0)
    out.null();
  else
    out.fixed(lag, 3);
  out.field("usable", usable).key("primary").begin_array();
  const auto write = [&out](const sql::ReplicaReport& each) {
    const sql::ServerStatus& s = each.server;
    out.begin_object()
        .field("database", each.database)
        .field("server", s.address)
        .field("role", s.fenced ? "fenced" : sql::name_of(s.role))
        .field("usable", s.usable);
    out.key("lag_seconds")
        .fixed(seconds(s.lag), 3)
        .field("lag_bytes", s.lag_bytes)
        .field("lsn", lsn_text(s.lsn))
        .field("timeline", s.timeline);
    out.field("reads", s.reads).field("busy", s.busy).field("error", s.error).end_object();
  };
  for (const auto& each : servers) {
    if (each.server.is_primary) write(each);
  }
  out.end_array().key("replicas").begin_array();
  for (const auto& each : servers) {
    if (!each.server.is_primary) write(each);
  }
  out.end_array().end_object();
  return json_reply(std::move(body));
}

struct Row {
  std::string_view path;
  std::string_view summary;
  std::string_view fields;  // null without the proxy
  Reply (*answer)(const Sql& sql, const Call& call);
  bool seed = true;
};
constexpr std::array kRows{
    Row{"/api/v1/sql/pools", "The SQL proxy's pools.", "pools", pools_of, false},
    Row{"/api/v1/database/slow-queries",
        "Queries at the SQL proxy, literals blanked: ?by=mean|total|calls|errors|rows|wait, "
        "?limit=20. (FastNext)",
        "slow_queries", slow_queries},
    Row{"/api/v1/database/cache-hit-ratio",
        "Share of block reads that the databases' shared buffers answered, in percent. (FastNext)",
        "cache_hit_ratio index_hit_ratio databases", hit_ratio},
    Row{"/api/v1/scaling/replication/status",
        "Each server of replicated databases: role, lag, whether it gets reads. (FastNext)",
        "lag_seconds replicas", replication},
    Row{"/api/phase14/scalability/connection-pool/health",
        "A-Cube: the pools' health, response time and settings.",
        "response_time_ms pool query_stats", pool_health},
    Row{"/api/v1/performance/scalability/database", "6FB: pool use and slow queries.",
        "pool_usage slow_queries indexes", sixfb_database},
};

}  // namespace

void write_database(json::Writer& out, const Sources& sources, std::string_view name,
                    std::initializer_list<std::string_view> fields) {
  const Sql* sql = sources.sql ? sources.sql() : nullptr;
  out.key(name).begin_object();
  const Total t = sql != nullptr ? total_of(sql->pools()) : Total();
  out.field("status", sql != nullptr ? t.status() : "not_configured");
  for (const std::string_view field : fields) {
    out.key(field);
    if (sql == nullptr)
      out.null();
    else if (field == "response_time_ms")
      out.fixed(t.mean_ms, 3);
    else if (field == "pool_usage")
      out.fixed(t.highest_use, 2);
    else if (field == "pool_size")
      out.value(t.limit);
    else if (field == "checked_out")
      out.value(t.open - t.idle);
    else if (field == "min_pool_size")
      out.value(sql->options().pool_min);
    else if (field == "max_pool_size")
      out.value(sql->options().pool_size + sql->options().pool_overflow);
    else if (field == "max_idle_time_ms")
      out.value(milliseconds(sql->options().idle_timeout));
    else if (field == "connect_timeout_ms")
      out.value(milliseconds(sql->options().connect_timeout));
    else
      out.null();
  }
  out.end_object();
}

void add_sql_endpoints(Api& api, const Sources& sources) {
  for (const Row& row : kRows) {
    api.add({.method = Method::get,
             .path = std::string(row.path),
             .role = Role::viewer,
             .run = Run::reading,
             .tag = "sql",
             .summary = row.summary,
             .place = row.seed ? Place::admin_and_edge : Place::admin,
             .answer = [&row, &sources](const Call& call) {
               const Sql* sql = sources.sql ? sources.sql() : nullptr;
               return sql != nullptr ? row.answer(*sql, call) : not_configured(row.fields);
             }});
  }
  add_sql_query_endpoints(api, sources);
}

std::vector<std::string> sql_seed_paths() {
  std::vector<std::string> paths;
  for (const Row& row : kRows) {
    if (row.seed) paths.emplace_back(row.path);
  }
  return paths;
}

}  // namespace headroom::server
