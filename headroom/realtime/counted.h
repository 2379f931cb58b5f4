// headroom/realtime/counted.h - counts up while it lives: connections of the hub, and of an app.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace headroom::realtime {

class Counted {
 public:
  explicit Counted(std::atomic<std::uint64_t>& count)
      : count_(&count), before_(count.fetch_add(1, std::memory_order_relaxed)) {}
  Counted(Counted&& other) noexcept
      : count_(std::exchange(other.count_, nullptr)), before_(other.before_) {}
  Counted& operator=(Counted&&) = delete;
  ~Counted() {
    if (count_ != nullptr) count_->fetch_sub(1, std::memory_order_relaxed);
  }
  // Those that were there already.
  [[nodiscard]] std::uint64_t before() const { return before_; }

 private:
  std::atomic<std::uint64_t>* count_;
  const std::uint64_t before_;
};

}  // namespace headroom::realtime
