#include "headroom/server/sql_cache_api.h"

#include <algorithm>

#include "headroom/json/writer.h"
#include "headroom/server/report.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;
using sql::Sql;

constexpr std::size_t kMostQueries = 100;
constexpr std::string_view kFields =
    "current reason hits misses fills drops entries bytes limit_bytes stream_lag_ms bypassed_s "
    "refused queries databases";

std::string_view state_of(const sql::CachedQueryReport& query) {
  return query.rests ? "rested" : query.cacheable ? "cached" : "not_cached";
}

void write_queries(json::Writer& out, const sql::CacheReport& report) {
  out.key("queries").begin_array();
  for (const auto& each : report.queries) {
    out.begin_object()
        .field("database", each.database)
        .field("query", each.query)
        .field("state", state_of(each))
        .field("hits", each.hits)
        .field("misses", each.misses);
    out.field("stored", each.stored)
        .field("refused", each.refused)
        .field("passed_by", each.passed_by)
        .field("reason", each.reason)
        .end_object();
  }
  out.end_array();
}

void write_databases(json::Writer& out, const sql::CacheReport& report) {
  out.key("databases").begin_array();
  for (const auto& each : report.databases) {
    out.begin_object()
        .field("database", each.database)
        .field("state", each.state)
        .field("current", each.current)
        .field("lag_ms", milliseconds(each.lag));
    out.field("commits", each.commits)
        .field("flushes", each.flushes)
        .field("drops", each.drops)
        .field("tables", each.tables)
        .end_object();
  }
  out.end_array();
}

// The sums over all databases.
Reply written(const sql::CacheReport& report) {
  sql::CachedDatabaseReport sum{.current = true};
  std::string reason;
  for (const auto& each : report.databases) {
    sum.hits += each.hits;
    sum.misses += each.misses;
    sum.stored += each.stored;
    sum.drops += each.drops;
    sum.lag = std::max(sum.lag, each.lag);
    sum.bypassed += each.bypassed;
    sum.current = sum.current && each.current;
    if (!each.current && reason.empty()) reason = each.database + ": " + each.state;
    for (const auto& [name, count] : each.reasons) sum.reasons[name] += count;
  }
  if (!report.on) reason = "sql.cache.auto is false and there are no rules, or there is no cache";
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", !report.on    ? "off"
                       : sum.current ? "ok"
                                     : "bypassed")
      .field("current", report.on && sum.current)
      .field("reason", reason);
  out.field("hits", sum.hits)
      .field("misses", sum.misses)
      .field("fills", sum.stored)
      .field("drops", sum.drops);
  out.field("entries", report.entries)
      .field("bytes", report.bytes)
      .field("limit_bytes", report.limit_bytes);
  out.field("stream_lag_ms", milliseconds(sum.lag))
      .key("bypassed_s")
      .fixed(seconds(sum.bypassed), 3);
  out.key("refused").begin_array();
  for (const auto& [name, count] : sum.reasons)
    out.begin_object().field("reason", name).field("count", count).end_object();
  out.end_array();
  write_queries(out, report);
  write_databases(out, report);
  out.end_object();
  return json_reply(std::move(body));
}

Reply written(const sql::CacheWarmStatus& status, std::string_view state, unsigned code) {
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", state)
      .field("runs", status.runs)
      .field("total", status.total)
      .field("done", status.done);
  out.field("stored", status.stored)
      .field("fresh", status.fresh)
      .field("not_stored", status.not_stored)
      .field("failed", status.failed);
  out.key("duration_s").fixed(seconds(status.took), 3).key("began");
  status.began == 0
      ? out.null()
      : out.value(utc_text(std::chrono::sys_seconds(std::chrono::seconds(status.began))));
  out.key("problems").begin_array();
  for (const auto& problem : status.problems)
    out.begin_object().field("query", problem.query).field("why", problem.why).end_object();
  out.end_array().end_object();
  return json_reply(std::move(body), code);
}

std::string_view state_of(const sql::CacheWarmStatus& status) {
  if (status.running) return "running";
  if (status.runs == 0) return status.total == 0 ? "not_configured" : "idle";
  return "done";
}

Reply warm(const Sql& sql) {
  const auto begun = sql.warm();
  if (!begun && begun.error().code == Errc::not_found)
    return refused_as_not_configured(begun.error().message);
  if (!begun) return error_reply(begun.error());
  return written(sql.warm_status(), *begun ? "started" : "running", 202);
}

}  // namespace

void add_sql_cache_endpoints(Api& api, const Sources& sources) {
  const auto sql = [&sources] { return sources.sql ? sources.sql() : nullptr; };
  api.add({.path = "/api/v1/sql/cache",
           .run = Run::reading,
           .tag = "sql",
           .summary = "The SQL proxy's cache of results: what SHOW CACHE says.",
           .answer = [sql](const Call&) {
             const Sql* const there = sql();
             return there != nullptr ? written(there->cache(kMostQueries))
                                     : not_configured(kFields);
           }});
  api.add({.path = "/api/v1/sql/cache/warm",
           .run = Run::reading,
           .tag = "sql",
           .summary = "How the last run of [[sql.warm]] went, or how far it is.",
           .answer = [sql](const Call&) {
             const Sql* const there = sql();
             const auto status = there != nullptr ? there->warm_status() : sql::CacheWarmStatus{};
             return written(status, state_of(status), 200);
           }});
  api.add({.method = Method::post,
           .path = "/api/v1/sql/cache/warm",
           .role = Role::operator_,
           .run = Run::control,
           .tag = "sql",
           .summary = "Runs the queries that [[sql.warm]] lists.",
           .answer = [sql](const Call&) {
             const Sql* const there = sql();
             return there != nullptr ? warm(*there)
                                     : refused_as_not_configured("there is no SQL proxy");
           }});
}

}  // namespace headroom::server
