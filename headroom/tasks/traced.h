// headroom/tasks/traced.h - jobs of recorded traces: `custom.traceparent` says which trace, and which of its spans pushed the job. Two spans for each,
// both children of that one: of kind producer, until the job is on disk, and of kind consumer, linked to the former, while a worker has it.
//
// Owns: TracedJobs what is known of such jobs while they are leased. Borrows: where spans go. Worker and threads: TracedJobs the engine's; Pushing any.
// Invariants: (1) a job that names no recorded trace costs one search of its text, and nothing while traces are off; (2) the id of a producer's
//   span is made of trace and jid, so that who processes the job, in whatever process, can name it.
// Limits: kMost jobs, beyond which the oldest are forgotten.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "headroom/link/spans.h"
#include "headroom/tasks/board.h"

namespace headroom::tasks {

// A job that is being pushed; made before the board has it.
class Pushing {
 public:
  // `spans` may be null.
  Pushing(link::Spans* spans, const Job& job, TimePoint began);
  [[nodiscard]] explicit operator bool() const { return span_.id != 0; }
  [[nodiscard]] const std::string& jid() const { return jid_; }
  // It is on disk, or was refused.
  void ended(bool accepted, TimePoint now);

 private:
  std::string jid_;
  link::Spans* spans_;
  link::Span span_;  // without an id: nobody wants it
};

class TracedJobs {
 public:
  static constexpr std::size_t kMost = 10'000;

  explicit TracedJobs(link::Spans* spans) : spans_(spans) {}

  // Where spans go; null: nowhere.
  [[nodiscard]] link::Spans* spans() const { return spans_; }
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
