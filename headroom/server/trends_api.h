// headroom/server/trends_api.h - metrics over time: a query by range, the summary of the last minutes, the seeds' spelling of it.
//
// Owns: nothing; borrows `sources`, which must outlive the Api. Worker and threads: handlers run on the trends thread (Run::trends).
// Limits: summaries of a week; 100 routes in one.
#pragma once

#include <string>
#include <vector>

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_trends_endpoints(Api& api, const Sources& sources);
// Those of the seeds, for the edge.
[[nodiscard]] std::vector<std::string> trends_seed_paths();

// What series did over the whole range, by the labels asked for.
struct Total {
  std::vector<std::pair<std::string, std::string>> labels;
  monitor::Value value;
};
[[nodiscard]] std::vector<Total> totals(monitor::Trends& trends, std::string_view metric,
                                        std::int64_t from, std::int64_t to,
                                        std::vector<std::string> by = {});

// What happened in [from, to), as members of an object that is open: requests, routes, cache, system.
void write_summary(json::Writer& out, monitor::Trends& trends, std::int64_t from, std::int64_t to);

}  // namespace headroom::server
