// headroom/link/requests.h - the requests that are at the app, by the trace-id they went there with: whose session each one is.
//
// Owns: one Request for each trace-id. Threads: any; kShards short locks, the named exception to "no mutex" (once when a request goes to the
//   app, once for each statement that names its trace).
// Invariants: (1) a trace that nobody began is nobody's: find() gives null, so what an app or an attacker makes up reaches nothing; (2) a request is
//   found from begin() until kKept after end(), as some frameworks commit after the answer has left.
// Limits: kMostRequests for all shards, beyond which the oldest are forgotten.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "headroom/base/clock.h"
#include "headroom/link/reads.h"
#include "headroom/link/trace.h"

namespace headroom::link {

// Set when it begins; what changes later has a lock of its own.
struct Request {
  Trace trace;
  std::string session;     // of the browser; empty: it has none
  Reads reads{};           // what its queries have read
  bool feeds_page = true;  // which may be kept
};
using RequestPointer = std::shared_ptr<Request>;

class Requests {
 public:
  static constexpr Duration kKept = std::chrono::seconds(60);
  static constexpr std::size_t kMostRequests = 100'000;
  static constexpr std::size_t kShards = 16;

  // From the edge: it goes to the app now. `trace` is fresh, or continued from a trusted proxy (then the newer request counts).
  enum class Feeds : bool { nothing, page };
  RequestPointer begin(const Trace& trace, std::string session, TimePoint now,
                       Feeds feeds = Feeds::page);
  // Its answer has been sent.
  void end(const RequestPointer& request, TimePoint now);
  // From the SQL proxy. Null: not known, or no longer.
  [[nodiscard]] RequestPointer find(const Trace& trace, TimePoint now) const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry {
    RequestPointer request;
    TimePoint ended = kNever;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<Trace, Entry> by_trace;
    std::deque<std::pair<TimePoint, Trace>> ended;
    std::deque<Trace> begun;
  };
  [[nodiscard]] Shard& shard(const Trace& trace) const { return shards_[trace.low % kShards]; }
  static void clean(Shard& shard, TimePoint now);

  mutable std::array<Shard, kShards> shards_;
};

}  // namespace headroom::link
