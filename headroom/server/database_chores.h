// headroom/server/database_chores.h - upkeep of the app's databases, as recurring tasks of the task server: what the SQL proxy is configured for.
//
// Owns: nothing; borrows the proxy, which must outlive the chores. Threads: the one of chores, which may block.
// Invariants: (1) nothing is changed but statistics, and those only with tasks.analyze.
// Limits: kShown names of a kind; kMostTables ANALYZEs a run.
#pragma once

#include <functional>
#include <vector>

#include "headroom/sql/sql.h"
#include "headroom/tasks/chores.h"

namespace headroom::server {

struct DatabaseChores {
  std::function<const sql::Sql*()> sql;  // null while it does not run
  bool analyze = false;
};

// "index-check": indexes that are invalid, never used, or there twice. "statistics": tables that have changed much since their last ANALYZE.
[[nodiscard]] std::vector<tasks::Chore> database_chores(const DatabaseChores& from);

}  // namespace headroom::server
