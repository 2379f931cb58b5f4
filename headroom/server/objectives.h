// headroom/server/objectives.h - figures to stay below, met or missed over the last minutes: the seeds' targets, and those of [[monitor.objectives]].
//
// Owns: nothing. Worker and threads: the trends thread. Limits: kMostObjectives of the settings.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "headroom/json/writer.h"
#include "headroom/monitor/trends.h"
#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

struct Objective {
  std::string name;
  std::string unit;    // "ms" or "%"
  std::string figure;  // "p95", "mean", "share"
  double most = 0;
  std::optional<double> value{};  // nothing: there was nothing to measure
  std::int64_t window_s = 0;
  std::vector<std::string> routes{};  // empty: all

  [[nodiscard]] std::optional<bool> met() const {
    return value ? std::optional(*value < most) : std::nullopt;
  }
};

// Of the window that ends with `now`.
[[nodiscard]] std::vector<Objective> objectives(monitor::Trends& trends,
                                                std::span<const monitor::ObjectiveOptions> written,
                                                std::int64_t now);
// The items of a list.
void write_objectives(json::Writer& out, const std::vector<Objective>& all);

void add_objective_endpoints(Api& api, const Sources& sources);

}  // namespace headroom::server
