// headroom/server/cache_api.h - the cache's endpoints: its figures, and what drops entries; the seeds' spellings of both.
//
// Owns: nothing; borrows `sources`, which must outlive the Api. A process without a cache answers as the contract says: GET with null
// fields and "not_configured", others 409.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_cache_endpoints(Api& api, const Sources& sources);
// Those of the seeds, for the edge.
[[nodiscard]] std::vector<std::string> cache_seed_paths();

}  // namespace headroom::server
