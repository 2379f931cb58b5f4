#include "headroom/server/objectives.h"

#include <algorithm>

#include "headroom/server/report.h"

namespace headroom::server {
namespace {

using http::Reply;
using metrics::Kind;
using monitor::Figure;
using monitor::ObjectiveOptions;
using monitor::Trends;
using monitor::Value;

constexpr std::string_view kRequests = "headroom_edge_request_seconds";
constexpr std::int64_t kMinute = 60;

// A metric over the window, of all series or of these routes.
Value over(Trends& trends, std::string_view metric, std::int64_t window, std::int64_t now,
           std::span<const std::string> routes = {}) {
  monitor::TrendQuery query{.metric = std::string(metric), .from = now + 1 - window, .to = now + 1};
  query.by.emplace();
  if (!routes.empty()) query.by->emplace_back("route");
  Value all;
  const auto answer = trends.query(query);
  if (!answer) return all;
  all.kind = answer->kind;
  for (const monitor::TrendCurve& curve : answer->curves) {
    const bool wanted =
        routes.empty() || (!curve.labels.empty() &&
                           std::ranges::find(routes, curve.labels[0].second) != routes.end());
    for (const auto& point : curve.points) {
      if (wanted && point) all.merge(*point);
    }
  }
  return all;
}

std::optional<double> milliseconds_of(const Value& value, Figure figure) {
  if (value.kind != Kind::histogram || value.count() == 0) return std::nullopt;
  switch (figure) {
    case Figure::p50: return 1000 * value.quantile_seconds(0.5);
    case Figure::p95: return 1000 * value.quantile_seconds(0.95);
    case Figure::p99: return 1000 * value.quantile_seconds(0.99);
    default: return 1000 * value.mean_seconds();
  }
}

Objective time_objective(Trends& trends, std::string name, std::string_view metric, Figure figure,
                         double most_ms, std::int64_t now) {
  return {.name = std::move(name),
          .unit = "ms",
          .figure = config::Value<Figure>::show(figure),
          .most = most_ms,
          .value = milliseconds_of(over(trends, metric, kMinute, now), figure),
          .window_s = kMinute};
}

Objective written_objective(Trends& trends, const ObjectiveOptions& options, std::int64_t now) {
  const auto window = std::chrono::duration_cast<std::chrono::seconds>(options.window).count();
  return {.name = options.name,
          .unit = "ms",
          .figure = config::Value<Figure>::show(options.figure),
          .most = milliseconds(options.target()),
          .value = milliseconds_of(over(trends, options.metric, window, now, options.routes),
                                   options.figure),
          .window_s = window,
          .routes = options.routes};
}

Reply show(Trends& trends, const Sources& sources) {
  const auto written = sources.objectives ? sources.objectives() : std::vector<ObjectiveOptions>{};
  std::string body;
  json::Writer out(body);
  out.begin_object().key("objectives").begin_array();
  write_objectives(out, objectives(trends, written, unix_seconds()));
  out.end_array().end_object();
  return json_reply(std::move(body));
}

}  // namespace

std::vector<Objective> objectives(Trends& trends, std::span<const ObjectiveOptions> written,
                                  std::int64_t now) {
  std::vector<Objective> all;
  all.push_back(
      time_objective(trends, "responses, p95 (FastNext)", kRequests, Figure::p95, 100, now));
  all.push_back(
      time_objective(trends, "responses, mean (A-Cube)", kRequests, Figure::mean, 200, now));
  const double requests = over(trends, "headroom_edge_all_requests_total", kMinute, now).added;
  const double errors = over(trends, "headroom_edge_all_errors_total", kMinute, now).added;
  all.push_back({.name = "errors (A-Cube)",
                 .unit = "%",
                 .figure = "share",
                 .most = 1,
                 .value = requests > 0 ? std::optional(100 * errors / requests) : std::nullopt,
                 .window_s = kMinute});
  all.push_back(time_objective(trends, "database, mean (A-Cube)", "headroom_sql_query_seconds",
                               Figure::mean, 50, now));
  all.push_back(time_objective(trends, "real-time delivery, p95 (6FB, tasks)",
                               "headroom_realtime_delivery_seconds", Figure::p95, 100, now));
  for (const ObjectiveOptions& each : written) all.push_back(written_objective(trends, each, now));
  // Those of the seeds that no route is named for yet: there to be seen.
  for (const auto& [name, most] : monitor::seed_targets()) {
    if (std::ranges::find(all, name, &Objective::name) != all.end()) continue;
    all.push_back({.name = std::string(name),
                   .unit = "ms",
                   .figure = "p95",
                   .most = milliseconds(most),
                   .value = std::nullopt,
                   .window_s = 0});
  }
  return all;
}

void write_objectives(json::Writer& out, const std::vector<Objective>& all) {
  for (const Objective& each : all) {
    out.begin_object()
        .field("name", each.name)
        .field("unit", each.unit)
        .field("objective", each.most)
        .key("value");
    each.value ? out.fixed(*each.value, 3) : out.null();
    out.field("met", each.met()).field("figure", each.figure);
    out.field("window_seconds", each.window_s).field("routes", each.routes).end_object();
  }
}

void add_objective_endpoints(Api& api, const Sources& sources) {
  api.add({.path = "/api/v1/objectives",
           .run = Run::trends,
           .tag = "metrics",
           .summary =
               "Figures to stay below: the seeds' targets and [[monitor.objectives]], met or "
               "missed over their window.",
           .answer = [&sources](const Call&) {
             Trends* trends = sources.trends ? sources.trends() : nullptr;
             return trends == nullptr ? not_configured("objectives") : show(*trends, sources);
           }});
}

}  // namespace headroom::server
