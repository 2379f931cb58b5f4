// headroom/sql/explain.h - a plan on demand: what a server would do for a read, without doing it.
//
// Functions; explain() runs on the worker of its server. Worker: any.
// Invariants: (1) only a single read is planned: no write, lock, COPY or second statement (by PostgreSQL's own parser here, and by the server, which
//   takes one command in a Parse); (2) nothing is executed, and what planning itself evaluates runs in a transaction that only reads, with a
//   time-out, as the user who asked the query; functions of users that it might evaluate are a refusal; (3) the connection is as good as new before,
//   and is to be closed after.
// Limits: kPlanTime for the server, kLockTime for its locks; plans of the size of one message of postgres::ask().
#pragma once

#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/net/task_group.h"
#include "headroom/postgres/server.h"
#include "headroom/sql/insight.h"

namespace headroom::sql {

struct PlanRequest {
  std::string query;
  std::string types;        // of a Parse
  std::string values;       // of a Bind: formats and values
  std::string search_path;  // empty: the server's own
  std::vector<std::string> functions;
  unsigned open = 0;     // parameters without a value
  bool generic = false;  // its values are left open
};
// Errc::conflict: it is no read.
[[nodiscard]] Result<PlanRequest> plan_of(const Sample& sample);
// Of a shape's text, whose ? become parameters.
[[nodiscard]] Result<PlanRequest> plan_of_shape(std::string_view shape);

// JSON. Errc::conflict: the server cannot plan it, and says why; unavailable, timeout.
[[nodiscard]] net::Task<Result<std::string>> explain(postgres::Server& server, PlanRequest request);

}  // namespace headroom::sql
