#include "headroom/net/worker.h"

#include <pthread.h>
#include <sched.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <latch>

#include "headroom/base/assert.h"
#include "headroom/base/metrics.h"

namespace headroom::net {

Worker::Worker(std::size_t index)
    : index_(index),
      guard_(asio::make_work_guard(context_)),
      wheel_(Clock::now()),
      random_(hash64(std::to_string(Clock::now().time_since_epoch().count()), index)),
      ticker_(context_),
      heartbeat_(Clock::now()) {}

Worker::~Worker() { join(); }

void Worker::start() {
  tick();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index_)).c_str());
    context_.run();
  });
}

void Worker::tick() {
  const TimePoint now = Clock::now();
  heartbeat_.store(now, std::memory_order_relaxed);
  wheel_.advance(now);
  ticker_.expires_at(now + Wheel::kTick);
  ticker_.async_wait([this](const boost::system::error_code& failed) {
    if (!failed) tick();
  });
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
  post([this] {
    ticker_.cancel();
    guard_.reset();
    context_.stop();
  });
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
