#include "headroom/edge/routes.h"

#include <algorithm>
#include <tuple>

#include "headroom/edge/metrics.h"
#include "headroom/http/path.h"

namespace headroom::edge {

RouteMetrics::RouteMetrics(const std::string& route, std::size_t workers,
                           metrics::Registry& registry)
    : begun(registry.counter(kRequestsBegun, {route})),
      ended{&registry.counter(kRequests, {route, "none"}),
            &registry.counter(kRequests, {route, "1xx"}),
            &registry.counter(kRequests, {route, "2xx"}),
            &registry.counter(kRequests, {route, "3xx"}),
            &registry.counter(kRequests, {route, "4xx"}),
            &registry.counter(kRequests, {route, "5xx"})},
      bytes_in(registry.counter(kBytesIn, {route})),
      bytes_out(registry.counter(kBytesOut, {route})),
      queue(registry.histogram(kQueueTime, {route})),
      connect(registry.histogram(kConnectTime, {route})),
      first_byte(registry.histogram(kFirstByteTime, {route})),
      total(registry.histogram(kTotalTime, {route})),
      cells(workers) {
  auto& shed_queue = registry.counter(kShed, {route, "queue"});
  auto& shed_limit = registry.counter(kShed, {route, "limit"});
  auto& upgrades = registry.counter(kUpgrades, {route});
  auto& retries = registry.counter(kRetries, {route});
  for (std::size_t w = 0; w < workers; ++w) {
    RouteCells& own = cells[w];
    own.begun = &begun.at(w);
    for (std::size_t i = 0; i < ended.size(); ++i) own.ended[i] = &ended[i]->at(w);
    own.bytes_in = &bytes_in.at(w);
    own.bytes_out = &bytes_out.at(w);
    own.shed_queue = &shed_queue.at(w);
    own.shed_limit = &shed_limit.at(w);
    own.upgrades = &upgrades.at(w);
    own.retries = &retries.at(w);
    own.queue = queue.at(w);
    own.connect = connect.at(w);
    own.first_byte = first_byte.at(w);
    own.total = total.at(w);
  }
}

RouteTable::RouteTable(std::vector<Route> routes) : routes_(std::move(routes)) {
  const auto rank = [](const Route& route) {
    const int host = route.host.empty() ? 2 : route.wildcard ? 1 : 0;
    return std::tuple(host, -static_cast<int>(route.host.size()),
                      -static_cast<int>(route.path.size()), route.order);
  };
  for (std::size_t i = 0; i < routes_.size(); ++i) routes_[i].order = i;
  std::ranges::sort(routes_, {}, rank);
}

const Route* RouteTable::match(std::string_view host, std::string_view path) const {
  for (const Route& route : routes_) {
    if (http::path_is_under(route.path, path) && http::host_matches(route.host, host))
      return &route;
  }
  return nullptr;
}

std::string_view without_port(std::string_view authority) {
  const auto colon = authority.rfind(':');
  if (colon == std::string_view::npos) return authority;
  if (authority.front() == '[' && authority[colon - 1] != ']') return authority;
  return authority.substr(0, colon);
}

}  // namespace headroom::edge
