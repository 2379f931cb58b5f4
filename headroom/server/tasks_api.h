// headroom/server/tasks_api.h - the task server over the admin API: enqueue, inspect, cancel, retry, pause, schedules, figures.
//
// Owns: nothing; borrows `sources`, which must outlive the Api. Limits: the Api's; listings of 1000 jobs.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_tasks_endpoints(Api& api, const Sources& sources);
// Those of them whose answer is waited for on the worker (tasks_waiting.cc).
void add_waiting_tasks_endpoints(Api& api, const Sources& sources);

}  // namespace headroom::server
