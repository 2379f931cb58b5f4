#include "headroom/edge/view_status.h"

#include <algorithm>

#include "headroom/base/clock.h"

namespace headroom::edge {
namespace {

Quantiles quantiles_of(const metrics::HistogramValues& values) {
  return {milliseconds(values.mean()), milliseconds(values.quantile(0.5)),
          milliseconds(values.quantile(0.9)), milliseconds(values.quantile(0.95)),
          milliseconds(values.quantile(0.99))};
}

}  // namespace

std::vector<net::HealthReport> health_of(const View& view) {
  using State = net::HealthReport::State;
  std::vector<net::HealthReport> reports;
  const TimePoint now = Clock::now();
  for (const auto& pool : view.pools) {
    const auto& servers = pool->group.servers();
    const auto up =
        std::ranges::count_if(servers, [&](const auto& server) { return server->usable(now); });
    net::HealthReport report{"edge.upstreams." + pool->group.options().name, State::ok, {}};
    if (up == 0) {
      report.state = State::failed;
    } else if (static_cast<std::size_t>(up) < servers.size()) {
      report.state = State::degraded;
    }
    if (report.state != State::ok)
      report.reason =
          std::to_string(up) + " of " + std::to_string(servers.size()) + " servers can be used";
    reports.push_back(std::move(report));
  }
  return reports;
}

std::vector<GroupStatus> groups_of(const View& view) {
  std::vector<GroupStatus> groups;
  const TimePoint now = Clock::now();
  for (const auto& pool : view.pools) {
    GroupStatus group{pool->group.options().name,
                      pool->group.concurrency().in_flight(),
                      pool->group.concurrency().limit(),
                      pool->admission->size() + pool->places->size(),
                      {}};
    for (const auto& server : pool->group.servers()) {
      const Quantiles first = quantiles_of(server->first_byte().values());
      group.servers.push_back(
          {server->spec().text, server->state(now), server->reason(), server->spec().weight,
           server->in_flight(),
           static_cast<std::uint64_t>(std::max<std::int64_t>(0, server->idle_connections.load())),
           server->requests().total(), server->failures().total(), first.p50, first.p90, first.p95,
           first.p99});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<RouteStatus> routes_of(const View& view) {
  std::vector<RouteStatus> routes;
  for (const Route& route : view.routes.all()) {
    const RouteMetrics& m = *route.metrics;
    RouteStatus status;
    status.name = route.name;
    std::uint64_t ended = 0;
    for (std::size_t i = 0; i < m.ended.size(); ++i)
      ended += status.by_class[i] = m.ended[i]->total();
    status.requests = ended;
    status.in_flight = std::max(m.begun.total(), ended) - ended;
    status.bytes_in = m.bytes_in.total();
    status.bytes_out = m.bytes_out.total();
    status.queue = quantiles_of(m.queue.values());
    status.connect = quantiles_of(m.connect.values());
    status.first_byte = quantiles_of(m.first_byte.values());
    status.total = quantiles_of(m.total.values());
    routes.push_back(std::move(status));
  }
  return routes;
}

Quantiles total_of(const View& view) {
  metrics::HistogramValues all;
  for (const Route& route : view.routes.all()) all.merge(route.metrics->total.values());
  return quantiles_of(all);
}

}  // namespace headroom::edge
