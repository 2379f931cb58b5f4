// headroom/server/sql_api.h - the SQL proxy's endpoints: its pools and slow queries; the seeds' spellings of both.
//
// Owns: nothing; borrows `sources`, which must outlive the Api. A process without the proxy answers as the contract says: GET with null fields and
// "status": "not_configured".
// Worker and threads: handlers run on the reading thread.
#pragma once

#include <string>
#include <vector>

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_sql_endpoints(Api& api, const Sources& sources);
// Those that the seeds' documents name, for the edge.
[[nodiscard]] std::vector<std::string> sql_seed_paths();

}  // namespace headroom::server
