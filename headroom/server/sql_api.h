// headroom/server/sql_api.h - the SQL proxy's endpoints: its pools and slow queries; the seeds' spellings of both.
//
// Owns: nothing; borrows `sources`, which must outlive the Api. A process without the proxy answers as the contract says: GET with null fields and
// "status": "not_configured".
// Worker and threads: handlers run on the reading thread.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/json/writer.h"
#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

// "name": {"status", ...}: figures of all pools by these names (response_time_ms, pool_usage, pool_size, checked_out, min_pool_size, max_pool_size), null
// for what is not known, and without the proxy.
void write_database(json::Writer& out, const Sources& sources, std::string_view name,
                    std::initializer_list<std::string_view> fields);

void add_sql_endpoints(Api& api, const Sources& sources);
// Those that the seeds' documents name, for the edge.
[[nodiscard]] std::vector<std::string> sql_seed_paths();

}  // namespace headroom::server
