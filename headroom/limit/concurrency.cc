#include "headroom/limit/concurrency.h"

#include <algorithm>
#include <cmath>

namespace headroom::limit {
namespace {

constexpr Duration kWindow = 100ms;
constexpr double kTolerance = 2.0;
constexpr double kSlackNs = 50e6;
constexpr double kMostShrink = 0.8;
constexpr double kMemory = 0.01;  // weight of a window in the long-term mean
constexpr std::uint64_t kLeastAnswers = 10;

std::uint64_t share_of(std::uint64_t limit, Priority priority) {
  switch (priority) {
    case Priority::critical: return limit;
    case Priority::normal: return limit - limit / 10;
    case Priority::background: return limit - limit * 3 / 10;
  }
  return limit;
}

}  // namespace

Concurrency::Concurrency(const Options& options)
    : options_(options), limit_(std::clamp(options.initial, options.least, options.most)) {}

bool Concurrency::enter(Priority priority) {
  const std::uint64_t before = in_flight_.fetch_add(1, std::memory_order_seq_cst);
  if (before >= share_of(limit(), priority)) {
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  if (before >= peak_.load(std::memory_order_relaxed)) {
    peak_.store(before + 1, std::memory_order_relaxed);
  }
  return true;
}

void Concurrency::leave(Duration answer_time, Outcome outcome, TimePoint now) {
  in_flight_.fetch_sub(
      1, std::memory_order_seq_cst);  // ordered against those who begin to wait for it
  if (!options_.adaptive || outcome == Outcome::ignored) return;
  if (outcome == Outcome::overloaded) overloads_.fetch_add(1, std::memory_order_relaxed);
  answers_.fetch_add(1, std::memory_order_relaxed);
  time_ns_.fetch_add(answer_time.count(), std::memory_order_relaxed);
  if (now < window_ends_.load(std::memory_order_relaxed)) return;
  const std::unique_lock lock(window_, std::try_to_lock);
  if (lock.owns_lock()) end_window(now);
}

void Concurrency::end_window(TimePoint now) {
  if (now < window_ends_.load(std::memory_order_relaxed)) return;
  const std::uint64_t answers = answers_.load(std::memory_order_relaxed);
  window_ends_.store(now + kWindow, std::memory_order_relaxed);
  if (answers < kLeastAnswers) return;  // too few to judge: the window goes on
  answers_.store(0, std::memory_order_relaxed);
  const auto time_ns = static_cast<double>(time_ns_.exchange(0, std::memory_order_relaxed));
  const std::uint64_t overloads = overloads_.exchange(0, std::memory_order_relaxed);
  const std::uint64_t peak = peak_.exchange(0, std::memory_order_relaxed);

  const double short_ns = time_ns / static_cast<double>(answers);
  if (long_ns_ == 0) long_ns_ = short_ns;
  const auto limit = static_cast<double>(limit_.load(std::memory_order_relaxed));
  double next = limit;
  if (overloads * 10 > answers) {
    next = limit * kMostShrink;
  } else if (short_ns > std::max(long_ns_ * kTolerance, long_ns_ + kSlackNs)) {
    next = std::max(limit * kMostShrink, limit * kTolerance * long_ns_ / short_ns);
  } else if (static_cast<double>(peak) * 2 >= limit) {
    next = limit + std::sqrt(limit);
  }
  // A long-term mean that is far above what is seen now falls faster than it rises.
  const double weight = short_ns < long_ns_ ? kMemory * 10 : kMemory;
  long_ns_ += (short_ns - long_ns_) * weight;
  const auto bounded =
      std::clamp(next, static_cast<double>(options_.least), static_cast<double>(options_.most));
  limit_.store(static_cast<std::uint64_t>(bounded), std::memory_order_relaxed);
}

}  // namespace headroom::limit
