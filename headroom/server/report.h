// headroom/server/report.h - numbers as JSON members, the same wherever they are shown; times as text.
//
// Owns: nothing. Worker and threads: any.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/edge/edge.h"
#include "headroom/json/writer.h"
#include "headroom/limit/rules.h"
#include "headroom/net/interfaces.h"

namespace headroom::server {

// "2026-11-21T10:38:57Z".
[[nodiscard]] std::string utc_text(std::chrono::sys_seconds when);
[[nodiscard]] std::string utc_now();

// A share as a percentage, 0 to 100; 0 of nothing.
[[nodiscard]] double percentage(std::uint64_t part, std::uint64_t all);

// "name": {"mean", "p50", "p90", "p95", "p99"}, milliseconds.
void write_quantiles(json::Writer& out, std::string_view name, const edge::Quantiles& values);
void write_route(json::Writer& out, const edge::RouteStatus& route);
void write_group(json::Writer& out, const edge::GroupStatus& group);
void write_limit(json::Writer& out, const limit::RuleStatus& rule);
// "name": [{"component", "state", "reason"}].
void write_reports(json::Writer& out, std::string_view name,
                   const std::vector<net::HealthReport>& reports);

}  // namespace headroom::server
