// headroom/cache/wake.h - waking a task that sleeps on another worker, by a post to that worker.
//
// A Sleeper lives in the waiting task's frame and is used on its worker only; its Waker may be kept and woken by anyone, also after the
// Sleeper has ended: the Event is touched on its own worker, where the Sleeper takes it away.
#pragma once

#include <memory>
#include <utility>

#include "headroom/net/task_group.h"

namespace headroom::cache {

struct Waker {
  net::Worker& worker;
  net::Event* event;
};
using WakerRef = std::shared_ptr<Waker>;

inline void wake(WakerRef waker) {
  net::Worker& worker = waker->worker;
  worker.post([kept = std::move(waker)] {
    if (kept->event != nullptr) kept->event->set();
  });
}

class Sleeper {
 public:
  explicit Sleeper(net::TaskGroup& group)
      : event_(group), waker_(std::make_shared<Waker>(group.worker(), &event_)) {}
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() { waker_->event = nullptr; }

  [[nodiscard]] const WakerRef& waker() const { return waker_; }
  [[nodiscard]] net::Task<Result<>> sleep(TimePoint deadline) { return event_.wait(deadline); }

 private:
  net::Event event_;
  WakerRef waker_;
};

}  // namespace headroom::cache
