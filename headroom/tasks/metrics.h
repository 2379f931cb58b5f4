// headroom/tasks/metrics.h - the table of the task server's metrics.
#pragma once

#include <array>
#include <span>

#include "headroom/base/metrics.h"

namespace headroom::tasks {

using metrics::Family;
using metrics::Kind;

inline constexpr Family kConnections{"headroom_tasks_connections_total", Kind::counter,
                                     "Connections of Faktory clients."};
inline constexpr Family kConnectionsRefused{
    "headroom_tasks_connections_refused_total",
    Kind::counter,
    "Connections ended at once, by reason: limit, hello, password.",
    {"reason"}};
inline constexpr Family kCommands{"headroom_tasks_commands_total",
                                  Kind::counter,
                                  "Commands of Faktory clients, by outcome: done, refused.",
                                  {"verb", "outcome"}};
inline constexpr Family kJobs{"headroom_tasks_jobs",
                              Kind::gauge,
                              "Jobs there now: waiting, running, scheduled, retrying, dead.",
                              {"state"}};
inline constexpr Family kPushed{"headroom_tasks_pushed_total", Kind::counter, "Jobs taken in."};
inline constexpr Family kDone{"headroom_tasks_done_total", Kind::counter, "Jobs acknowledged."};
inline constexpr Family kFailed{"headroom_tasks_failed_total", Kind::counter,
                                "Attempts that failed."};
inline constexpr Family kRunTime{"headroom_tasks_run_seconds", Kind::histogram,
                                 "From the lease of a job to its acknowledgement."};
inline constexpr Family kWaitTime{"headroom_tasks_wait_seconds", Kind::histogram,
                                  "From a job's being ready to its lease."};
inline constexpr Family kWorkers{"headroom_tasks_workers", Kind::gauge, "Worker processes known."};
inline constexpr Family kCommits{"headroom_tasks_commits_total", Kind::counter,
                                 "Transactions written to the disk."};
inline constexpr Family kFailedCommits{"headroom_tasks_failed_commits_total", Kind::counter,
                                       "Transactions that could not be written."};
inline constexpr Family kChanges{
    "headroom_tasks_changes_total", Kind::counter,
    "Requests that changed something; by commit: how many share an fsync."};
inline constexpr Family kRefused{
    "headroom_tasks_requests_refused_total", Kind::counter,
    "Requests refused because too many waited, or because it was stopping."};
inline constexpr Family kHeldBytes{"headroom_tasks_held_bytes", Kind::gauge,
                                   "Jobs kept in memory."};

inline constexpr std::array<const Family*, 15> kFamilies{
    &kRunTime,  &kWaitTime, &kConnections, &kConnectionsRefused,
    &kCommands, &kJobs,     &kPushed,      &kDone,
    &kFailed,   &kWorkers,  &kCommits,     &kFailedCommits,
    &kChanges,  &kRefused,  &kHeldBytes};
[[nodiscard]] constexpr std::span<const Family* const> all_families() { return kFamilies; }

}  // namespace headroom::tasks
