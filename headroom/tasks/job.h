// headroom/tasks/job.h - a job: its text, as its producer wrote it, and those of its members that the server acts on.
//
// The contract is Faktory's job object: jid, queue, jobtype, args, and optionally at, reserve_for, retry, priority, custom. What goes beyond
// it stands in `custom`, as Faktory's paid edition has it: expires_at, expires_in, unique_for, unique_until, track, bid; of our own: key
// (whose job it is), chain (jobs that follow its success, one after the other).
//
// Owns: its strings. Threads: any.
// Invariants: (1) members that are not known are kept, byte for byte; (2) the text is one JSON object of at most `bytes`.
// Limits: JobLimits; words of 200 bytes; JSON 64 deep; kMostChained jobs behind one.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/error.h"
#include "headroom/base/hash.h"
#include "headroom/tasks/backoff.h"
#include "headroom/tasks/time.h"

namespace headroom::tasks {

enum class UniqueUntil : std::uint8_t { success, start };
enum class Callback : std::uint8_t { none, complete, success };

inline constexpr std::size_t kMostChained = 100;

struct Job {
  std::uint64_t seq = 0;  // the board's number of it, in the order of arrival; 0: not yet
  std::string jid;
  std::string queue = "default";
  std::int32_t priority = 5;  // 0 to 255; the larger, the sooner
  std::uint32_t reserve_s = 1800;
  WallTime expires = 0;    // not begun by then: dropped; 0: never
  std::uint32_t lost = 0;  // workers that died on it
  std::string unique_key;  // the lock it holds; empty: none
  UniqueUntil unique_until = UniqueUntil::success;
  std::string jobtype;
  std::string
      key;  // whose it is: queues are shared fairly between keys, and throttles may count by them
  std::string bid;        // the batch it belongs to; empty: none
  std::string called_by;  // the batch whose callback it is
  Callback callback = Callback::none;
  bool tracked = false;
  bool chained = false;  // its success brings the next one of `custom.chain`
  bool failed = false;   // its batch counts it as failed
  std::string body;      // its JSON

  // Read from the text when it comes, and not kept: the text has them.
  WallTime at = 0;  // 0: at once
  std::uint32_t unique_for_s = 0;
  std::vector<std::string> queues_behind{};  // of the jobs of its chain
};

struct JobLimits {
  Bytes bytes = Bytes::mib(1);
};

// A job as a client wrote it. Members that must be there but are not get their defaults in the text too: queue, created_at, and
// enqueued_at unless it is for later. Errc::invalid says which member is wrong.
[[nodiscard]] Result<Job> read_job(std::string_view text, WallTime now,
                                   const JobLimits& limits = {});

struct Failure {
  std::string errtype;
  std::string message;
  std::vector<std::string> backtrace;
  WallTime retry_at = 0;  // not before, if it is tried again; 0: by its back-off
};

// What becomes of a job that failed.
struct Verdict {
  enum class Next : std::uint8_t { retry, dead, discarded };
  Next next = Next::retry;
  WallTime at = 0;   // of a retry
  std::string body;  // with its `failure`
};
// By its `retry` (25 when it says nothing; 0: discarded; -1: dead at once) and its earlier failures.
[[nodiscard]] Verdict judge(const Job& job, const Failure& failure, WallTime now,
                            const Backoffs& backoffs, Random& random);

// Its text as one that is tried no more, whatever its `retry` says.
[[nodiscard]] std::string buried(const Job& job, const Failure& failure, WallTime now);

// Its jobtype, for people; "" when the text has none.
[[nodiscard]] std::string type_of(const Job& job);

// Appends the members of a JSON object, which must be valid, as they were written, but those of the names in `without`, each followed by a comma.
void append_members(std::string& out, std::string_view object,
                    std::initializer_list<std::string_view> without);

// `text`, a JSON object, with `"name":value` as its first member; `value` is JSON.
[[nodiscard]] std::string with_member(std::string_view text, std::string_view name,
                                      std::string_view value);
// The JSON text with a jid, unless it has one.
[[nodiscard]] std::string with_jid(std::string_view text, std::string_view jid);
// The job that follows in the chain of this text, which carries the rest of the chain. Errc::not_found: none does.
[[nodiscard]] Result<std::string> next_in_chain(std::string_view text, std::string_view jid);

}  // namespace headroom::tasks
