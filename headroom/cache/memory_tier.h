// headroom/cache/memory_tier.h - the store in memory: index, eviction, leases, invalidation. No metrics, no settings, no coroutines of its own.
//
// Owns: objects in the index, leases and who waits for them, rows of tags. ObjectRefs must end before it does.
// Worker: called from any thread. A power of two of shards by hash, one for each 4 MiB, each under its own mutex, held for some ten
//   nanoseconds a hit (bench/cache). Lock order: shard, then the invalidations' and tags' own; never two shards.
// Invariants: (1) a key has at most one lease; (2) memory().used() <= memory_limit but for the windows of detached fills; (3) no value
//   whose load began before an invalidation is found after it; (4) an object that somebody reads is not evicted.
// Limits: TierOptions; 60,000 entries a shard; 64 classes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/cache/behind.h"
#include "headroom/cache/eviction.h"
#include "headroom/cache/invalidations.h"
#include "headroom/cache/lease.h"
#include "headroom/cache/memory.h"
#include "headroom/cache/object.h"
#include "headroom/cache/slots.h"

namespace headroom::cache {

inline constexpr std::size_t kClasses = 64;

enum class Removal : std::uint8_t {
  capacity,
  expired,
  invalidated,
  erased,
  replaced,
  too_large,
  failed
};
inline constexpr std::size_t kRemovals = 7;
[[nodiscard]] std::string_view to_string(Removal cause);

struct TierOptions {
  std::uint64_t memory_limit = 256U << 20U;
  std::uint64_t value_limit = 32U << 20U;
  std::uint64_t entries_limit = 0;  // 0: any number
  std::uint32_t waiters_limit = 10000;
  Duration lease_limit = 60s;  // a load that takes longer loses its lease to the next who asks
  double early_refresh = 1;    // XFetch's beta; 0: off
  std::uint64_t seed = 0;
};

// Whether one who looks may get a lease besides an object: also early (XFetch), only for a stale one, or not at all.
enum class Refresh : std::uint8_t { may, when_stale, never };

struct Query {
  Space space{};
  std::string_view key;
  TimePoint now;
  Refresh refresh = Refresh::may;
  // Where the load of what a lease is asked for began before: as of which invalidation (snapshot()).
  std::optional<std::uint64_t> since{};
};

struct ClassUse {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
};

struct EntryInfo {
  Space space{};
  std::string key;
  Kind kind{};
  ClassId cls = 0;
  std::uint64_t size = 0;
  Duration age{};
  Duration ttl_left{};  // negative: stale
  bool growing = false;
  std::vector<std::string> tags;  // the first 64 bytes of each
};

struct Listing {
  std::vector<EntryInfo> entries;
  std::uint64_t next = 0;  // from where the next page begins; 0: this was the last
};

class Shard;

class MemoryTier {
 public:
  static constexpr std::size_t kIndexBytes =
      18;  // of an entry: slot, cell of the table, ghost; on average

  explicit MemoryTier(const TierOptions& options);
  MemoryTier(const MemoryTier&) = delete;
  MemoryTier& operator=(const MemoryTier&) = delete;
  ~MemoryTier();

  // A tier that is told what happens to keys. Before the first look-up.
  void put_behind(Behind& tier) { behind_ = &tier; }
  // Takes up new limits; the number of shards stays.
  void configure(const TierOptions& options);

  // Never suspends. A key that is empty or too long answers bypass.
  [[nodiscard]] Found lookup(const Query& query);
  // Only what is fresh, or stale and still to be served; never a lease. Null: nothing such.
  [[nodiscard]] ObjectRef peek(const Query& query);
  // Whether there is a value, be it only to be revalidated.
  [[nodiscard]] bool holds(const Query& query);
  // The number as of which a load begins now; for set().
  [[nodiscard]] std::uint64_t snapshot() const { return invalidations_.now(); }
  // Writes a value; loads of this key that are under way are not stored. With `since`: Errc::conflict when an invalidation
  // has overtaken it (of keys: one in 4096 others' counts too).
  [[nodiscard]] Result<> set(Space space, std::string_view key, const Head& head,
                             std::string_view value, TimePoint now,
                             std::optional<std::uint64_t> since = std::nullopt);
  // Puts a form (forms.h) beside a value that is in the index still, and counts it. False: it is not, or there is no room.
  bool add_form(const ObjectRef& object, std::size_t form, std::string_view bytes);
  // True: there was an entry.
  bool erase(Space space, std::string_view key, Hardness hardness, TimePoint now);
  void invalidate_tag(std::string_view tag, Hardness hardness) {
    invalidations_.tag(tag, hardness);
  }
  void invalidate_prefix(Space space, std::string_view prefix, Hardness hardness) {
    invalidations_.prefix(space, prefix, hardness);
  }
  void invalidate_pattern(Space space, std::string_view pattern, Hardness hardness) {
    invalidations_.pattern(space, pattern, hardness);
  }

  // Looks at up to `most` entries and frees those that can be served no more. Answers how many went.
  std::size_t sweep(TimePoint now, std::size_t most);
  // The same for all entries, in small steps.
  std::size_t sweep_all(TimePoint now);

  // For what else takes memory of the cache's: evicts for it. False: it does not fit. Outside of locks that a Behind takes.
  [[nodiscard]] bool reserve(std::uint64_t bytes) {
    return make_room(bytes, bytes, latest_.load(std::memory_order_relaxed));
  }
  void give_back(std::uint64_t bytes) { memory_.give(bytes); }
  [[nodiscard]] Invalidations& invalidations() { return invalidations_; }
  [[nodiscard]] std::uint64_t hash(Space space, std::string_view key) const {
    return hash_of(space, key, seed_);
  }

  [[nodiscard]] const Memory& memory() const { return memory_; }
  [[nodiscard]] std::uint64_t entries() const { return entries_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t removals(Removal cause) const {
    return removals_[static_cast<std::size_t>(cause)].load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::array<ClassUse, kClasses> use() const;
  [[nodiscard]] ClassUse use_of(Space space) const;
  // Whether look-ups find it still: what an invalidation has overtaken they never did.
  [[nodiscard]] bool holds(const ObjectRef& object) const;
  [[nodiscard]] std::vector<TagUse> top_tags(std::size_t most) const {
    return invalidations_.tags().top(most);
  }
  [[nodiscard]] std::size_t bans() const { return invalidations_.bans(); }
  // Entries whose key begins with `prefix`, in no order. Walks the index in short steps until it has `most`: for people, not for requests. What is
  // there from the first page to the last is listed once.
  [[nodiscard]] Listing list(Space space, std::string_view prefix, std::size_t most, TimePoint now,
                             std::uint64_t from = 0) const;

  [[nodiscard]] std::uint64_t value_limit() const {
    return value_limit_.load(std::memory_order_relaxed);
  }

 private:
  friend class Lease;
  friend class Ticket;
  friend class Filler;

  [[nodiscard]] Shard& shard_of(std::uint64_t hash) const {
    return *shards_[(hash >> 48U) & (shards_.size() - 1)];
  }
  [[nodiscard]] std::optional<EntryInfo> info(Space space, std::string_view prefix, Object& object,
                                              TimePoint now) const;

  // Under the shard's lock; what unlink() returns is to be dropped outside it.
  [[nodiscard]] std::optional<Removal> dead(Shard& shard, Slot slot, TimePoint now,
                                            std::uint64_t seq);
  [[nodiscard]] ObjectRef unlink(Shard& shard, Slot slot, Removal cause);
  [[nodiscard]] ObjectRef insert(Shard& shard, Object* object, std::uint64_t hash);
  [[nodiscard]] ObjectRef ref(Shard& shard, Slot slot);
  [[nodiscard]] bool answer_from(Shard& shard, Slot slot, const Query& query, std::uint64_t hash,
                                 std::uint64_t seq, Found& found);
  void fill_or_join(Shard& shard, ObjectRef stale, const Query& query, std::uint64_t hash,
                    std::uint64_t seq, Found& found);
  [[nodiscard]] Lease begin(Shard& shard, ObjectRef stale, const Query& query, std::uint64_t hash,
                            std::uint64_t seq);
  [[nodiscard]] bool too_early(Shard& shard, const Object& object, TimePoint now) const;

  [[nodiscard]] bool make_room(std::uint64_t bytes, std::uint64_t hash, TimePoint now);
  [[nodiscard]] bool evict(Shard& shard, TimePoint now);

  // Ends of a lease.
  [[nodiscard]] Result<ObjectRef> make(Space space, std::string_view key, std::uint64_t hash,
                                       std::uint64_t since, const Head& head,
                                       std::string_view value, Body* body, Duration load_time,
                                       TimePoint now, Forms* forms = nullptr);
  enum class Index : std::uint8_t { may, never };
  void put(Flight& flight, const ObjectRef& object, const Head& head, Index index, TimePoint now);
  [[nodiscard]] Result<ObjectRef> store(Flight& flight, const Head& head, std::string_view value,
                                        TimePoint now);
  [[nodiscard]] Result<Published> publish(Flight& flight, const Head& head, TimePoint now);
  [[nodiscard]] Result<ObjectRef> renew(Flight& flight, const Head& head, TimePoint now);
  void uncacheable(Flight& flight, Duration remember, TimePoint now);
  ObjectRef fail(const std::shared_ptr<Flight>& flight, const Error& error, TimePoint now);
  // The flight's stale object while stale-if-error allows it and no invalidation has met it. Under the shard's lock.
  [[nodiscard]] ObjectRef servable_stale(Shard& shard, Flight& flight, TimePoint now);

  [[nodiscard]] Ticket join(const std::shared_ptr<Flight>& flight, std::uint64_t arrived);
  // For those who wait: the outcome, or nothing and `waker` is kept.
  [[nodiscard]] std::optional<Result<Found>> outcome(Flight& flight, Waiting& waiting,
                                                     const WakerRef& waker);
  void leave(Flight& flight, Waiting& waiting);

  // For fillers.
  void grow(const ObjectRef& object, std::uint64_t bytes);
  void drop(const Object& object, Removal cause);

  Memory memory_;
  Behind* behind_ = nullptr;
  const std::uint64_t seed_;
  std::vector<std::unique_ptr<Shard>> shards_;
  mutable Invalidations invalidations_;
  std::atomic<std::uint64_t> value_limit_;
  std::atomic<std::uint64_t> entries_limit_;
  std::atomic<std::uint32_t> waiters_limit_;
  std::atomic<Duration> lease_limit_;
  std::atomic<double> early_refresh_;
  std::atomic<TimePoint> latest_{TimePoint{}};  // a recent `now`, for those who have none
  alignas(128) std::atomic<std::uint64_t> entries_{0};
  std::array<std::atomic<std::uint64_t>, kRemovals> removals_{};
  std::mutex sweeping_;  // one sweep at a time; guards what follows
  std::size_t sweep_shard_ = 0;
  std::uint64_t sweep_began_ = 0;
};

}  // namespace headroom::cache
