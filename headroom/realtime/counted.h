// headroom/realtime/counted.h - counts up while it lives: connections of the hub, and of an app.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace headroom::realtime {

class Counted {
 public:
  explicit Counted(std::shared_ptr<std::atomic<std::uint64_t>> count)
      : count_(std::move(count)), before_(count_->fetch_add(1, std::memory_order_relaxed)) {}
  Counted(Counted&& other) noexcept : count_(std::move(other.count_)), before_(other.before_) {}
  Counted& operator=(Counted&&) = delete;
  ~Counted() {
    if (count_ != nullptr) count_->fetch_sub(1, std::memory_order_relaxed);
  }
  // Those that were there already.
  [[nodiscard]] std::uint64_t before() const { return before_; }

 private:
  std::shared_ptr<std::atomic<std::uint64_t>> count_;
  const std::uint64_t before_;
};

}  // namespace headroom::realtime
