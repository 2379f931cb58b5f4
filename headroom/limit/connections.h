// headroom/limit/connections.h - how many connections are open, in all and for each client address, or each subject of the caller's own.
//
// Owns: the counts. Worker: called from any worker at accept and close, never per request: 16 shards, each under its own short lock.
// Invariants: (1) an admitted connection is counted until its Ticket ends; (2) IPv6 clients count by their /64, which one client commands.
// Limits: `most` connections, `most_per_address` (0 = any) each; memory is bounded by the connections admitted.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "headroom/base/address.h"

namespace headroom::limit {

class Connections {
 public:
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept { *this = std::move(other); }
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() { end(); }
    explicit operator bool() const { return owner_ != nullptr; }

   private:
    friend class Connections;
    void end();
    Connections* owner_ = nullptr;
    std::uint64_t key_ = 0;
  };

  Connections() = default;
  void set_limits(std::uint64_t most, std::uint64_t most_per_address);
  // What an address counts as.
  [[nodiscard]] static std::uint64_t key_of(const IpAddress& address);
  // An empty ticket: over a limit.
  [[nodiscard]] Ticket admit(const IpAddress& address);
  // Of a subject that the caller names by a hash.
  [[nodiscard]] Ticket admit(std::uint64_t key);
  [[nodiscard]] std::uint64_t open() const { return open_.load(std::memory_order_relaxed); }

 private:
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, std::uint32_t> open;
  };
  void end(std::uint64_t key);
  Shard& shard(std::uint64_t key) { return shards_[key % shards_.size()]; }

  std::atomic<std::uint64_t> most_{0};
  std::atomic<std::uint64_t> most_per_address_{0};
  std::atomic<std::uint64_t> open_{0};
  std::array<Shard, 16> shards_;
};

}  // namespace headroom::limit
