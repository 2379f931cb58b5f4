#include "headroom/server/trends_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "headroom/base/text.h"
#include "headroom/json/writer.h"
#include "headroom/monitor/trends.h"
#include "headroom/server/report.h"

namespace headroom::server {
namespace {

using http::Reply;
using monitor::TrendAnswer;
using monitor::TrendCurve;
using monitor::TrendQuery;
using monitor::Trends;
using monitor::Value;

constexpr std::uint64_t kMostMinutes = 7 * 24 * 60;
constexpr std::size_t kMostRoutes = 100;
constexpr std::string_view kUsagePath = "/api/usage-summary";
constexpr std::string_view kCostPath = "/api/cost-estimates";
constexpr std::string_view kSeedPath = "/api/v1/performance/scalability/trends";

Value total(Trends& trends, std::string_view metric, std::int64_t from, std::int64_t to) {
  auto all = totals(trends, metric, from, to);
  return all.empty() ? Value{} : std::move(all.front().value);
}

// "1700000000", or "-15m": so long before `now`.
std::optional<std::int64_t> moment(std::string_view text, std::int64_t now) {
  if (text.starts_with('-')) {
    const auto ago = config::Value<Duration>::parse(text.substr(1));
    return ago ? std::optional(now - static_cast<std::int64_t>(seconds(*ago))) : std::nullopt;
  }
  const auto at = text::to_u64(text.substr(0, text.find('.')));  // fractions are of no use
  return at && *at <= 1ULL << 40 ? std::optional(static_cast<std::int64_t>(*at)) : std::nullopt;
}

Result<TrendQuery> query_of(const Call& call, std::int64_t now) {
  const std::string from = call.query_value("from");
  const std::string to = call.query_value("to");
  const std::string step = call.query_value("step");
  TrendQuery query{.metric = call.query_value("metric")};
  if (query.metric.empty()) return fail(Errc::invalid, "metric: expected the name of a metric");
  const auto begin = from.empty() ? std::optional(now - 600) : moment(from, now);
  const auto end = to.empty() ? std::optional(now + 1) : moment(to, now);
  if (!begin || !end)
    return fail(Errc::invalid, "from, to: expected seconds since 1970, or a time ago such as -15m");
  query.from = *begin;
  query.to = *end;
  if (!step.empty()) {
    const auto given = text::to_u64(step);
    const auto length = given ? std::nullopt : config::Value<Duration>::parse(step);
    if (given ? *given == 0 || *given > 1U << 30U : !length || *length < 1s)
      return fail(Errc::invalid, "step: expected seconds, or a duration such as 10s");
    query.step =
        given ? static_cast<std::int64_t>(*given) : static_cast<std::int64_t>(seconds(*length));
  }
  for (const std::string_view pair : text::split(call.query_value("where"), ',')) {
    const std::size_t colon = pair.find(':');
    if (colon == std::string_view::npos)
      return fail(Errc::invalid, "where: expected label:value, separated by commas");
    query.where.emplace_back(pair.substr(0, colon), pair.substr(colon + 1));
  }
  if (const std::string by = call.query_value("by"); by == "none") {
    query.by.emplace();
  } else if (!by.empty()) {
    query.by.emplace();
    for (const std::string_view label : text::split(by, ',')) query.by->emplace_back(label);
  }
  return query;
}

template <class Figure>
void write_column(json::Writer& out, std::string_view name, const TrendCurve& curve,
                  const Figure& figure) {
  out.key(name).begin_array();
  std::size_t at = 0;
  for (const auto& point : curve.points) {
    point ? out.value(figure(*point, at)) : out.null();
    ++at;
  }
  out.end_array();
}

// How many seconds of a step have been sampled: the last one may be under way.
double covered(const TrendAnswer& answer, std::size_t point) {
  const std::int64_t at = answer.from + (static_cast<std::int64_t>(point) * answer.step);
  return static_cast<double>(std::clamp<std::int64_t>(answer.known_to - at, 1, answer.step));
}

void write_curve(json::Writer& out, const TrendAnswer& answer, const TrendCurve& curve) {
  out.begin_object().key("labels").begin_object();
  for (const auto& [name, value] : curve.labels) out.field(name, value);
  out.end_object();
  switch (answer.kind) {
    case metrics::Kind::counter:
      write_column(out, "rate", curve, [&](const Value& value, std::size_t at) {
        return value.added / covered(answer, at);
      });
      break;
    case metrics::Kind::gauge:
      write_column(out, "mean", curve,
                   [](const Value& value, std::size_t) { return value.mean(); });
      write_column(out, "min", curve, [](const Value& value, std::size_t) { return value.min; });
      write_column(out, "max", curve, [](const Value& value, std::size_t) { return value.max; });
      break;
    case metrics::Kind::histogram:
      write_column(out, "rate", curve, [&](const Value& value, std::size_t at) {
        return static_cast<double>(value.count()) / covered(answer, at);
      });
      write_column(out, "mean", curve,
                   [](const Value& value, std::size_t) { return value.mean_seconds(); });
      for (const auto& [name, q] :
           {std::pair{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}})
        write_column(out, name, curve,
                     [q](const Value& value, std::size_t) { return value.quantile_seconds(q); });
      break;
  }
  out.end_object();
}

std::string_view kind_name(metrics::Kind kind) {
  return kind == metrics::Kind::counter ? "counter"
         : kind == metrics::Kind::gauge ? "gauge"
                                        : "histogram";
}

Reply answer_query(Trends& trends, const Call& call) {
  const std::int64_t now = unix_seconds();
  const auto query = query_of(call, now);
  if (!query) return error_reply(query.error());
  const auto answer = trends.query(*query);
  if (!answer) return error_reply(answer.error());
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("metric", answer->metric)
      .field("kind", kind_name(answer->kind))
      .field("from", answer->from);
  out.field("step", answer->step)
      .field("resolution", answer->tier_step)
      .field("points", answer->points)
      .key("series")
      .begin_array();
  for (const TrendCurve& curve : answer->curves) write_curve(out, *answer, curve);
  out.end_array().end_object();
  return json_reply(std::move(body));
}

Reply names(const Trends& trends) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("metrics", trends.metrics()).end_object();
  return json_reply(std::move(body));
}

void write_latency(json::Writer& out, const Value& value) {
  out.key("latency_ms").begin_object().key("mean").fixed(value.mean_seconds() * 1000, 3);
  for (const auto& [name, q] : {std::pair{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}})
    out.key(name).fixed(value.quantile_seconds(q) * 1000, 3);
  out.end_object();
}

void write_routes(json::Writer& out, Trends& trends, std::int64_t from, std::int64_t to) {
  auto routes = totals(trends, "headroom_edge_request_seconds", from, to, {"route"});
  std::ranges::sort(routes, std::greater{}, [](const Total& each) { return each.value.count(); });
  if (routes.size() > kMostRoutes) routes.resize(kMostRoutes);
  out.key("routes").begin_array();
  for (const Total& route : routes) {
    if (route.value.count() == 0) break;
    out.begin_object()
        .field("route", route.labels.empty() ? "" : route.labels[0].second)
        .field("requests", route.value.count());
    write_latency(out, route.value);
    out.end_object();
  }
  out.end_array();
}

// null where nobody measured.
void write_share(json::Writer& out, std::string_view name, const Value& value) {
  out.key(name);
  if (value.kind != metrics::Kind::gauge || value.times == 0) return static_cast<void>(out.null());
  out.begin_object()
      .key("mean")
      .fixed(value.mean() * 100, 2)
      .key("max")
      .fixed(value.max * 100, 2)
      .end_object();
}

Reply summary(Trends& trends, const Call& call, std::string_view wrapper) {
  const std::string asked = call.query_value("minutes");
  const auto minutes = asked.empty() ? std::optional<std::uint64_t>(60) : text::to_u64(asked);
  if (!minutes || *minutes == 0 || *minutes > kMostMinutes)
    return error_reply(400, "invalid", fmt::format("minutes: expected 1 to {}", kMostMinutes));
  const std::int64_t now = unix_seconds() + 1;
  const std::int64_t from = now - (static_cast<std::int64_t>(*minutes) * 60);
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", "ok")
      .field("minutes", *minutes)
      .field("from", from)
      .field("to", now);
  if (!wrapper.empty()) out.key(wrapper).begin_object();
  write_summary(out, trends, from, now);
  if (!wrapper.empty()) out.end_object().field("timestamp", utc_now());
  out.end_object();
  return json_reply(std::move(body));
}

// What was used in a range.
struct Usage {
  double requests = 0, errors = 0, bytes_in = 0, bytes_out = 0, queries = 0;
  double answered = 0, lookups = 0;                          // by the cache
  double app_seconds = 0;                                    // an answer of the app's, on average
  double hours = 0;                                          // measured
  double vcpu_hours = 0, gib_hours = 0, cpu_used_hours = 0;  // at hand, and used
};

Usage usage_of(Trends& trends, std::int64_t from, std::int64_t to) {
  const auto counted = [&](std::string_view metric) {
    return total(trends, metric, from, to).added;
  };
  Usage usage;
  usage.requests = counted("headroom_edge_all_requests_total");
  usage.errors = counted("headroom_edge_all_errors_total");
  usage.bytes_in = counted("headroom_edge_request_body_bytes_total");
  usage.bytes_out = counted("headroom_edge_response_body_bytes_total");
  usage.queries = counted("headroom_sql_queries_total");
  usage.answered = counted("headroom_cache_hits_total") +
                   counted("headroom_cache_stale_hits_total") +
                   counted("headroom_cache_coalesced_total");
  usage.lookups = usage.answered + counted("headroom_cache_misses_total");
  usage.app_seconds = total(trends, "headroom_edge_first_byte_seconds", from, to).mean_seconds();
  const Value processors = total(trends, "headroom_monitor_system_cpu_limit", from, to);
  usage.hours = static_cast<double>(processors.times) / 3600;  // sampled once a second
  usage.vcpu_hours = usage.hours * processors.mean();
  usage.gib_hours = usage.hours *
                    total(trends, "headroom_monitor_system_memory_limit_bytes", from, to).mean() /
                    (1U << 30U);
  usage.cpu_used_hours = counted("headroom_monitor_system_cpu_seconds_total") / 3600;
  return usage;
}

void write_usage(json::Writer& out, const Usage& usage) {
  out.key("usage")
      .begin_object()
      .key("requests")
      .fixed(usage.requests, 0)
      .key("errors")
      .fixed(usage.errors, 0);
  out.key("bytes_in")
      .fixed(usage.bytes_in, 0)
      .key("bytes_out")
      .fixed(usage.bytes_out, 0)
      .key("database_queries")
      .fixed(usage.queries, 0);
  out.key("cache_answered").fixed(usage.answered, 0).key("cache_hit_rate");
  usage.lookups > 0 ? out.fixed(100 * usage.answered / usage.lookups, 3) : out.null();
  out.key("measured_hours")
      .fixed(usage.hours, 3)
      .key("vcpu_hours")
      .fixed(usage.vcpu_hours, 3)
      .key("vcpu_hours_used")
      .fixed(usage.cpu_used_hours, 3);
  out.key("memory_gib_hours").fixed(usage.gib_hours, 3).end_object();
}

// What the cache answered would have kept the app busy for as long as it answers one, and been read from it.
void write_costs(json::Writer& out, const Usage& usage, const monitor::PriceOptions& prices) {
  const double compute = usage.vcpu_hours * prices.vcpu_hour;
  const double memory = usage.gib_hours * prices.gib_hour;
  const double egress = usage.bytes_out / (1U << 30U) * prices.egress_gib;
  const double database = usage.hours * prices.database_hour;
  const double all = compute + memory + egress + database;
  out.key("estimates")
      .begin_object()
      .key("compute")
      .fixed(compute, 4)
      .key("memory")
      .fixed(memory, 4)
      .key("egress")
      .fixed(egress, 4);
  out.key("database").fixed(database, 4).key("total").fixed(all, 4).key("per_month");
  usage.hours > 0 ? out.fixed(all / usage.hours * 730, 2) : out.null();
  out.key("per_million_requests");
  usage.requests > 0 ? out.fixed(all / usage.requests * 1e6, 4) : out.null();
  out.key("saved_by_caching")
      .fixed(usage.answered * usage.app_seconds / 3600 * prices.vcpu_hour, 4)
      .end_object();
}

enum class Wanted : std::uint8_t { usage, costs };

Reply usage_answer(Trends& trends, const Call& call, const monitor::PriceOptions& prices,
                   Wanted wanted) {
  const std::string asked = call.query_value("days");
  const auto days = asked.empty() ? std::optional<std::uint64_t>(30) : text::to_u64(asked);
  if (!days || *days == 0 || *days > 400)
    return error_reply(400, "invalid", "days: expected 1 to 400");
  const bool known = wanted == Wanted::usage || prices.known();
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", known ? "ok" : "not_configured").field("days", *days);
  if (wanted == Wanted::costs) out.field("currency", prices.currency);
  if (!known) {
    out.key("estimates").null().end_object();  // no price is set: monitor.prices
    return json_reply(std::move(body));
  }
  const std::int64_t now = unix_seconds() + 1;
  const Usage usage = usage_of(trends, now - (static_cast<std::int64_t>(*days) * 86400), now);
  write_usage(out, usage);
  if (wanted == Wanted::costs) write_costs(out, usage, prices);
  out.field("timestamp", utc_now()).end_object();
  return json_reply(std::move(body));
}

Reply without_trends(std::string_view field) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", "not_configured");
  if (!field.empty()) out.key(field).null();
  out.end_object();
  return json_reply(std::move(body));
}

}  // namespace

std::vector<Total> totals(Trends& trends, std::string_view metric, std::int64_t from,
                          std::int64_t to, std::vector<std::string> by) {
  const auto answer = trends.query({.metric = std::string(metric),
                                    .from = from,
                                    .to = to,
                                    .step = 0,
                                    .where = {},
                                    .by = std::move(by)});
  std::vector<Total> all;
  if (!answer) return all;
  for (const TrendCurve& curve : answer->curves) {
    Total total{curve.labels, {}};
    total.value.kind = answer->kind;
    for (const auto& point : curve.points) {
      if (point) total.value.merge(*point);
    }
    all.push_back(std::move(total));
  }
  return all;
}

void write_summary(json::Writer& out, Trends& trends, std::int64_t from, std::int64_t to) {
  const auto counted = [&](std::string_view metric) {
    return static_cast<std::uint64_t>(total(trends, metric, from, to).added);
  };
  const std::uint64_t requests = counted("headroom_edge_all_requests_total");
  const std::uint64_t errors = counted("headroom_edge_all_errors_total");
  out.key("requests").begin_object().field("total", requests).field("errors", errors);
  out.key("error_rate").fixed(percentage(errors, requests), 3);
  out.key("per_second").fixed(static_cast<double>(requests) / static_cast<double>(to - from), 3);
  write_latency(out, total(trends, "headroom_edge_request_seconds", from, to));
  out.end_object();
  write_routes(out, trends, from, to);
  const std::uint64_t hits = counted("headroom_cache_hits_total") +
                             counted("headroom_cache_stale_hits_total") +
                             counted("headroom_cache_coalesced_total");
  const std::uint64_t lookups = hits + counted("headroom_cache_misses_total");
  out.key("cache").begin_object().field("lookups", lookups).key("hit_rate");
  lookups == 0 ? out.null() : out.fixed(percentage(hits, lookups), 3);
  out.end_object().key("system").begin_object();
  write_share(out, "cpu_percent", total(trends, "headroom_monitor_system_cpu_ratio", from, to));
  write_share(out, "memory_percent",
              total(trends, "headroom_monitor_system_memory_ratio", from, to));
  write_share(out, "disk_percent", total(trends, "headroom_monitor_system_disk_ratio", from, to));
  out.end_object();
}

void add_trends_endpoints(Api& api, const Sources& sources) {
  const auto with_trends = [&sources](std::string_view field, auto answer) {
    return [&sources, field, answer](const Call& call) {
      Trends* trends = sources.trends ? sources.trends() : nullptr;
      return trends == nullptr ? without_trends(field) : answer(*trends, call);
    };
  };
  api.add({.path = "/api/v1/metrics/query",
           .run = Run::trends,
           .tag = "metrics",
           .summary = "A metric over time: ?metric=NAME&from=-15m&to=..., step in seconds, "
                      "where=label:value, by=label to tell apart (none: all in one).",
           .query = "metric from to step where by",
           .answer = with_trends("series", answer_query)});
  api.add({.path = "/api/v1/metrics/names",
           .run = Run::trends,
           .tag = "metrics",
           .summary = "The metrics whose trend is kept.",
           .answer =
               with_trends("metrics", [](Trends& trends, const Call&) { return names(trends); })});
  api.add(
      {.path = "/api/v1/summary",
       .run = Run::trends,
       .tag = "metrics",
       .summary = "The last minutes in one answer (?minutes=60): requests, routes, cache, system.",
       .query = "minutes",
       .answer = with_trends("requests", [](Trends& trends, const Call& call) {
         return summary(trends, call, "");
       })});
  api.add({.path = std::string(kSeedPath),
           .run = Run::trends,
           .tag = "seeds",
           .summary = "6FB: the last minutes (?minutes=60).",
           .place = Place::admin_and_edge,
           .query = "minutes",
           .answer = with_trends("trends", [](Trends& trends, const Call& call) {
             return summary(trends, call, "trends");
           })});
  for (const auto& [path, wanted] :
       {std::pair(kUsagePath, Wanted::usage), std::pair(kCostPath, Wanted::costs)}) {
    api.add({.path = std::string(path),
             .run = Run::trends,
             .tag = "seeds",
             .summary =
                 wanted == Wanted::usage
                     ? "6FB: what was used in the last days (?days=30)."
                     : "6FB: what that costs by monitor.prices, and what caching saved (?days=30).",
             .place = Place::admin_and_edge,
             .query = "days",
             .answer = with_trends(wanted == Wanted::usage ? "usage" : "estimates",
                                   [&sources, wanted](Trends& trends, const Call& call) {
                                     return usage_answer(trends, call,
                                                         sources.prices ? sources.prices()
                                                                        : monitor::PriceOptions{},
                                                         wanted);
                                   })});
  }
}

std::vector<std::string> trends_seed_paths() {
  return {std::string(kSeedPath), std::string(kUsagePath), std::string(kCostPath)};
}

}  // namespace headroom::server
