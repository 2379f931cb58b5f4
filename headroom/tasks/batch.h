// headroom/tasks/batch.h - a batch: jobs that belong together, and the jobs that are pushed once all of them have been tried, or have succeeded.
//
//   its jobs      each is pending until it succeeds; it is `failed` while its last attempt was a failure, or when it is gone without success
//   complete      every job has been tried, and every batch within it is complete: the complete callback is pushed, once
//   success       after that callback has succeeded, when no job is pending and every batch within it has succeeded
//
// A batch is complete, or has succeeded, for the one around it only when its own callback has succeeded too.
//
// Owns: its values. Threads: any; the board keeps the living ones, and writes each change in the transaction of what made it.
// Invariants: (1) nothing is called before the batch is committed; (2) each callback is called at most once; (3) complete before success.
// Limits: kMostNested batches around one; callbacks of 16 KiB, descriptions of 1000 bytes; a batch that is not committed lives kUncommitted, one that has succeeded kKept.
// Source: the published documents of Faktory's paid edition, and what its clients' tests expect.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/tasks/job.h"

namespace headroom::tasks {

struct Batch {
  static constexpr WallTime kUncommitted = 30 * 60 * kSecond;
  static constexpr WallTime kKept = 30 * 60 * kSecond;
  static constexpr std::uint32_t kMostNested = 50;

  enum class State : std::uint8_t { waiting, pushed, done };  // of a callback

  std::string bid;
  std::string parent;
  std::string description;
  std::string on_complete;  // the callbacks' jobs; empty: none
  std::string on_success;
  std::uint32_t depth = 0;  // batches around it
  WallTime created = 0;
  WallTime changed = 0;
  bool committed = false;
  std::uint64_t total = 0;
  std::uint64_t pending = 0;
  std::uint64_t failed = 0;
  std::uint64_t incomplete_within = 0;  // batches
  std::uint64_t pending_within = 0;     // batches that have not succeeded
  State complete = State::waiting;
  State success = State::waiting;
  bool is_complete = false;
  bool has_succeeded = false;

  // {"description": ..., "success": job, "complete": job, "parent_bid": ...}. The callbacks are read too.
  [[nodiscard]] static Result<Batch> read(std::string_view json, WallTime now);
  // Everything, to be stored; and back.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] static Result<Batch> restore(std::string_view text);
  // As BATCH STATUS shows it.
  [[nodiscard]] std::string status() const;

  // What is due now, and is noted as done by this call.
  struct Due {
    bool push_complete = false;
    bool push_success = false;
    bool completed = false;  // tell the batch around it
    bool succeeded = false;
  };
  [[nodiscard]] Due advance();
  [[nodiscard]] bool is_over(WallTime now, WallTime retention) const;
};

// The job of a callback: its text with a jid, and with the batch in `custom` as workers look for it.
[[nodiscard]] Result<Job> callback_job(const std::string& text, const Batch& batch, Callback which,
                                       WallTime now);

}  // namespace headroom::tasks
