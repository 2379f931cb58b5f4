// headroom/edge/view.h - what a reload replaces: options, routes and groups, as one immutable snapshot.
#pragma once

#include <memory>
#include <vector>

#include "headroom/edge/options.h"
#include "headroom/edge/routes.h"
#include "headroom/limit/rules.h"

namespace headroom::edge {

struct View {
  std::shared_ptr<const EdgeOptions> options;
  std::vector<std::shared_ptr<Pool>> pools;
  RouteTable routes;
  std::uint64_t log_threshold = 0;  // of 2^32: the share of requests logged
  std::shared_ptr<const limit::Rules> limits{};
};

// Makes the groups and routes of `options`; servers, counters and learnt limits of `before` go on where they are the same.
// `cache`: whose TTL classes routes name; null: there is none.
// Errc::invalid with the setting's name. May read files (certificates): not on a worker.
[[nodiscard]] Result<std::shared_ptr<const View>> make_view(
    std::shared_ptr<const EdgeOptions> options, std::shared_ptr<const limit::Rules> limits,
    const cache::Cache* cache, const View* before, std::size_t workers,
    metrics::Registry& registry);

// Whether [cache] has the class that a route names. Errc::invalid.
[[nodiscard]] Result<> check_ttl_class(const RouteCacheOptions& route,
                                       const cache::CacheOptions& cache);

}  // namespace headroom::edge
