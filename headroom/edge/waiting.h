// headroom/edge/waiting.h - the requests that wait for a group: critical ones first, then in order of arrival.
//
// Owns: the queue. Worker: any; the lock is taken only when somebody waits (the common release reads one atomic).
// Invariants: (1) a waiter is woken at most once per wait, on its own worker; (2) a waiter that gives up is forgotten at once.
// Limits: `most` waiting, twice that for critical requests; background requests do not wait.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>

#include "headroom/edge/options.h"
#include "headroom/net/task_group.h"

namespace headroom::edge {

class Waiting {
 public:
  explicit Waiting(std::uint32_t most) : most_(most) {}

  // Suspends until free() or the deadline. Errc::overloaded (queue full, background), timeout, cancelled.
  [[nodiscard]] net::Task<Result<>> wait(net::TaskGroup& group, Priority priority, TimePoint deadline);
  // Something was given back: wakes the next waiter.
  void free() {
    if (size_.load(std::memory_order_relaxed) > 0) wake_one();
  }
  [[nodiscard]] std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  struct Waiter {
    net::Worker* worker;
    net::Event* event;  // null once its task has gone on
  };
  void wake_one();

  const std::uint32_t most_;
  std::atomic<std::size_t> size_{0};
  std::mutex mutex_;
  std::array<std::deque<std::shared_ptr<Waiter>>, 2> queues_;  // critical, normal
};

}  // namespace headroom::edge
