// headroom/server/database_api.h - what PostgreSQL's statistics say of tables and indexes, at the seeds' paths.
//
// Owns: nothing; borrows `sources`, which must outlive the Api. Worker and threads: handlers ask the databases, on the reading threads.
// Limits: kMostTables, kMostIndexes of each database, the largest.
#pragma once

#include <string>
#include <vector>

#include "headroom/json/writer.h"
#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_database_endpoints(Api& api, const Sources& sources);
// "database": how many tables and indexes there are and what they take, or that there is no proxy. Asks the databases.
void write_database_size(json::Writer& out, const Sources& sources);
// For the edge.
[[nodiscard]] std::vector<std::string> database_seed_paths();

}  // namespace headroom::server
