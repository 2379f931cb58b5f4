// headroom/cache/eviction.h - who goes when memory is short.
//
// S3-FIFO (Yang et al., SOSP 2023): entries begin in a small queue; those used there move to the main queue, where each use buys a round;
// what leaves the small queue unused leaves a fingerprint, and begins in the main queue should it come back soon.
// W-TinyLFU (Einziger et al., TOS 2017): a window of a fifth in LRU order; what falls out of it stays when a sketch says that it is asked for
// more often than the next victim of the main part, a segmented LRU.
//
// Owns: the order of a shard's slots. Worker: under the shard's lock. A hit costs a few stores.
// Limits: shares are of the shard's bytes, counted in objects and bodies.
#pragma once

#include <cstdint>
#include <vector>

#include "headroom/base/hash.h"
#include "headroom/cache/slots.h"

namespace headroom::cache {

[[nodiscard]] std::uint64_t weight_of(const Object& object);
// Keyed, so that nobody outside can choose keys that collide.
[[nodiscard]] inline std::uint64_t hash_of(Space space, std::string_view key, std::uint64_t seed) {
  return hash64(key, seed + static_cast<std::uint64_t>(space));
}

class S3Fifo {
 public:
  S3Fifo(Slots& slots, std::uint64_t seed) : slots_(slots), seed_(seed), ghost_(64) {}

  void inserted(Slot slot, std::uint64_t hash);
  void touched(Slot slot, std::uint64_t /*hash*/) {
    if (const unsigned uses = slots_.uses(slot); uses < 3) slots_.set_uses(slot, uses + 1);
  }
  void removed(Slot slot) { slots_.unlink(lists_[slots_.list(slot)], slot, weight_of(*slots_.object(slot))); }
  void grew(Slot slot, std::uint64_t bytes) { lists_[slots_.list(slot)].bytes += bytes; }
  // The slot to take out next, still in its list; 0: none. It may reorder others.
  [[nodiscard]] Slot victim();
  // The victim cannot go now: it goes on as if just used.
  void spare(Slot slot);
  // The victim is about to be removed for room.
  void evicted(Slot slot);
  [[nodiscard]] std::uint64_t bytes() const { return lists_[0].bytes + lists_[1].bytes; }

 private:
  enum : unsigned { kSmall, kMain };
  void move(Slot slot, unsigned to);
  [[nodiscard]] std::uint32_t& ghost_cell(std::uint64_t hash) { return ghost_[(hash >> 8U) & (ghost_.size() - 1)]; }
  void resize_ghost();

  Slots& slots_;
  const std::uint64_t seed_;
  Slots::List lists_[2];
  // Sixteen bits of a fingerprint and sixteen of when; direct mapped, newer ones overwrite.
  std::vector<std::uint32_t> ghost_;
  std::uint32_t ghost_clock_ = 0;
};

class TinyLfu {
 public:
  TinyLfu(Slots& slots, std::uint64_t seed) : slots_(slots), seed_(seed), random_(seed), sketch_(64) {}

  void inserted(Slot slot, std::uint64_t hash);
  void touched(Slot slot, std::uint64_t hash);
  void removed(Slot slot) { slots_.unlink(lists_[slots_.list(slot)], slot, weight_of(*slots_.object(slot))); }
  void grew(Slot slot, std::uint64_t bytes) { lists_[slots_.list(slot)].bytes += bytes; }
  [[nodiscard]] Slot victim();
  void spare(Slot slot) { move(slot, slots_.list(slot) == kWindow ? kWindow : kProtected); }
  void evicted(Slot /*slot*/) {}
  [[nodiscard]] std::uint64_t bytes() const { return lists_[0].bytes + lists_[1].bytes + lists_[2].bytes; }

 private:
  enum : unsigned { kWindow, kProbation, kProtected };
  static constexpr std::size_t kEntriesPerWord = 1;
  void move(Slot slot, unsigned to);
  void balance();
  void count(std::uint64_t hash);
  [[nodiscard]] unsigned frequency(std::uint64_t hash) const;
  [[nodiscard]] unsigned frequency(Slot slot) const;
  void age();

  Slots& slots_;
  const std::uint64_t seed_;
  Slots::List lists_[3];
  Random random_;
  std::vector<std::uint64_t> sketch_;  // words of sixteen 4-bit counters
  std::uint64_t counted_ = 0;
};

}  // namespace headroom::cache
