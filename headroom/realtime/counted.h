// headroom/realtime/counted.h - counts up while it lives: connections of the hub, and of an app.
#pragma once

#include <atomic>
#include <cstdint>

namespace headroom::realtime {

class Counted {
 public:
  explicit Counted(std::atomic<std::uint64_t>& count)
      : count_(count), before_(count.fetch_add(1, std::memory_order_relaxed)) {}
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { count_.fetch_sub(1, std::memory_order_relaxed); }
  // Those that were there already.
  [[nodiscard]] std::uint64_t before() const { return before_; }

 private:
  std::atomic<std::uint64_t>& count_;
  const std::uint64_t before_;
};

}  // namespace headroom::realtime
