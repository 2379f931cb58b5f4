// headroom/server/realtime_api.h - the hub over the admin API: how it is, publishing, ending a user's connections; and the seeds' paths for it.
//
// Owns: nothing; the functions it adds borrow `sources`, which must outlive the Api.
// Invariants: (1) without a hub a GET answers 200 with its fields null and "status": "not_configured", a change 409.
// Limits: those of the hub.
#pragma once

#include <string>
#include <vector>

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_realtime_endpoints(Api& api, const Sources& sources);
// Those of the seeds, for the edge.
[[nodiscard]] std::vector<std::string> realtime_seed_paths();

}  // namespace headroom::server
