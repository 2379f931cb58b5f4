// headroom/edge/view_status.h - what a view has counted, as status.h shows it. Any thread: reads atomics and cells.
#pragma once

#include <vector>

#include "headroom/edge/status.h"
#include "headroom/edge/view.h"
#include "headroom/net/interfaces.h"

namespace headroom::edge {

[[nodiscard]] std::vector<net::HealthReport> health_of(const View& view);
[[nodiscard]] std::vector<GroupStatus> groups_of(const View& view);
[[nodiscard]] std::vector<RouteStatus> routes_of(const View& view);
// How long the requests of all routes took.
[[nodiscard]] Quantiles total_of(const View& view);

}  // namespace headroom::edge
