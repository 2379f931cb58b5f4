#include "headroom/server/advice.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/server/trends_api.h"

namespace headroom::server {
namespace {

constexpr double kFast = 2;        // milliseconds: nothing to gain
constexpr double kMostOfIt = 0.5;  // a phase that explains the whole
constexpr double kMuchOfIt = 0.3;  // of the app's time, spent with its database
constexpr std::uint64_t kFew = 5;  // requests of which a p99 says nothing
constexpr double kSteady = 0.8;    // r2 of a straight line
constexpr double kFarAway = 7.0 * 86400;
constexpr std::size_t kFewPoints = 12;

std::string percent(double share) { return fmt::format("{:.0f} %", std::min(100.0, 100 * share)); }
std::string ms(double value) {
  return value >= 1000 ? fmt::format("{:.1f} s", value / 1000)
                       : fmt::format("{:.{}f} ms", value, value < 10 ? 1 : 0);
}

const RouteTimes* slowest(const std::vector<RouteTimes>& routes) {
  const RouteTimes* found = nullptr;
  for (const RouteTimes& each : routes) {
    const bool known = each.requests >= kFew;
    const bool found_known = found != nullptr && found->requests >= kFew;
    if (found == nullptr || (known && !found_known) ||
        (known == found_known && each.total > found->total))
      found = &each;
  }
  return found;
}

std::string queueing(const Readings& readings) {
  const auto fullest = std::ranges::max_element(readings.groups, {}, [](const auto& group) {
    return std::pair(group.queued, group.in_flight);
  });
  if (fullest == readings.groups.end()) return "waiting for a free server: add servers";
  return fmt::format(
      "waiting for a free server: {} of {} requests are in flight at {}, {} wait; add servers",
      fullest->in_flight, fullest->in_flight_limit, fullest->name, fullest->queued);
}

const PoolUse* tightest(const std::vector<PoolUse>& pools) {
  const auto found = std::ranges::max_element(pools, {}, [](const PoolUse& each) {
    const double use =
        each.limit == 0 ? 0 : static_cast<double>(each.busy) / static_cast<double>(each.limit);
    return std::pair(each.waiting, use);
  });
  return found == pools.end() ? nullptr : &*found;
}

// As many more as waited at once would all have had one.
std::string enlarge(const PoolUse& pool) {
  return fmt::format("the pool {} was {}/{} busy and {} waited; raise sql.pool_size to {}",
                     pool.name, std::max(pool.busy, pool.waiting > 0 ? pool.limit : 0), pool.limit,
                     pool.waiting, pool.pool_size + pool.waiting);
}

std::string first_byte(const Readings& readings, const RouteTimes& route) {
  const PoolUse* pool = tightest(readings.pools);
  if (pool != nullptr && pool->waiting > 0 &&
      readings.query_wait_ms >= kMuchOfIt * route.first_byte)
    return fmt::format("the app, whose queries wait up to {} for a connection: {}",
                       ms(readings.query_wait_ms), enlarge(*pool));
  if (readings.query_ms >= kMuchOfIt * route.first_byte)
    return fmt::format(
        "the app, whose queries take up to {}: the slowest are listed with their plans under SQL",
        ms(readings.query_ms));
  return "the app's own time to its first byte";
}

}  // namespace

std::string explain_latency(const Readings& readings) {
  const RouteTimes* route = slowest(readings.routes);
  if (route == nullptr || route->requests == 0) return "No request has ended in the last minute.";
  if (route->total < kFast)
    return fmt::format("No route's p99 is above {}: there is nothing to gain.", ms(kFast));
  const auto share = [&](double part) { return part / route->total; };
  std::string why = "mostly sending the answer: its size, or a slow client";
  double part = 0;
  if (share(route->queue) >= kMostOfIt) {
    part = share(route->queue);
    why = queueing(readings);
  } else if (share(route->connect) >= kMostOfIt) {
    part = share(route->connect);
    why = "connecting to the app: raise its group's keep_alive, or look at its accept queue";
  } else if (share(route->first_byte) >= kMostOfIt) {
    part = share(route->first_byte);
    why = first_byte(readings, *route);
  }
  return fmt::format("The slowest route is {}: its p99 of {} is {}{}.", route->route,
                     ms(route->total), part > 0 ? percent(part) + " " : "", why);
}

std::string explain_errors(const Readings& readings) {
  if (readings.requests == 0) return "No request has ended in the last minute.";
  if (readings.errors == 0) return "No request has failed in the last minute.";
  const auto worst = std::ranges::max_element(
      readings.failures, {}, [](const Failures& each) { return each.unanswered + each.answered; });
  std::string text =
      fmt::format("{} of {} requests have failed", readings.errors, readings.requests);
  if (worst != readings.failures.end())
    text += fmt::format(
        "; {} of them on route {}, {}", worst->unanswered + worst->answered, worst->route,
        worst->answered >= worst->unanswered ? "answered 5xx" : "ended without an answer");
  if (readings.shed > 0)
    text +=
        fmt::format("; {} were turned away here because the app could take no more", readings.shed);
  return text + ".";
}

std::string explain_cache(const Readings& readings) {
  const std::uint64_t all = readings.hits + readings.misses;
  if (all == 0) return "Nothing has been looked up in the last minute.";
  if (readings.misses == 0) return "Every look-up was answered from the cache.";
  const auto most = std::ranges::max_element(readings.missed, {}, &Misses::count);
  if (most == readings.missed.end())
    return fmt::format("{} of {} look-ups were misses.", readings.misses, all);
  return fmt::format(
      "{} of {} look-ups were misses, {} of them {} of class {}.", readings.misses, all,
      percent(static_cast<double>(most->count) / static_cast<double>(readings.misses)),
      most->space == "sql" ? "query results" : "pages", most->cls);
}

std::string explain_pools(const Readings& readings) {
  const PoolUse* pool = tightest(readings.pools);
  if (pool == nullptr) return "No database connection is open.";
  if (pool->waiting == 0)
    return fmt::format("Nobody waited for a connection: {} of {} are busy in {}.", pool->busy,
                       pool->limit, pool->name);
  std::string text = enlarge(*pool);
  text[0] = 'T';
  return fmt::format("{}, if the server bears it.", text);
}

std::optional<double> full_in_seconds(std::span<const std::optional<double>> use, double step) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0, yy = 0;
  for (std::size_t i = 0; i < use.size(); ++i) {
    if (!use[i]) continue;
    const double at = static_cast<double>(i) * step;
    n += 1;
    x += at;
    y += *use[i];
    xx += at * at;
    xy += at * *use[i];
    yy += *use[i] * *use[i];
  }
  if (n < static_cast<double>(kFewPoints)) return std::nullopt;
  const double vx = xx - x * x / n;
  const double vy = yy - y * y / n;
  const double covariance = xy - x * y / n;
  if (vx <= 0 || vy <= 0 || covariance <= 0) return std::nullopt;
  if (covariance * covariance / (vx * vy) < kSteady) return std::nullopt;
  const double slope = covariance / vx;
  const double now = (y + slope * (static_cast<double>(use.size() - 1) * step * n - x)) / n;
  const double left = (1 - now) / slope;
  return left > 0 && left < kFarAway ? std::optional(left) : std::nullopt;
}

namespace {

std::string label(const Total& total, std::string_view name) {
  for (const auto& [key, value] : total.labels) {
    if (key == name) return value;
  }
  return {};
}

std::uint64_t added(const Total& total) { return static_cast<std::uint64_t>(total.value.added); }

// The last minute's p99; how it divides into phases is known since the start only, as trends keep no phases by route.
void read_routes(Readings& readings, const Sources& sources, monitor::Trends& trends,
                 std::int64_t from, std::int64_t to) {
  const auto known = sources.routes ? sources.routes() : std::vector<edge::RouteStatus>{};
  for (const Total& each : totals(trends, "headroom_edge_request_seconds", from, to, {"route"})) {
    if (each.value.count() == 0) continue;
    RouteTimes& route =
        readings.routes.emplace_back(RouteTimes{.route = label(each, "route"),
                                                .requests = each.value.count(),
                                                .total = 1000 * each.value.quantile_seconds(0.99)});
    const auto phases = std::ranges::find(known, route.route, &edge::RouteStatus::name);
    if (phases == known.end() || phases->total.p99 <= 0) continue;
    const double scale = route.total / phases->total.p99;
    route.queue = scale * phases->queue.p99;
    route.connect = scale * phases->connect.p99;
    route.first_byte = scale * phases->first_byte.p99;
  }
}

void read_failures(Readings& readings, monitor::Trends& trends, std::int64_t from,
                   std::int64_t to) {
  for (const Total& each :
       totals(trends, "headroom_edge_requests_total", from, to, {"route", "class"})) {
    const std::string cls = label(each, "class");
    readings.requests += added(each);
    if ((cls != "5xx" && cls != "none") || added(each) == 0) continue;
    readings.errors += added(each);
    const std::string name = label(each, "route");
    auto route = std::ranges::find(readings.failures, name, &Failures::route);
    if (route == readings.failures.end()) route = readings.failures.insert(route, {.route = name});
    (cls == "5xx" ? route->answered : route->unanswered) += added(each);
  }
  for (const Total& each : totals(trends, "headroom_edge_shed_total", from, to))
    readings.shed += added(each);
}

void read_cache(Readings& readings, monitor::Trends& trends, std::int64_t from, std::int64_t to) {
  for (const std::string_view metric :
       {"headroom_cache_hits_total", "headroom_cache_stale_hits_total",
        "headroom_cache_coalesced_total"}) {
    for (const Total& each : totals(trends, metric, from, to)) readings.hits += added(each);
  }
  for (const Total& each :
       totals(trends, "headroom_cache_misses_total", from, to, {"space", "class"})) {
    if (added(each) == 0) continue;
    readings.misses += added(each);
    readings.missed.push_back({label(each, "space"), label(each, "class"), added(each)});
  }
}

void read_pools(Readings& readings, const sql::Sql& sql, monitor::Trends& trends, std::int64_t from,
                std::int64_t to) {
  for (const sql::PoolReport& each : sql.pools())
    readings.pools.push_back({.name = fmt::format("{}/{}", each.database, each.user),
                              .busy = each.pool.open - std::min(each.pool.open, each.pool.idle),
                              .limit = each.pool.limit,
                              .waiting = each.pool.waiting,
                              .pool_size = sql.options().pool_size});
  for (const Total& each :
       totals(trends, "headroom_sql_pool_waiting", from, to, {"database", "user"})) {
    const std::string name = fmt::format("{}/{}", label(each, "database"), label(each, "user"));
    const auto pool = std::ranges::find(readings.pools, name, &PoolUse::name);
    if (pool != readings.pools.end())
      pool->waiting = std::max(pool->waiting, static_cast<std::uint64_t>(each.value.max));
  }
  for (const Total& each : totals(trends, "headroom_sql_pool_wait_seconds", from, to))
    readings.query_wait_ms = 1000 * each.value.quantile_seconds(0.99);
  for (const Total& each : totals(trends, "headroom_sql_query_seconds", from, to))
    readings.query_ms = 1000 * each.value.quantile_seconds(0.99);
}

}  // namespace

void write_explanations(json::Writer& out, const Sources& sources, monitor::Trends& trends,
                        std::int64_t now) {
  const std::int64_t from = now - 59;
  const std::int64_t to = now + 1;
  Readings readings;
  read_routes(readings, sources, trends, from, to);
  read_failures(readings, trends, from, to);
  read_cache(readings, trends, from, to);
  if (sources.upstreams) readings.groups = sources.upstreams();
  if (const sql::Sql* sql = sources.sql ? sources.sql() : nullptr)
    read_pools(readings, *sql, trends, from, to);
  out.key("explanations")
      .begin_object()
      .field("latency", explain_latency(readings))
      .field("errors", explain_errors(readings))
      .field("cache", explain_cache(readings))
      .field("database", explain_pools(readings))
      .end_object();
}

}  // namespace headroom::server
