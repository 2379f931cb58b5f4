// headroom/edge/waiting.h - the requests that wait for a place: critical ones first, then in order of arrival.
//
// Owns: the queue. Worker: any; the lock is taken only when somebody waits (the common release reads one atomic).
// Invariants: (1) a request that comes while another waits queues up behind it; (2) a place that comes free while somebody waits is tried
//   for, whatever becomes of the one who was woken for it; (3) a waiter that gives up is forgotten at once.
// Limits: `most` waiting, twice that for critical requests; background requests do not wait.
//
// A free place is not handed over: the first in the queue is woken, on its own worker, and tries for it. Whoever leaves the queue wakes the
// next, so one signal serves for several places. A waiter that cannot use every place (it has failed on some server, or came before a
// reload) passes the signal on, and nobody queues up behind it.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "headroom/edge/options.h"
#include "headroom/net/task_group.h"

namespace headroom::edge {

class Waiting {
 public:
  explicit Waiting(std::uint32_t most) : most_(most) {}
  // A reload: other places may belong to the group from now on, and other limits.
  void renew(std::uint32_t most);

  struct Turn {
    Priority priority = Priority::normal;
    enum class Needs : std::uint8_t {
      any,
      some
    } needs = Needs::any;  // some: not every place will do
    TimePoint deadline = kNever;
  };

  // Whether somebody is to be served before a request of this priority that comes now: it has to wait().
  [[nodiscard]] bool ahead(Priority priority) const {
    return ahead_[0].load(std::memory_order_relaxed) > 0 ||
           (priority != Priority::critical && ahead_[1].load(std::memory_order_relaxed) > 0);
  }
  // Suspends until take() says true: it tries for a place, on this worker, at once if nobody is ahead and whenever one came free.
  // Errc::overloaded (queue full, background), timeout, cancelled.
  [[nodiscard]] net::Task<Result<>> wait(net::TaskGroup& group, Turn turn,
                                         const std::function<bool()>& take);
  // A place was given back: the first in the queue tries for it.
  void free() {
    if (size_.load(std::memory_order_seq_cst) > 0) wake_first();
  }
  [[nodiscard]] std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  struct Waiter {
    net::Worker* worker;
    net::Event* event;  // null once its task has gone on
    Turn::Needs needs;
  };
  using Queue = std::list<std::shared_ptr<Waiter>>;
  class Stay;

  static void wake(std::shared_ptr<Waiter> waiter);
  void wake_first();
  void pass_on(std::size_t queue, Queue::const_iterator waiter);
  [[nodiscard]] std::shared_ptr<Waiter> first_from(std::size_t queue) const;

  std::atomic<std::uint32_t> most_;
  std::atomic<std::size_t> size_{0};
  std::array<std::atomic<std::size_t>, 2> ahead_{};  // waiters that could use any place
  mutable std::mutex mutex_;
  std::array<Queue, 2> queues_;  // critical, normal
};

}  // namespace headroom::edge
