#include "headroom/edge/waiting.h"

namespace headroom::edge {

// A place in the queue, for as long as wait() runs.
class Waiting::Stay {
 public:
  Stay(Waiting& waiting, net::Worker& worker, net::Event& event, const Turn& turn)
      : waiting_(waiting), queue_(turn.priority == Priority::critical ? 0 : 1) {
    auto waiter = std::make_shared<Waiter>(Waiter{&worker, &event, turn.needs});
    const std::scoped_lock lock(waiting_.mutex_);
    Queue& queue = waiting_.queues_[queue_];
    at_ = queue.insert(queue.end(), std::move(waiter));
    if (turn.needs == Turn::Needs::any)
      waiting_.ahead_[queue_].fetch_add(1, std::memory_order_relaxed);
    // Ordered against free(): either it sees this waiter, or the first take() sees what it freed.
    waiting_.size_.fetch_add(1, std::memory_order_seq_cst);
  }
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;
  ~Stay() {
    {
      const std::scoped_lock lock(waiting_.mutex_);
      (*at_)->event = nullptr;
      if ((*at_)->needs == Turn::Needs::any)
        waiting_.ahead_[queue_].fetch_sub(1, std::memory_order_relaxed);
      waiting_.queues_[queue_].erase(at_);
      waiting_.size_.fetch_sub(1, std::memory_order_seq_cst);
    }
    waiting_.free();
  }

  // Whether only waiters that cannot use every place are before this one.
  [[nodiscard]] bool may_try() const {
    const std::scoped_lock lock(waiting_.mutex_);
    for (std::size_t q = 0; q <= queue_; ++q) {
      for (auto i = waiting_.queues_[q].cbegin(); i != waiting_.queues_[q].cend(); ++i) {
        if (q == queue_ && i == Queue::const_iterator(at_)) return true;
        if ((*i)->needs == Turn::Needs::any) return false;
      }
    }
    return true;
  }
  void pass_on() const { waiting_.pass_on(queue_, at_); }

 private:
  Waiting& waiting_;
  const std::size_t queue_;
  Queue::iterator at_;
};

net::Task<Result<>> Waiting::wait(net::TaskGroup& group, Turn turn,
                                  const std::function<bool()>& take) {
  if (turn.priority == Priority::background)
    co_return fail(Errc::overloaded, "background requests do not wait");
  const std::size_t most = most_.load(std::memory_order_relaxed);
  if (size() >= (turn.priority == Priority::critical ? 2 * most : most)) {
    co_return fail(Errc::overloaded, "too many requests wait");
  }
  net::Event event(group);
  const Stay stay(*this, group.worker(), event, turn);
  bool mine = stay.may_try();
  for (;;) {
    if (mine) {
      if (take()) co_return Result<>{};
      stay.pass_on();
    }
    auto woken = co_await event.wait(turn.deadline);
    if (!woken) co_return woken;
    mine = stay.may_try();
  }
}

void Waiting::wake(std::shared_ptr<Waiter> waiter) {
  if (!waiter) return;
  // On its own worker the waiter cannot end between the look and the call.
  net::Worker* worker = waiter->worker;
  worker->post([waiter = std::move(waiter)] {
    if (waiter->event != nullptr) waiter->event->set();
  });
}

std::shared_ptr<Waiting::Waiter> Waiting::first_from(std::size_t queue) const {
  for (; queue < queues_.size(); ++queue) {
    if (!queues_[queue].empty()) return queues_[queue].front();
  }
  return nullptr;
}

void Waiting::wake_first() {
  std::shared_ptr<Waiter> next;
  {
    const std::scoped_lock lock(mutex_);
    next = first_from(0);
  }
  wake(std::move(next));
}

// A waiter that may need another place than the one that is free lets the next one try.
void Waiting::pass_on(std::size_t queue, Queue::const_iterator waiter) {
  std::shared_ptr<Waiter> next;
  {
    const std::scoped_lock lock(mutex_);
    if ((*waiter)->needs == Turn::Needs::any) return;
    ++waiter;
    next = waiter != queues_[queue].cend() ? *waiter : first_from(queue + 1);
  }
  wake(std::move(next));
}

void Waiting::renew(std::uint32_t most) {
  most_.store(most, std::memory_order_relaxed);
  {
    const std::scoped_lock lock(mutex_);
    for (std::size_t q = 0; q < queues_.size(); ++q) {
      for (const auto& waiter : queues_[q]) waiter->needs = Turn::Needs::some;
      ahead_[q].store(0, std::memory_order_relaxed);
    }
  }
  free();
}

}  // namespace headroom::edge
