// headroom/tasks/acknowledging.h - a worker's word that a job is done, wherever that job lies now.
//
// Owns: nothing. Borrows: the engine, and what is said until it answers. Worker: the caller's; may suspend for as long as a search takes.
// Invariants: (1) answered {}: the job is gone, on disk, or it was gone before, or is leased to another; (2) that holds for jobs which a process
//   before this one leased, however many have come before them since.
// Limits: kTries searches, then Errc::unavailable.
#pragma once

#include <string_view>

#include "headroom/tasks/engine.h"

namespace headroom::tasks {

struct Acknowledgement {
  std::string_view jid;
  std::string_view wid;
  std::string_view result;  // JSON
};
[[nodiscard]] net::Task<Result<>> acknowledge(Engine& engine, net::Worker& worker,
                                              Acknowledgement said);

}  // namespace headroom::tasks
