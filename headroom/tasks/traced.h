// headroom/tasks/traced.h - jobs of recorded traces: `custom.traceparent` says which trace, and which of its spans pushed the job.
//
// Owns: what is known of such jobs while they are leased. Borrows: where spans go. Worker and threads: the engine's.
// Invariants: (1) a job that names no recorded trace costs one search of its text, and nothing while traces are off.
// Limits: kMost jobs, beyond which the oldest are forgotten.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "headroom/link/spans.h"
#include "headroom/tasks/board.h"

namespace headroom::tasks {

class TracedJobs {
 public:
  static constexpr std::size_t kMost = 10'000;

  explicit TracedJobs(link::Spans* spans) : spans_(spans) {}

  // It has been handed out.
  void began(const Leased& job);
  // Its worker has said how it ended.
  void ended(const Board::Outcome::Ended& job, TimePoint now);
  [[nodiscard]] std::size_t size() const { return jobs_.size(); }

 private:
  struct Known {
    link::TraceContext pushed_by;
    std::string jid, queue, type;
    Duration waited{};
  };
  link::Spans* const spans_;  // null: nobody wants them
  std::map<std::uint64_t, Known> jobs_;
  Random random_{static_cast<std::uint64_t>(Clock::now().time_since_epoch().count())};
};

}  // namespace headroom::tasks
