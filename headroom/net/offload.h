// headroom/net/offload.h - threads for what blocks (SQLite, files, name look-ups), so that no worker ever does.
//
// Owns: its threads and the queue. Worker: run() is awaited on a worker and resumes there; submit() is for any thread.
// Invariants: (1) what was accepted is run, also during the destructor; (2) results come back by the worker's queue.
// Limits: `queue_limit` pieces of work waiting, beyond which run() answers Errc::overloaded and submit() false; submit_always() knows none.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/net/task_group.h"

namespace headroom::net {

class Offload {
 public:
  Offload(std::string_view name, std::size_t threads, std::size_t queue_limit = 1000);
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;
  ~Offload();

  [[nodiscard]] bool submit(std::move_only_function<void()> work);
  // Beyond the limit too: for what must not be lost. The caller sees to it that little of it waits.
  void submit_always(std::move_only_function<void()> work);

  // Runs `work()` on a thread of the pool; answers what it returns. Waits for it even when the group stops: the work may use the caller's
  // frame.
  template <class F, class R = std::invoke_result_t<F>>
  [[nodiscard]] Task<Result<R>> run(Worker& worker, F work) {
    std::optional<R> answer;
    TaskGroup own(worker);  // never stopped
    Event done(own);
    const bool accepted = submit([&] {
      answer = work();
      worker.post([&] { done.set(); });
    });
    if (!accepted) co_return fail(Errc::overloaded, "too much work waits for " + name_);
    (void)co_await done.wait();
    co_return std::move(*answer);
  }

 private:
  void work();

  const std::string name_;
  const std::size_t queue_limit_;
  std::mutex mutex_;  // the one way from workers to these threads
  std::condition_variable arrived_;
  std::deque<std::move_only_function<void()>> queue_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace headroom::net
