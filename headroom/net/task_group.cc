#include "headroom/net/task_group.h"

#include <boost/asio/async_result.hpp>
#include <latch>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"

namespace headroom::net {
namespace {

// Suspends the awaiting task; `keep` receives the function that resumes it (through the worker's queue, never in place).
template <class Keep>
auto suspend(Worker& worker, Keep keep) {
  return asio::async_initiate<const asio::deferred_t, void()>(
      [&worker](auto handler, Keep kept) {
        kept([&worker, resume = std::move(handler)]() mutable { worker.post(std::move(resume)); });
      },
      asio::deferred, std::move(keep));
}

}  // namespace

Stoppable::Stoppable(TaskGroup& group) : group_(group), link_(&group.waits_), next_(group.waits_) {
  if (next_ != nullptr) next_->link_ = &next_;
  group.waits_ = this;
}

Stoppable::~Stoppable() {
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
}

TaskGroup::~TaskGroup() {
  HR_ASSERT(running_ == 0U);
  HR_ASSERT(waits_ == nullptr);
}

void TaskGroup::stop() {
  if (stopped_) return;
  stopped_ = true;
  for (Stoppable* wait = waits_; wait != nullptr;) {
    Stoppable* next = wait->next_;  // on_stop only posts; it never ends its object
    wait->on_stop();
    wait = next;
  }
}

void TaskGroup::ended(const std::exception_ptr& failed) {
  --running_;
  if (failed) {
    try {
      std::rethrow_exception(failed);
    } catch (const std::exception& error) {
      log::error("net", "a task ended by an exception: {}", error.what());
    }
  }
  if (running_ > 0) return;
  for (auto& joiner : std::exchange(joiners_, {})) joiner();
}

Task<> TaskGroup::join() {
  while (running_ > 0) {
    auto keep = [this](auto resume) { joiners_.emplace_back(std::move(resume)); };
    co_await suspend(worker_, std::move(keep));
  }
}

void TaskGroup::stop_and_join() {
  std::latch done(1);
  worker_.post([&] {
    stop();
    asio::co_spawn(
        worker_.executor(), [this] { return join(); },
        [&](const std::exception_ptr&) { done.count_down(); });
  });
  done.wait();
}

void Event::wake() {
  if (!waiter_) return;
  WheelEntry::clear();
  auto waiter = std::exchange(waiter_, nullptr);
  waiter();
}

void Event::set() {
  set_ = true;
  wake();
}

void Event::expired() {
  timed_out_ = true;
  wake();
}

Task<Result<>> Event::wait(TimePoint deadline) {
  if (!set_ && !group().stopped()) {
    HR_ASSERT(!waiter_);
    timed_out_ = false;
    WheelEntry::set(deadline);
    auto keep = [this](auto resume) { waiter_ = std::move(resume); };
    co_await suspend(group().worker(), std::move(keep));
  }
  if (std::exchange(set_, false)) co_return Result<>{};
  if (group().stopped()) co_return fail(Errc::cancelled, "stopped");
  co_return fail(Errc::timeout, "deadline passed");
}

Task<Result<>> sleep(TaskGroup& group, Duration time) {
  Event never(group);
  const TimePoint due = Clock::now() + time;
  auto waited = co_await never.wait(due);
  if (!waited && waited.error().code == Errc::timeout) co_return Result<>{};
  co_return waited;
}

}  // namespace headroom::net
