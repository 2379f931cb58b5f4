// headroom/realtime/tap.h - somebody looks at what is published: the admin API's inspector.
//
// Not a subscription: it is in no channel, nothing counts it, nothing waits for it, and it sees what nobody listens to as well.
//
// Owns: references to what it has not shown yet. Worker: wants() and offer() on the homes'; the rest on the one that looks.
// Invariants: (1) what it could not take is counted, and told with what comes next; (2) messages of one channel come in its order.
// Limits: kMostWaiting messages; kMostTaps of the hub.
#pragma once

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "headroom/net/task_group.h"
#include "headroom/realtime/message.h"
#include "headroom/realtime/options.h"

namespace headroom::realtime {

class Tap {
 public:
  static constexpr std::size_t kMostWaiting = 200;
  static constexpr std::uint64_t kMostTaps = 16;

  Tap(std::size_t worker, std::string app, std::string pattern)
      : worker_(worker), app_(std::move(app)), pattern_(std::move(pattern)) {}

  [[nodiscard]] std::size_t worker() const { return worker_; }
  [[nodiscard]] bool wants(const Publication& what) const {
    return what.app == app_ && name_matches(pattern_, what.channel);
  }
  // Whether there is room for one more; take() follows, on the worker that looks.
  [[nodiscard]] bool offer() {
    if (waiting_.fetch_add(1, std::memory_order_relaxed) < kMostWaiting) return true;
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    skipped_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  void take(MessagePtr message) {
    seen_.push_back(std::move(message));
    if (wake_ != nullptr) wake_->set();
  }
  // Whom to wake; null: nobody looks any more.
  void wakes(net::Event* event) { wake_ = event; }
  // At most so many, the oldest first.
  [[nodiscard]] std::vector<MessagePtr> shown(std::size_t most) {
    const std::size_t count = std::min(most, seen_.size());
    const auto end = seen_.begin() + static_cast<std::ptrdiff_t>(count);
    std::vector<MessagePtr> some(std::make_move_iterator(seen_.begin()),
                                 std::make_move_iterator(end));
    seen_.erase(seen_.begin(), end);
    waiting_.fetch_sub(count, std::memory_order_relaxed);
    return some;
  }
  [[nodiscard]] bool has_more() const { return !seen_.empty(); }
  // Since it was asked last.
  [[nodiscard]] std::uint64_t skipped() { return skipped_.exchange(0, std::memory_order_relaxed); }

 private:
  const std::size_t worker_;
  const std::string app_;
  const std::string pattern_;
  std::atomic<std::size_t> waiting_{0};  // here, and under way
  std::atomic<std::uint64_t> skipped_{0};
  std::vector<MessagePtr> seen_;
  net::Event* wake_ = nullptr;
};

}  // namespace headroom::realtime
