#include "headroom/server/seeds.h"

#include <fmt/format.h>

#include <array>

#include "headroom/config/values.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"
#include "headroom/monitor/process.h"
#include "headroom/server/database_api.h"
#include "headroom/server/report.h"
#include "headroom/server/sql_api.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;
using State = net::HealthReport::State;

constexpr std::string_view kNotConfigured = "not_configured";
constexpr std::string_view kACube = "/api/phase14/scalability";
constexpr std::string_view k6FB = "/api/v1/performance/scalability";

// The seeds' word for a state.
std::string_view seed_status(State state) {
  switch (state) {
    case State::ok: return "healthy";
    case State::degraded: return "degraded";
    case State::failed: return "unhealthy";
  }
  return "unhealthy";
}

// "name": {"status": "not_configured", <field>: null, ...}.
void write_absent(json::Writer& out, std::string_view name,
                  std::initializer_list<std::string_view> fields) {
  out.key(name).begin_object().field("status", kNotConfigured);
  for (const std::string_view field : fields) out.key(field).null();
  out.end_object();
}

// "cache": its figures of these names, as far as there is a cache.
void write_cache(json::Writer& out, const Sources& sources,
                 std::initializer_list<std::string_view> fields) {
  const cache::Cache* cache = sources.cache ? sources.cache() : nullptr;
  if (cache == nullptr) return write_absent(out, "cache", fields);
  const cache::Stats stats = cache->stats();
  out.key("cache").begin_object().field("status", "healthy");
  for (const std::string_view field : fields) {
    out.key(field);
    if (field == "hit_rate")
      out.fixed(100 * stats.hit_ratio(), 3);
    else if (field == "hit_ratio")
      out.fixed(stats.hit_ratio(), 5);
    else if (field == "total_requests")
      out.value(stats.lookups());
    else if (field == "size")
      out.value(stats.entries);
    else if (field == "memory_bytes")
      out.value(stats.bytes);
    else
      out.null();
  }
  out.end_object();
}

// "cache_hit_rate", in percent.
void write_hit_rate(json::Writer& out, const Sources& sources) {
  const cache::Cache* cache = sources.cache ? sources.cache() : nullptr;
  out.key("cache_hit_rate");
  cache == nullptr ? out.null() : out.fixed(100 * cache->stats().hit_ratio(), 3);
}

// "cache_ttl": the classes' times to live in seconds.
void write_ttls(json::Writer& out, const Sources& sources,
                std::initializer_list<std::string_view> classes) {
  const cache::Cache* cache = sources.cache ? sources.cache() : nullptr;
  if (cache == nullptr) return write_absent(out, "cache_ttl", classes);
  out.key("cache_ttl").begin_object();
  for (const std::string_view cls : classes)
    out.key(cls).fixed(seconds(cache->ttl_of(cache->class_of(cls))), 3);
  out.end_object();
}

// The numbers of all requests, as members of an object that is open.
void write_requests(json::Writer& out, const Sources& sources, const edge::Summary& summary) {
  const auto rate = sources.rates.over(60s);
  out.field("total_requests", summary.requests).field("total_errors", summary.errors);
  out.key("error_rate").fixed(percentage(summary.errors, summary.requests), 3);
  out.key("requests_per_second").fixed(rate.requests, 3);
  out.key("avg_response_time").fixed(summary.total.mean, 3);
  out.key("avg_response_time_ms").fixed(summary.total.mean, 3);
  out.key("p50_response_time_ms").fixed(summary.total.p50, 3);
  out.key("p90_response_time_ms").fixed(summary.total.p90, 3);
  out.key("p95_response_time_ms").fixed(summary.total.p95, 3);
  out.key("p99_response_time_ms").fixed(summary.total.p99, 3);
  out.field("active_requests", summary.in_flight).field("active_connections", summary.connections);
}

void write_system(json::Writer& out, const Sources& sources) {
  const monitor::ProcessUse use = monitor::read_process_use();
  const double uptime = seconds(elapsed(sources.started, Clock::now()));
  out.key("system").begin_object();
  out.key("cpu_percent").fixed(uptime > 0 ? 100 * use.cpu_seconds / uptime : 0, 2);
  out.key("memory_mb").fixed(static_cast<double>(use.resident.count) / 1048576, 2);
  out.field("open_files", use.open_descriptors).field("threads", use.threads);
  out.end_object();
}

void write_common(json::Writer& out, const Sources& sources) {
  out.field("timestamp", utc_now()).field("version", kVersion);
  out.key("uptime_seconds").fixed(seconds(elapsed(sources.started, Clock::now())), 3);
}

// "edge.upstreams.app": {"status": "healthy"}, ...: each component once, by its worst report; not those that `written` names.
void write_components(json::Writer& out, const Sources& sources,
                      std::initializer_list<std::string_view> written = {}) {
  std::map<std::string, State> worst;
  for (const net::HealthReport& report : sources.vitals.reports()) {
    State& state = worst[report.component];
    state = std::max(state, report.state);
  }
  for (const auto& [component, state] : worst) {
    if (std::ranges::find(written, component) != written.end()) continue;
    out.key(component).begin_object().field("status", seed_status(state)).end_object();
  }
}

// --- A-Cube ---

Reply acube_health(const Sources& sources) {
  const State state = sources.vitals.state();
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", seed_status(state));
  write_common(out, sources);
  out.key("components").begin_object();
  write_database(out, sources, "database", {"response_time_ms"});
  write_cache(out, sources, {"hit_rate"});
  write_components(out, sources, {"database", "cache"});
  out.end_object().end_object();
  return json_reply(std::move(body), state == State::failed ? 503 : 200);
}

Reply acube_metrics(const Sources& sources) {
  std::string body;
  json::Writer out(body);
  out.begin_object();
  write_requests(out, sources, sources.summary());
  write_hit_rate(out, sources);
  out.field("timestamp", utc_now()).end_object();
  return json_reply(std::move(body));
}

Reply acube_overview(const Sources& sources) {
  std::string body;
  json::Writer out(body);
  out.begin_object();
  write_cache(out, sources, {"hit_rate", "total_requests", "size"});
  write_database(out, sources, "connection_pool",
                 {"response_time_ms", "max_pool_size", "min_pool_size"});
  write_database_size(out, sources);
  out.key("performance").begin_object();
  write_requests(out, sources, sources.summary());
  out.end_object().field("timestamp", utc_now()).end_object();
  return json_reply(std::move(body));
}

// What is set for the app's servers stands where their pool's settings stood.
Reply acube_config(const Sources& sources) {
  const auto settings = sources.settings();
  const auto& edge = settings->get<edge::EdgeOptions>();
  std::string body;
  json::Writer out(body);
  out.begin_object();
  write_database(out, sources, "connection_pool",
                 {"max_pool_size", "min_pool_size", "max_idle_time_ms", "connect_timeout_ms",
                  "socket_timeout_ms", "retry_writes", "retry_reads"});
  write_ttls(out, sources, {"static", "semi_dynamic", "analytics", "statistics", "realtime"});
  out.key("optimization").begin_object();
  out.field("max_connections", edge.max_connections);
  out.field("max_connections_per_address", edge.max_connections_per_address);
  out.key("header_timeout_ms").fixed(milliseconds(edge.header_timeout), 0);
  out.key("keep_alive_timeout_ms").fixed(milliseconds(edge.keep_alive_timeout), 0);
  out.field("body_limit_bytes", edge.body_limit.count);
  out.key("upstreams").begin_array();
  for (const edge::UpstreamOptions& group : edge.upstreams) {
    out.begin_object()
        .field("name", group.name)
        .field("balance", config::Value<edge::Balance>::show(group.balance));
    out.field("keep_alive", group.keep_alive).field("max_connections", group.max_connections);
    out.key("connect_timeout_ms").fixed(milliseconds(group.connect_timeout), 0);
    out.field("retries", group.retries).end_object();
  }
  out.end_array().end_object().end_object();
  return json_reply(std::move(body));
}

// --- 6FB ---

Reply sixfb_health(const Sources& sources) {
  const State state = sources.vitals.state();
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", seed_status(state));
  write_common(out, sources);
  write_database(out, sources, "database", {"response_time_ms", "pool_usage"});
  write_absent(out, "redis", {"response_time_ms", "memory_mb"});
  write_cache(out, sources, {"hit_rate"});
  out.key("components").begin_object();
  write_components(out, sources);
  out.end_object();
  write_system(out, sources);
  out.key("performance").begin_object();
  write_requests(out, sources, sources.summary());
  out.end_object().end_object();
  return json_reply(std::move(body), state == State::failed ? 503 : 200);
}

Reply sixfb_performance(const Sources& sources) {
  std::string body;
  json::Writer out(body);
  out.begin_object();
  write_requests(out, sources, sources.summary());
  write_hit_rate(out, sources);
  out.key("endpoints").begin_array();
  for (const edge::RouteStatus& route : sources.routes()) {
    out.begin_object().field("endpoint", route.name).field("requests", route.requests);
    out.key("error_rate")
        .fixed(percentage(route.by_class[0] + route.by_class[5], route.requests), 3);
    out.key("avg_response_time_ms").fixed(route.total.mean, 3);
    out.key("p50_response_time_ms").fixed(route.total.p50, 3);
    out.key("p95_response_time_ms").fixed(route.total.p95, 3);
    out.key("p99_response_time_ms").fixed(route.total.p99, 3);
    out.end_object();
  }
  out.end_array();
  write_system(out, sources);
  write_common(out, sources);
  out.end_object();
  return json_reply(std::move(body));
}

void write_realtime(json::Writer& out, const Sources& sources) {
  const realtime::Hub* hub = sources.hub ? sources.hub() : nullptr;
  if (hub == nullptr) return write_absent(out, "realtime", {"connections"});
  out.key("realtime")
      .begin_object()
      .field("status", "healthy")
      .field("connections", hub->connections())
      .end_object();
}

Reply sixfb_overview(const Sources& sources) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", seed_status(sources.vitals.state()));
  write_database(out, sources, "database", {"pool_usage", "slow_queries"});
  write_cache(out, sources, {"hit_rate"});
  write_realtime(out, sources);
  write_system(out, sources);
  out.key("performance").begin_object();
  write_requests(out, sources, sources.summary());
  out.end_object();
  write_common(out, sources);
  out.end_object();
  return json_reply(std::move(body));
}

// --- FastNext ---

Reply fastnext_liveness(const Sources& sources) {
  const monitor::Verdict live = sources.vitals.live();
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", live.yes ? "alive" : "stuck").field("reason", live.reason);
  write_common(out, sources);
  out.end_object();
  return json_reply(std::move(body), live.yes ? 200 : 503);
}

Reply fastnext_readiness(const Sources& sources) {
  const monitor::Verdict ready = sources.vitals.ready();
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", ready.yes ? "ready" : "not_ready")
      .field("reason", ready.reason);
  write_common(out, sources);
  out.key("checks").begin_object();
  write_database(out, sources, "database", {});
  write_cache(out, sources, {});
  write_components(out, sources, {"database", "cache"});
  out.end_object().end_object();
  return json_reply(std::move(body), ready.yes ? 200 : 503);
}

void write_replication(json::Writer& out, const Sources& sources) {
  const sql::Sql* sql = sources.sql ? sources.sql() : nullptr;
  std::size_t replicas = 0;
  std::size_t usable = 0;
  double lag = 0;
  for (const sql::ReplicaReport& each :
       sql != nullptr ? sql->replicas() : std::vector<sql::ReplicaReport>{}) {
    if (each.server.is_primary) continue;
    ++replicas;
    usable += each.server.usable ? 1 : 0;
    lag = std::max(lag, seconds(each.server.lag));
  }
  if (replicas == 0) return write_absent(out, "replication", {"lag_seconds", "replicas"});
  out.key("replication")
      .begin_object()
      .field("status", usable == replicas ? "healthy"
                       : usable > 0       ? "degraded"
                                          : "unhealthy")
      .key("lag_seconds")
      .fixed(lag, 3)
      .field("replicas", replicas)
      .end_object();
}

Reply fastnext_deep(const Sources& sources) {
  const State state = sources.vitals.state();
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", seed_status(state));
  write_common(out, sources);
  out.key("components").begin_object();
  write_database(out, sources, "database", {"response_time_ms", "pool_size", "checked_out"});
  write_replication(out, sources);
  write_cache(out, sources, {"hit_ratio", "memory_bytes"});
  write_components(out, sources, {"database", "cache"});
  out.end_object();
  write_system(out, sources);
  out.key("requests").begin_object();
  write_requests(out, sources, sources.summary());
  out.end_object().end_object();
  return json_reply(std::move(body), state == State::failed ? 503 : 200);
}

// What the whole internet may know of a health path's answer.
Reply status_alone(const Reply& whole) {
  const auto document = json::parse(whole.body);
  const auto status = document ? document->root().find("status") : std::nullopt;
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", status ? status->string().value_or("") : "")
      .field("timestamp", utc_now())
      .end_object();
  return json_reply(std::move(body), whole.status);
}

// --- paths whose engine has no room yet ---

constexpr std::array<std::string_view, 3> kAbsent{
    "/api/phase14/scalability/database/cleanup-sessions",
    "/api/phase14/scalability/database/optimize-indexes",
    "/api/v1/performance/scalability/optimize-database",
};

struct SeedRow {
  std::string path;
  Role role;
  Run run;
  std::string_view summary;
  Reply (*answer)(const Sources& sources);
};

const std::vector<SeedRow>& seed_rows() {
  static const std::vector<SeedRow> rows{
      {fmt::format("{}/health", kACube), Role::none, Run::reading,
       "A-Cube: health of all components.", acube_health},
      {fmt::format("{}/performance/metrics", kACube), Role::viewer, Run::reading,
       "A-Cube: requests and response times.", acube_metrics},
      {fmt::format("{}/overview", kACube), Role::viewer, Run::reading,
       "A-Cube: cache, pool and performance.", acube_overview},
      {fmt::format("{}/config", kACube), Role::viewer, Run::control, "A-Cube: what is set.",
       acube_config},
      {"/health", Role::none, Run::reading, "6FB: health with metrics.", sixfb_health},
      {"/api/performance-stats", Role::viewer, Run::reading, "6FB: requests and routes.",
       sixfb_performance},
      {fmt::format("{}/overview", k6FB), Role::viewer, Run::reading,
       "6FB: everything in one answer.", sixfb_overview},
      {"/api/v1/scaling/health/liveness", Role::none, Run::reading, "FastNext: liveness.",
       fastnext_liveness},
      {"/api/v1/scaling/health/readiness", Role::none, Run::reading, "FastNext: readiness.",
       fastnext_readiness},
      {"/api/v1/scaling/health/deep", Role::none, Run::reading, "FastNext: every component.",
       fastnext_deep},
  };
  return rows;
}

}  // namespace

void add_seed_endpoints(Api& api, const Sources& sources) {
  for (const SeedRow& row : seed_rows()) {
    Endpoint made{.path = row.path,
                  .role = row.role,
                  .run = row.run,
                  .tag = "seeds",
                  .summary = row.summary,
                  .place = Place::admin_and_edge,
                  .answer = [&](const Call&) { return row.answer(sources); }};
    if (row.role == Role::none)
      made.for_strangers = [&](const Call&) { return status_alone(row.answer(sources)); };
    api.add(std::move(made));
  }
  for (const std::string_view path : kAbsent) {
    api.add({.method = Method::post,
             .path = std::string(path),
             .role = Role::operator_,
             .run = Run::here,
             .tag = "seeds",
             .summary = "A seed's path whose engine has no room yet.",
             .place = Place::admin_and_edge,
             .answer = [](const Call&) {
               return refused_as_not_configured("the room that does this is not there yet");
             }});
  }
}

std::vector<std::string> seed_paths() {
  std::vector<std::string> paths;
  for (const SeedRow& row : seed_rows()) paths.push_back(row.path);
  for (const std::string_view path : kAbsent) paths.emplace_back(path);
  return paths;
}

}  // namespace headroom::server
