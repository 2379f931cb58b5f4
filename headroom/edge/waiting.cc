#include "headroom/edge/waiting.h"

#include <algorithm>

namespace headroom::edge {

net::Task<Result<>> Waiting::wait(net::TaskGroup& group, Priority priority, TimePoint deadline) {
  if (priority == Priority::background) co_return fail(Errc::overloaded, "background requests do not wait");
  const bool critical = priority == Priority::critical;
  net::Event event(group);
  auto waiter = std::make_shared<Waiter>(Waiter{&group.worker(), &event});
  auto& queue = queues_[critical ? 0 : 1];
  {
    const std::scoped_lock lock(mutex_);
    if (size() >= (critical ? std::size_t{2} * most_ : most_)) {
      co_return fail(Errc::overloaded, "too many requests wait");
    }
    queue.push_back(waiter);
    size_.fetch_add(1, std::memory_order_relaxed);
  }
  auto woken = co_await event.wait(deadline);
  const std::scoped_lock lock(mutex_);
  waiter->event = nullptr;
  if (std::erase(queue, waiter) > 0) size_.fetch_sub(1, std::memory_order_relaxed);
  co_return woken;
}

void Waiting::wake_one() {
  std::shared_ptr<Waiter> next;
  {
    const std::scoped_lock lock(mutex_);
    auto& queue = queues_[queues_[0].empty() ? 1 : 0];
    if (queue.empty()) return;
    next = std::move(queue.front());
    queue.pop_front();
    size_.fetch_sub(1, std::memory_order_relaxed);
  }
  // On its own worker the waiter cannot end between the look and the call.
  net::Worker* worker = next->worker;
  worker->post([next = std::move(next)] {
    if (next->event != nullptr) next->event->set();
  });
}

}  // namespace headroom::edge
