// headroom/server/sql_cache_api.h - the cache of results over HTTP: what SHOW CACHE says as JSON, and [[sql.warm]].
//
// Owns: nothing; borrows `sources`, which must outlive the Api. Worker and threads: the reading and the control thread.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_sql_cache_endpoints(Api& api, const Sources& sources);

}  // namespace headroom::server
