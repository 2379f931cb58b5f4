// headroom/edge/warmer.h - fetches what is listed in [[edge.warm]] into the cache: at start, and when somebody asks.
//
// Owns: the run under way and what is known of the last. Borrows: the group, the door of inner requests. Worker: one; what it does is shown on a board.
// Invariants: (1) one run at a time; (2) each request passes routing, admission and cache as a client's would, outside of rate limits and
//   first to be turned away under overload; (3) nobody is kept from being ready longer than ready_after.
// Limits: kMostWarmRequests a run, at_once side by side, each for timeout x attempts; ten failures told of.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/edge/inner_client.h"
#include "headroom/edge/status.h"
#include "headroom/edge/warm_options.h"

namespace headroom::edge {

enum class Warmed : std::uint8_t { stored, fresh, not_stored, failed };
inline constexpr std::size_t kWarmed = 4;
[[nodiscard]] std::string_view to_string(Warmed outcome);

struct WarmCells {
  std::array<metrics::Cell*, kWarmed> outcomes{};
};

// What others may know of it, also when it has ended. Any thread; its mutex is held for a copy.
class WarmBoard {
 public:
  void show(const WarmStatus& status);
  [[nodiscard]] WarmStatus status() const;
  // Why requests should not be sent here yet; "": they may.
  [[nodiscard]] std::string not_ready(TimePoint now) const;
  void hold_until(TimePoint due) { not_ready_until_ = due; }

 private:
  mutable std::mutex mutex_;
  WarmStatus status_;
  std::atomic<TimePoint> not_ready_until_{TimePoint{}};
};

class Warmer {
 public:
  Warmer(net::TaskGroup& group, InnerDoor& door, WarmBoard& board, const WarmCells& cells)
      : group_(group), door_(door), board_(board), cells_(cells) {}
  Warmer(const Warmer&) = delete;
  Warmer& operator=(const Warmer&) = delete;

  // For runs from now on.
  void configure(std::vector<WarmRequest> requests, const WarmingOptions& options,
                 const http::HeadLimits& limits);
  // True: a run has begun; false: one is under way. Errc::not_found: nothing is listed; unavailable: it is going down.
  [[nodiscard]] Result<bool> start();
  // The same at the start of the process, for which WarmBoard::not_ready() waits.
  void start_first();
  void drain() { draining_ = true; }

 private:
  struct Run {
    std::vector<WarmRequest> requests;
    WarmingOptions options;
    http::HeadLimits limits;
    std::size_t next = 0;
    std::size_t lanes = 0;
  };
  struct Outcome {
    Warmed what = Warmed::failed;
    std::string why;
  };

  [[nodiscard]] net::Task<> lane(std::shared_ptr<Run> run);
  [[nodiscard]] net::Task<Outcome> fetch(const Run& run, const WarmRequest& request);
  [[nodiscard]] net::Task<Outcome> ask(const Run& run, const WarmRequest& request);
  void note(const WarmRequest& request, const Outcome& outcome);
  void end(const Run& run);

  net::TaskGroup& group_;
  InnerDoor& door_;
  WarmBoard& board_;
  const WarmCells cells_;
  Run plan_;
  WarmStatus status_;
  TimePoint began_{};
  bool draining_ = false;
};

}  // namespace headroom::edge
