// headroom/cache/shard.h - what one mutex guards: a part of the index with its eviction order, and the leases of its keys.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/base/hash.h"
#include "headroom/cache/memory_tier.h"

namespace headroom::cache {

// One who waits. Under the shard's lock.
struct Waiting {
  std::uint64_t arrived = 0;  // the invalidation number then
  bool done = false;
  bool left = false;
  WakerRef waker;
  Found found;
  std::optional<Error> error;
};

// A key being filled. Under the shard's lock, but for what never changes.
struct Flight {
  const Space space;
  const std::string key;
  const std::uint64_t hash;
  const ObjectRef stale;
  std::uint64_t since;  // changes only while its one lease passes on
  TimePoint began;
  bool attached = true;  // the key's look-ups find it
  unsigned failures = 0;
  std::vector<std::shared_ptr<Waiting>> waiting;
  std::size_t waiters = 0;  // of them, those who have not left
};

class Shard {
 public:
  explicit Shard(std::uint64_t seed) : policy(slots, seed), random(seed) {}

  [[nodiscard]] Flight* flight(std::uint64_t hash) {
    const auto at = flights.find(hash);
    return at == flights.end() ? nullptr : at->second.get();
  }
  void detach(Flight& flight) {
    if (std::exchange(flight.attached, false)) flights.erase(flight.hash);
  }
  [[nodiscard]] Object& object(Slot slot) { return *slots.object(slot); }

  static void share(Object& object) { object.refs_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] static bool in_use(const Object& object) {
    return object.refs_.load(std::memory_order_acquire) > 1;
  }
  [[nodiscard]] static std::uint64_t seq(const Object& object) { return object.seq_.value(); }
  static void set_seq(Object& object, std::uint64_t seq) { object.seq_ = Packed48(seq); }
  static void soften(Object& object, TimePoint now) { object.soften(now); }
  [[nodiscard]] static Object& writable(const ObjectRef& ref) { return *ref.object_; }

  std::mutex mutex;
  Slots slots;
  Eviction policy;
  Random random;
  std::unordered_map<std::uint64_t, std::shared_ptr<Flight>>
      flights;  // by the keyed hash; of two keys with one hash, one goes alone
  std::array<ClassUse, kClasses> use{};
  std::array<ClassUse, kSpaces> space_use{};
  ClassUse& use_of_space(const Object& object) {
    return space_use[static_cast<std::size_t>(object.space())];
  }
  Slot hand = 1;                        // where eviction looks for dead entries
  Slot broom = 1;                       // where the sweep is
  std::atomic<std::uint64_t> bytes{0};  // policy.bytes(), to be read without the lock
};

}  // namespace headroom::cache
