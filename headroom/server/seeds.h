// headroom/server/seeds.h - the paths that the four seed systems' own dashboards and probes ask, with the fields of their documents.
//
// Owns: nothing; the functions it adds borrow `sources`, which must outlive the Api.
// Invariants: (1) every number is measured; what no engine is configured for is null with "status": "not_configured"; (2) a POST or DELETE
//   for such an engine answers 409 not_configured.
#pragma once

#include <string>
#include <vector>

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_seed_endpoints(Api& api, const Sources& sources);

// The paths to host on the edge when [admin] on_edge says so.
[[nodiscard]] std::vector<std::string> seed_paths();

}  // namespace headroom::server
