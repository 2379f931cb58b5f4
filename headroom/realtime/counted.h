// headroom/realtime/counted.h - counts up while it lives: connections of the hub, and of an app.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace headroom::realtime {

class Counted {
 public:
  // `before`: those that were there already.
  Counted(std::shared_ptr<std::atomic<std::uint64_t>> count, std::uint64_t& before)
      : count_(std::move(count)) {
    before = count_->fetch_add(1, std::memory_order_relaxed);
  }
  Counted(Counted&& other) noexcept : count_(std::move(other.count_)) {}
  Counted& operator=(Counted&&) = delete;
  ~Counted() {
    if (count_ != nullptr) count_->fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<std::atomic<std::uint64_t>> count_;
};

}  // namespace headroom::realtime
