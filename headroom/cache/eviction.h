// headroom/cache/eviction.h - who goes when memory is short.
//
// S3-FIFO (Yang et al., SOSP 2023): entries begin in a small queue; those used there move to the main queue, where each use buys a round;
// what leaves the small queue unused leaves a fingerprint, and begins in the main queue should it come back soon.
// It was measured beside W-TinyLFU with a window of 20 % and kept; docs/cache.md has the figures.
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

class Eviction {
 public:
  Eviction(Slots& slots, std::uint64_t seed) : slots_(slots), seed_(seed), ghost_(64) {}

  void inserted(Slot slot, std::uint64_t hash);
  void touched(Slot slot, std::uint64_t /*hash*/) {
    if (const unsigned uses = slots_.uses(slot); uses < 3) slots_.set_uses(slot, uses + 1);
  }
  void removed(Slot slot) {
    slots_.unlink(lists_[slots_.list(slot)], slot, weight_of(*slots_.object(slot)));
  }
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
  [[nodiscard]] std::uint16_t& ghost_cell(std::uint64_t hash) {
    return ghost_[(hash >> 8U) & (ghost_.size() - 1)];
  }
  void resize_ghost();

  Slots& slots_;
  const std::uint64_t seed_;
  Slots::List lists_[2];
  // Fingerprints of what left the small queue, one place for each; a newer one overwrites.
  std::vector<std::uint16_t> ghost_;
};

}  // namespace headroom::cache
