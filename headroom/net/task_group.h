// headroom/net/task_group.h - the tasks that belong together, so that they can be stopped and awaited together. Nothing is detached.
//
// Owns: the tasks spawned into it, until they end. Borrows: the streams, events and timers that were made with it; stop() ends their waits.
// Worker: one; every call on that worker's thread.
// Invariants: (1) after stop() every wait in the group, also a later one, answers Errc::cancelled: the stop is sticky; (2) join() returns
//   only when the last task has ended; (3) a group outlives its tasks.
// Limits: `limit` tasks at once, beyond which spawn() refuses.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/net/task.h"
#include "headroom/net/worker.h"

namespace headroom::net {

class TaskGroup;

// What a stop of the group must wake: linked into its group while it lives.
class Stoppable {
 public:
  explicit Stoppable(TaskGroup& group);
  Stoppable(const Stoppable&) = delete;
  Stoppable& operator=(const Stoppable&) = delete;

 protected:
  virtual ~Stoppable();
  virtual void on_stop() = 0;
  [[nodiscard]] TaskGroup& group() const { return group_; }

 private:
  friend class TaskGroup;
  TaskGroup& group_;
  Stoppable** link_;
  Stoppable* next_;
};

class TaskGroup {
 public:
  explicit TaskGroup(Worker& worker, std::size_t limit = std::numeric_limits<std::size_t>::max())
      : worker_(worker), limit_(limit) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  [[nodiscard]] Worker& worker() const { return worker_; }
  [[nodiscard]] bool stopped() const { return stopped_; }
  [[nodiscard]] std::size_t running() const { return running_; }

  // Runs `start()`, which returns Task<>, as a task of the group. The callable is kept alive with it: give it values. False when the
  // group is stopped or full.
  template <class F>
  [[nodiscard]] bool spawn(F start) {
    if (stopped_ || running_ >= limit_) return false;
    ++running_;
    asio::co_spawn(worker_.executor(), std::move(start),
                   [this](const std::exception_ptr& failed) { ended(failed); });
    return true;
  }

  // Counts as a task while it lives: for what goes on without a coroutine. Made by a task of the group.
  class Hold {
   public:
    Hold() = default;  // of none
    explicit Hold(TaskGroup& group) : group_(&group) { ++group.running_; }
    Hold(Hold&& other) noexcept : group_(std::exchange(other.group_, nullptr)) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(group_, other.group_);
      return *this;
    }
    ~Hold() {
      if (group_ != nullptr) group_->ended(nullptr);
    }

   private:
    TaskGroup* group_ = nullptr;
  };

  // Sticky. Wakes every wait of the group.
  void stop();
  // Suspends until no task runs. Not from a task of the group itself.
  [[nodiscard]] Task<> join();
  // From another thread: stops the group and waits until no task runs.
  void stop_and_join();

 private:
  friend class Stoppable;
  void ended(const std::exception_ptr& failed);

  Worker& worker_;
  const std::size_t limit_;
  std::size_t running_ = 0;
  bool stopped_ = false;
  Stoppable* waits_ = nullptr;
  std::vector<std::move_only_function<void()>> joiners_;
};

// One task waits, others wake it. set() before wait() is remembered; a stop or the deadline wakes it too.
class Event final : private Stoppable, private WheelEntry {
 public:
  explicit Event(TaskGroup& group) : Stoppable(group), WheelEntry(group.worker().wheel()) {}

  void set();
  // Errc::cancelled when the group stops, Errc::timeout at the deadline. One waiter at a time.
  [[nodiscard]] Task<Result<>> wait(TimePoint deadline = kNever);

 private:
  void on_stop() override { wake(); }
  void expired() override;
  void wake();

  std::move_only_function<void()> waiter_;
  bool set_ = false;
  bool timed_out_ = false;
};

// Suspends for `time`, or until the group stops (Errc::cancelled). As exact as the wheel: 32 ms.
[[nodiscard]] Task<Result<>> sleep(TaskGroup& group, Duration time);

}  // namespace headroom::net
