// headroom/server/warm_api.h - warming over the admin API: begun, and how far it is; the seeds' spellings of both.
//
// Owns: nothing; borrows `sources`, which must outlive the Api.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_warm_endpoints(Api& api, const Sources& sources);
// Those of the seeds, for the edge.
[[nodiscard]] std::vector<std::string> warm_seed_paths();

}  // namespace headroom::server
