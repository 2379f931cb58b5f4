// headroom/cache/disk_io.h - a copy being written, and one being read: what the disk tier's tasks and the threads of its files share. Private.
//
// Owns: a descriptor each. Worker: the threads of files, and the task that waits for them; never both at once.
#pragma once

#include <unistd.h>

#include <string>

#include "headroom/base/clock.h"
#include "headroom/cache/disk_tier.h"

namespace headroom::cache {

inline constexpr std::uint64_t kLargestShare = 4;  // of the disk, for one value

[[nodiscard]] inline std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}
[[nodiscard]] inline std::int64_t unix_ms_of(TimePoint when, TimePoint now) {
  return unix_ms() - std::chrono::duration_cast<std::chrono::milliseconds>(now - when).count();
}
[[nodiscard]] inline Duration age_of(std::int64_t born_unix_ms) {
  return std::chrono::milliseconds(std::max<std::int64_t>(unix_ms() - born_unix_ms, 0));
}

// Ends unfinished: its right is void, its file garbage.
struct DiskTier::Writing {
  Writing(DiskTier& of, std::uint64_t key_hash, std::uint64_t right) : tier(of), hash(key_hash) {
    head.generation = right;
  }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
  ~Writing() {
    if (fd >= 0) ::close(fd);
    tier.waiting_ -= waiting;
    if (finished) return;
    const std::scoped_lock lock(tier.mutex_);
    const auto at = tier.pending_.find(hash);
    if (at != tier.pending_.end() && at->second == head.generation) tier.pending_.erase(at);
    if (reserved != 0) tier.garbage_.emplace_back(head.generation, reserved);
    tier.skipped_.fetch_add(1, std::memory_order_relaxed);
  }

  DiskTier& tier;
  const std::uint64_t hash;
  CopyHead head;
  ClassId cls = 0;
  std::uint64_t local_seq = 0;
  TimePoint born;
  std::uint64_t waiting = 0;   // bytes of memory that it holds up
  std::uint64_t reserved = 0;  // bytes of the disk
  std::uint64_t head_bytes = 0;
  std::uint64_t blocks = 0;
  std::string block;
  int fd = -1;
  bool finished = false;
};

struct DiskTier::Reading {
  Reading() = default;
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() {
    if (fd >= 0) ::close(fd);
  }
  [[nodiscard]] std::uint64_t left() const { return head.size - read; }

  std::string path;
  std::uint64_t generation = 0;
  CopyHead head;
  std::uint64_t head_bytes = 0;
  std::uint64_t read = 0;
  std::string block;
  int fd = -1;
};

}  // namespace headroom::cache
