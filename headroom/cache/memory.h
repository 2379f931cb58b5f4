// headroom/cache/memory.h - the memory that the cache may use: counted before it is taken, given back when it is free.
//
// Owns: one counter. Worker: any; one atomic add for each allocation. Invariants: (1) used() <= limit() but for what charge() counts
// unasked (the windows of detached fills, docs/cache.md); (2) what was counted is given back exactly.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace headroom::cache {

// What glibc takes for an allocation of `bytes`: a header of 8, rounded up to 16.
[[nodiscard]] constexpr std::size_t heap_bytes(std::size_t bytes) {
  return (bytes + 8 + 15) / 16 * 16;
}

class Memory {
 public:
  explicit Memory(std::uint64_t limit) : limit_(limit) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // False: it does not fit; nothing is counted.
  [[nodiscard]] bool reserve(std::uint64_t bytes) {
    const std::uint64_t before = used_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes <= limit()) return true;
    give(bytes);
    return false;
  }
  void charge(std::uint64_t bytes) { used_.fetch_add(bytes, std::memory_order_relaxed); }
  void give(std::uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  [[nodiscard]] std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  void set_limit(std::uint64_t limit) { limit_.store(limit, std::memory_order_relaxed); }

 private:
  alignas(128) std::atomic<std::uint64_t> used_{0};
  alignas(128) std::atomic<std::uint64_t> limit_;
};

}  // namespace headroom::cache
