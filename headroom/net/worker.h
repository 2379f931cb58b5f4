// headroom/net/worker.h - a worker: one thread, its queue, its descriptors, and what its connections share.
//
// Owns: the thread, the io_context (a queue: coroutines and what is posted), the poller, the wheel of deadlines, the pool of buffers. Main makes all workers before anything runs on them and
//   ends them last.
// Worker: everything but post(), heartbeat() and index() is for the worker's own thread.
// Invariants: (1) what is made on a worker runs, is used and ends on it; other threads reach it by post() only; (2) nothing on a worker
//   blocks: the heartbeat tells when something did; (3) what throws (memory) ends nothing but itself: it is logged and counted.
// Limits: 64 workers; free buffers kept per worker: 4 MiB of each size.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/hash.h"
#include "headroom/net/buffer.h"
#include "headroom/net/poller.h"
#include "headroom/net/task.h"
#include "headroom/net/wheel.h"

namespace headroom::net {

class Worker {
 public:
  explicit Worker(std::size_t index);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  // Also the worker's slot in metric cells.
  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] Executor executor() { return context_.get_executor(); }
  [[nodiscard]] Poller& poller() { return poller_; }
  [[nodiscard]] Wheel& wheel() { return wheel_; }
  [[nodiscard]] BufferPool& buffers() { return buffers_; }
  [[nodiscard]] Random& random() { return random_; }

  // From any thread: runs `work` on this worker, in the order posted by each thread.
  template <class F>
  void post(F&& work) {
    asio::post(context_, std::forward<F>(work));
    if (current_ != this) poller_.wake();
  }
  // From any other thread: runs `work` on this worker and waits for it. For main and tests; not before start().
  void run_and_wait(std::function<void()> work);

  // co_await: until descriptors have had their turn. For who always finds something to do.
  [[nodiscard]] auto yield() {
    return asio::async_initiate<const asio::deferred_t, void()>(
        [this](auto handler) { yielded_.emplace_back(std::move(handler)); }, asio::deferred);
  }

  // When the worker last went round; older than a second means that something blocks it.
  [[nodiscard]] TimePoint heartbeat() const { return heartbeat_.load(std::memory_order_relaxed); }

  // How often something that ran here ended by an exception.
  [[nodiscard]] std::uint64_t exceptions() const {
    return exceptions_.load(std::memory_order_relaxed);
  }

  void start();
  // Lets the loop end once nothing is left to do, or at once with `now`; join() waits for it.
  void stop();
  void join();

 private:
  void run();
  [[nodiscard]] bool go_round(bool at_once);
  void note(const std::exception& error) noexcept;
  void round();
  void tick(TimePoint now);

  static inline thread_local const Worker* current_ = nullptr;  // whose thread this is

  const std::size_t index_;
  asio::io_context context_{1};
  asio::executor_work_guard<Executor> guard_;
  Poller poller_;
  Wheel wheel_;
  BufferPool buffers_;
  Random random_;
  TimePoint next_tick_;
  std::vector<std::move_only_function<void()>> yielded_;
  bool ended_ = false;
  std::atomic<TimePoint> heartbeat_;
  std::atomic<std::uint64_t> exceptions_{0};
  std::thread thread_;
};

// All workers of the process.
class Workers {
 public:
  explicit Workers(std::size_t count);
  ~Workers();
  [[nodiscard]] std::size_t size() const { return workers_.size(); }
  [[nodiscard]] Worker& operator[](std::size_t i) { return *workers_[i]; }
  void start();
  void stop_and_join();
  // Runs `work` on every worker and waits for all; not from a worker.
  void each(const std::function<void(Worker&)>& work);

  [[nodiscard]] auto begin() const { return workers_.begin(); }
  [[nodiscard]] auto end() const { return workers_.end(); }

 private:
  std::vector<std::unique_ptr<Worker>> workers_;
};

// The processors this process may use: affinity, and the quota of its cgroup (v2) rounded up.
[[nodiscard]] std::size_t usable_cpus();

}  // namespace headroom::net
