#include "headroom/net/worker.h"

#include <pthread.h>
#include <sched.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <latch>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/base/metrics.h"

namespace headroom::net {

namespace {

constexpr int kHandlersPerRound = 1024;  // then descriptors have their turn

}  // namespace

Worker::Worker(std::size_t index)
    : index_(index),
      guard_(asio::make_work_guard(context_)),
      wheel_(Clock::now()),
      random_(hash64(std::to_string(Clock::now().time_since_epoch().count()), index)),
      next_tick_(Clock::now()),
      heartbeat_(next_tick_) {}

Worker::~Worker() { join(); }

void Worker::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index_)).c_str());
    run();
  });
}

void Worker::run() {
  current_ = this;
  bool more = false;  // in the queue, though nothing happens to any descriptor
  while (!ended_) {
    try {
      more = go_round(more);
    } catch (const std::exception& error) {
      note(error);
      more = true;
    }
  }
}

// Whether there is more in the queue.
bool Worker::go_round(bool at_once) {
  const TimePoint now = Clock::now();
  if (now >= next_tick_) {
    tick(now);
    at_once = true;
  }
  poller_.wait(at_once ? Duration::zero() : next_tick_ - now);
  asio::post(context_,
             [this] { round(); });  // within the queue, whose thread keeps memory for coroutines
  int handled = 0;
  while (handled < kHandlersPerRound && context_.poll_one() > 0) ++handled;
  return handled == kHandlersPerRound || !yielded_.empty();
}

void Worker::note(const std::exception& error) noexcept {
  exceptions_.fetch_add(1, std::memory_order_relaxed);
  try {
    log::error("net", "ended by an exception: {}", error.what());
  } catch (const std::exception&) {  // nor is there memory to say so
  }
}

void Worker::round() {
  poller_.round();
  if (yielded_.empty()) return;
  for (auto& resume : std::exchange(yielded_, {})) post(std::move(resume));
}

void Worker::tick(TimePoint now) {
  heartbeat_.store(now, std::memory_order_relaxed);
  wheel_.advance(now);
  next_tick_ = now + Wheel::kTick;
}

void Worker::run_and_wait(std::function<void()> work) {
  std::latch done(1);
  post([&] {
    work();
    done.count_down();
  });
  done.wait();
}

void Worker::stop() {
  post([this] { ended_ = true; });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

Workers::Workers(std::size_t count) {
  HR_ASSERT(count >= 1U);
  HR_ASSERT(count <= metrics::kMaxWorkers);
  for (std::size_t i = 0; i < count; ++i) workers_.push_back(std::make_unique<Worker>(i));
}

Workers::~Workers() { stop_and_join(); }

void Workers::start() {
  for (auto& worker : workers_) worker->start();
}

void Workers::stop_and_join() {
  for (auto& worker : workers_) worker->stop();
  for (auto& worker : workers_) worker->join();
}

void Workers::each(const std::function<void(Worker&)>& work) {
  std::latch done(static_cast<std::ptrdiff_t>(workers_.size()));
  for (auto& worker : workers_) {
    worker->post([&, target = worker.get()] {
      work(*target);
      done.count_down();
    });
  }
  done.wait();
}

namespace {

// Processors allowed by cpu.max ("200000 100000" = 2), or a large number.
double cgroup_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  if (file >> quota >> period && period > 0) return quota / period;
  return 1e9;
}

}  // namespace

std::size_t usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::size_t cpus = std::thread::hardware_concurrency();
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = static_cast<std::size_t>(CPU_COUNT(&set));
  const double quota = std::ceil(cgroup_quota());
  if (quota < static_cast<double>(cpus)) cpus = static_cast<std::size_t>(quota);
  return std::clamp<std::size_t>(cpus, 1, metrics::kMaxWorkers);
}

}  // namespace headroom::net
