// headroom/cache/cache.h - the cache: values, pages and query results in memory, one load for each missing key.
//
// Owns: the memory tier (memory_tier.h), the loads of get_or_compute(), the metrics. Borrows: the workers, the registry.
// Worker: lookup() and the coroutines are called on a worker; set-up, stop(), stats() and list() by main or a thread of the admin API;
//   invalidations by any thread. What is shared lies in the memory tier, sharded, under short locks (measured in bench/cache).
// Invariants: (1) a key has at most one filler; (2) used bytes stay within memory_limit, but for up to 1 MiB for each body that left the index
//   while it grew; (3) no value whose load began before an invalidation is served to who asks after it; (4) a load outlives the caller
//   who caused it; (5) whoever waits is woken by the fill, his deadline or the stop of his group.
// Limits: keys of 1 KiB, 255 tags, values of value_share x memory_limit, waiters_limit waiters a key, 10,000 loads of get_or_compute() at
//   once on each worker, 64 classes; beyond them Errc::invalid or Errc::overloaded.
//
// Tiers: behind the memory lies, where there is a disk_limit, the disk (disk_tier.h). Whoever would be told "you fill" while a tier behind has the value
// is told "join": the tier fills by the lease, as a loader would. A further tier (Redis) belongs there too.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/cache/disk_tier.h"
#include "headroom/cache/lease.h"
#include "headroom/cache/memory_tier.h"
#include "headroom/cache/object.h"
#include "headroom/cache/options.h"
#include "headroom/cache/watcher.h"
#include "headroom/net/task_group.h"
#include "headroom/net/worker.h"

namespace headroom::cache {

// A value of space app, as the app stored it.
class Value {
 public:
  // Without `unpacked` the object's bytes are as the app stored them.
  explicit Value(ObjectRef object, std::optional<std::string> unpacked = std::nullopt)
      : object_(std::move(object)), unpacked_(std::move(unpacked)) {}
  explicit Value(std::string bytes) : unpacked_(std::move(bytes)) {}
  // A remembered or just learnt "there is none".
  [[nodiscard]] static Value absent() {
    Value none{std::string()};
    none.found_ = false;
    return none;
  }

  [[nodiscard]] bool found() const { return found_; }
  // Valid as long as this value, as is what follows.
  [[nodiscard]] std::string_view bytes() const {
    return unpacked_ ? std::string_view(*unpacked_) : object_.stored();
  }
  [[nodiscard]] std::string_view content_type() const {
    return object_ ? object_->metadata() : std::string_view();
  }
  // What it was read from; null where it was just loaded.
  [[nodiscard]] const ObjectRef& object() const { return object_; }

 private:
  ObjectRef object_;
  std::optional<std::string> unpacked_;
  bool found_ = true;
};

// How a value is kept. `ttl` wins over the class.
struct Storing {
  std::string cls = "default";
  std::optional<Duration> ttl{};
  std::vector<std::string> tags{};
  std::string content_type{};  // kept with the value, for who speaks HTTP
  // From snapshot(), taken before the value was read from its source: Errc::conflict when an invalidation has overtaken it.
  std::optional<std::uint64_t> since{};
};

struct Loaded {
  enum class Outcome : std::uint8_t { found, absent, uncacheable };
  std::string value{};
  Outcome outcome = Outcome::found;
  std::vector<std::string> tags{};  // besides those named before the load
  std::optional<Duration> ttl{};    // instead of the one named before
};
// Its waits belong to the group it is given: the cache's own, ended by Cache::stop(), or the caller's where he goes alone.
using Loader = std::function<net::Task<Result<Loaded>>(net::TaskGroup&)>;

struct Stats {
  struct Class {
    std::string name;
    Duration ttl{};
    std::uint64_t entries = 0, bytes = 0, hits = 0, stale_hits = 0, misses = 0, coalesced = 0,
                  fills = 0;
    Duration load_p50{}, load_p99{};
  };
  std::uint64_t entries = 0, bytes = 0, bytes_limit = 0;
  std::uint64_t hits = 0, stale_hits = 0, misses = 0, coalesced = 0, bypasses = 0, overloads = 0;
  std::array<std::uint64_t, kRemovals> removals{};  // by Removal
  struct Disk {
    bool up = false;
    std::uint64_t entries = 0, bytes = 0, bytes_limit = 0, hits = 0, written = 0, skipped = 0,
                  errors = 0;
  };
  std::optional<Disk> disk;
  std::vector<Class> classes;
  std::vector<TagUse> tags;  // those with the most hits
  // Share of look-ups answered from here, 0 to 1.
  [[nodiscard]] double hit_ratio() const;
  [[nodiscard]] std::uint64_t answered() const { return hits + stale_hits + coalesced; }
  [[nodiscard]] std::uint64_t lookups() const { return answered() + misses + bypasses + overloads; }
};

class Leases;

class Cache {
 public:
  using Now = std::function<TimePoint()>;

  // Where copies lie on disk, and who can read what products keep with their values.
  struct Place {
    std::filesystem::path directory{};
    std::string_view stamp{};
  };

  // Before the workers start. `now` is for tests. Without a place there is no disk.
  Cache(net::Workers& workers, metrics::Registry& registry, const CacheOptions& options,
        Now now = Clock::now)
      : Cache(workers, registry, options, Place{}, std::move(now)) {}
  Cache(net::Workers& workers, metrics::Registry& registry, const CacheOptions& options,
        const Place& place, Now now = Clock::now);
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;
  ~Cache();

  // Takes up what can be changed live. One caller at a time.
  void configure(const CacheOptions& options);
  // Ends the loads, waits for them, and closes the disk. From main, while the workers run, when nobody invalidates any more.
  void stop();

  // --- For the products, which bring their own fills. Never suspends. `cls` says where a miss is counted.
  [[nodiscard]] Found lookup(std::size_t worker, const Query& query, ClassId cls = 0);
  enum class Fill : std::uint8_t { stored, uncacheable, failed };
  // To be said of each lease of lookup() once: for the metrics.
  void count_fill(std::size_t worker, Space space, ClassId cls, Fill outcome, Duration load_time);
  // 0 (default) for a name that is not known.
  [[nodiscard]] ClassId class_of(std::string_view name) const;
  [[nodiscard]] const std::string& class_name(ClassId cls) const;
  [[nodiscard]] Duration ttl_of(ClassId cls) const;
  // Bytes of key, metadata and value that an entry may have.
  [[nodiscard]] std::uint64_t value_limit() const { return memory_.value_limit(); }
  [[nodiscard]] const CacheOptions& options() const;
  [[nodiscard]] MemoryTier& memory() { return memory_; }

  // --- Space app. May suspend, once there is a tier behind the memory.
  // Nothing: not there. A value that is not found(): remembered as absent.
  [[nodiscard]] net::Task<Result<std::optional<Value>>> get(net::TaskGroup& group, std::string key);
  [[nodiscard]] net::Task<Result<>> set(net::TaskGroup& group, std::string key, std::string value,
                                        Storing how);
  // True: there was one.
  [[nodiscard]] net::Task<Result<bool>> erase(net::TaskGroup& group, std::string key,
                                              Hardness hardness = Hardness::hard);
  // The value, else the loader's, called at most once at a time for a key, in a task of the cache's own on this worker. Waits until
  // `deadline` or the hard time-out; serves a stale value after the soft one.
  [[nodiscard]] net::Task<Result<Value>> get_or_compute(net::TaskGroup& group, std::string key,
                                                        Storing how, Loader loader,
                                                        TimePoint deadline = kNever);
  // The same for who computes outside of this process. Of one worker.
  [[nodiscard]] Leases& leases(std::size_t worker);

  // --- Invalidation: O(1), from any thread; in force when it returns.
  void invalidate_tag(std::string_view tag, Hardness hardness = Hardness::hard) {
    memory_.invalidate_tag(tag, hardness);
    tell({.what = Invalidation::What::tag, .name = tag});
  }
  // An entity type is the tag of that name.
  void invalidate_entity(std::string_view type, Hardness hardness = Hardness::hard) {
    invalidate_tag(type, hardness);
  }
  void invalidate_prefix(Space space, std::string_view prefix, Hardness hardness = Hardness::hard) {
    memory_.invalidate_prefix(space, prefix, hardness);
    tell({.what = Invalidation::What::prefix, .space = space, .name = prefix});
  }
  void invalidate_pattern(Space space, std::string_view pattern,
                          Hardness hardness = Hardness::hard) {
    memory_.invalidate_pattern(space, pattern, hardness);
    tell({.what = Invalidation::What::pattern, .space = space, .name = pattern});
  }
  bool invalidate_key(Space space, std::string_view key, Hardness hardness = Hardness::hard) {
    const bool was_there = memory_.erase(space, key, hardness, now_());
    tell({.what = Invalidation::What::key, .space = space, .name = key, .was_there = was_there});
    return was_there;
  }
  // Who is told of them from now on; null: nobody. It outlives whoever invalidates.
  void watch(InvalidationWatcher* watcher) { watcher_.store(watcher, std::memory_order_release); }
  void tell(const Invalidation& what) const {
    if (InvalidationWatcher* const watcher = watcher_.load(std::memory_order_acquire))
      watcher->invalidated(what);
  }

  // --- Upkeep and people.
  // Every second or so, by one thread: frees a bounded number of dead entries (some 0.1 ms a thousand), moves counts into the registry.
  void upkeep(std::size_t most_entries = 10000);
  // Frees all dead entries now. Answers how many. Some 50 ns an entry; not on a worker.
  std::size_t clean_up() { return memory_.sweep_all(now_()); }
  [[nodiscard]] Stats stats(std::size_t most_tags = 20) const;
  // `from`: 0, or the `next` of the page before.
  [[nodiscard]] Listing list(Space space, std::string_view prefix, std::size_t most,
                             std::uint64_t from = 0) const {
    return memory_.list(space, prefix, most, now_(), from);
  }

 private:
  friend class Leases;
  struct Series;
  struct View;
  struct Part;

  [[nodiscard]] const View& view() const { return *view_.load(std::memory_order_acquire); }
  [[nodiscard]] Lifetimes lifetimes_of(ClassId cls, std::optional<Duration> ttl,
                                       Random& random) const;
  [[nodiscard]] Result<Value> open(const ObjectRef& object) const;
  [[nodiscard]] Ticket begin_fill(std::size_t worker, Lease lease,
                                  const std::shared_ptr<const Storing>& how,
                                  const std::shared_ptr<const Loader>& loader);
  void refresh(std::size_t worker, Lease lease, const std::shared_ptr<const Storing>& how,
               const std::shared_ptr<const Loader>& loader);
  [[nodiscard]] net::Task<> run_fill(std::size_t worker, Lease lease,
                                     std::shared_ptr<const Storing> how,
                                     std::shared_ptr<const Loader> loader);
  // Null: there was nothing to keep.
  Result<ObjectRef> keep(std::size_t worker, Lease lease, const Storing& how, Loaded loaded,
                         Duration load_time);
  void open_disk(const CacheOptions& options, const Place& place);
  void read_behind(std::size_t worker, const Query& query, ClassId cls, Found& found);
  [[nodiscard]] net::Task<Result<Found>> wait(net::TaskGroup& group, Ticket& ticket,
                                              TimePoint deadline);
  [[nodiscard]] net::Task<Result<Value>> load_alone(net::TaskGroup& group,
                                                    std::shared_ptr<const Loader> loader);

  net::Workers& workers_;
  metrics::Registry& registry_;
  const Now now_;
  MemoryTier memory_;
  std::optional<DiskTier> disk_;
  std::vector<std::unique_ptr<Part>> parts_;  // one a worker
  std::vector<std::unique_ptr<const View>>
      views_;  // all there ever were: reloads are few, and workers may still hold one
  std::atomic<const View*> view_{nullptr};
  // What is counted elsewhere and moved into the registry.
  struct Moved {
    metrics::Counter* to;
    std::function<std::uint64_t()> from;
    std::uint64_t counted = 0;
  };
  void move_from(const metrics::Family& family, metrics::Labels labels,
                 std::function<std::uint64_t()> from);
  std::vector<Moved> moved_;
  std::vector<metrics::GaugeHandle> gauges_;
  std::atomic<InvalidationWatcher*> watcher_{nullptr};
};

}  // namespace headroom::cache
