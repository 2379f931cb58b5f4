// headroom/server/sql_queries_api.h - what is asked of the databases, by shape: endpoints for the slowest, for one of them, and for its plan.
//
// Owns: nothing; borrows `sources`, which must outlive the Api. Values of statements are shown to admins only, and only where sql.samples keeps them.
// Worker and threads: handlers run on the reading thread; plans, which wait for the database, on the control thread.
#pragma once

#include "headroom/json/writer.h"
#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

// The value of "slow_queries".
void write_queries(json::Writer& out, const std::vector<sql::ShapeReport>& queries);
// ?by=, ?limit=.
[[nodiscard]] http::Reply slow_queries(const sql::Sql& sql, const Call& call);

void add_sql_query_endpoints(Api& api, const Sources& sources);

}  // namespace headroom::server
