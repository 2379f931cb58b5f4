#include "headroom/cache/cache.h"

#include <algorithm>

#include "headroom/base/hash.h"
#include "headroom/base/text.h"
#include "headroom/cache/codec.h"
#include "headroom/cache/leases.h"
#include "headroom/cache/metrics.h"

namespace headroom::cache {
namespace {

constexpr std::size_t kMostLoads = 10000;  // of get_or_compute(), on each worker
constexpr std::string_view kTier = "memory";
constexpr std::string_view kDisk = "disk";
constexpr std::uint64_t kDiskFormat = 1;  // to be raised with disk_file.cc's

TierOptions tier_options(const CacheOptions& options, std::uint64_t seed) {
  const auto value_limit = static_cast<std::uint64_t>(
      static_cast<double>(options.memory_limit.count) * options.value_share);
  return {.memory_limit = options.memory_limit.count,
          .value_limit = value_limit,
          .entries_limit = options.entries_limit,
          .waiters_limit = options.waiters_limit,
          .lease_limit = options.hard_timeout,
          .early_refresh = options.early_refresh,
          .seed = seed};
}

std::uint64_t random_seed() { return hash64(text::random_hex(16)); }

}  // namespace

// What is counted for one class in one space.
struct Cache::Series {
  metrics::Counter* hits;
  metrics::Counter* stale_hits;
  metrics::Counter* misses;
  metrics::Counter* coalesced;
  metrics::Counter* bypasses;
  metrics::Counter* overloads;
  std::array<metrics::Counter*, 3> fills;  // by Fill
  metrics::Counter* disk_hits;             // null without a disk, as is the next
  metrics::Counter* disk_misses;
};

// The settings of one moment with the series that they name.
struct Cache::View {
  CacheOptions options;
  std::vector<TtlClass> classes;
  std::array<std::vector<Series>, kSpaces> series;  // by class
  std::vector<metrics::Histogram*> load_times;

  [[nodiscard]] ClassId known(ClassId cls) const { return cls < classes.size() ? cls : 0; }
  [[nodiscard]] const Series& of(Space space, ClassId cls) const {
    return series[static_cast<std::size_t>(space)][known(cls)];
  }
};

struct Cache::Part {
  Part(Cache& cache, net::Worker& worker) : loads(worker, kMostLoads), leases(cache, loads) {}
  net::TaskGroup loads;
  Packer packer;
  Leases leases;
};

double Stats::hit_ratio() const {
  return lookups() == 0 ? 0 : static_cast<double>(answered()) / static_cast<double>(lookups());
}

Cache::Cache(net::Workers& workers, metrics::Registry& registry, const CacheOptions& options,
             const Place& place, Now now)
    : workers_(workers),
      registry_(registry),
      now_(std::move(now)),
      memory_(tier_options(options, random_seed())) {
  for (const auto& worker : workers_) parts_.push_back(std::make_unique<Part>(*this, *worker));
  for (std::size_t i = 0; i < kRemovals; ++i) {
    const auto cause = static_cast<Removal>(i);
    move_from(kRemovalsFamily, {std::string(kTier), std::string(to_string(cause))},
              [this, cause] { return memory_.removals(cause); });
  }
  const metrics::Labels tier{std::string(kTier)};
  gauges_.push_back(registry_.gauge(
      kBytes, tier, [this] { return static_cast<double>(memory_.memory().used()); }));
  gauges_.push_back(registry_.gauge(
      kBytesLimit, tier, [this] { return static_cast<double>(memory_.memory().limit()); }));
  gauges_.push_back(
      registry_.gauge(kEntries, tier, [this] { return static_cast<double>(memory_.entries()); }));
  if (options.disk_limit.count != 0 && !place.directory.empty()) open_disk(options, place);
  configure(options);
}

void Cache::open_disk(const CacheOptions& options, const Place& place) {
  const ClassNames classes{[this](std::string_view name) { return class_of(name); },
                           [this](ClassId cls) { return class_name(cls); }};
  disk_.emplace(memory_, workers_, classes,
                DiskOptions{.directory = place.directory,
                            .limit = options.disk_limit.count,
                            .over = options.disk_over.count,
                            .persist = options.persist,
                            .stamp = hash64(place.stamp, kDiskFormat)},
                now_);
  for (std::size_t i = 0; i < kRemovals; ++i) {
    const auto cause = static_cast<Removal>(i);
    move_from(kRemovalsFamily, {std::string(kDisk), std::string(to_string(cause))},
              [this, cause] { return disk_->removals(cause); });
  }
  move_from(kCopies, {"written"}, [this] { return disk_->written(); });
  move_from(kCopies, {"skipped"}, [this] { return disk_->skipped(); });
  move_from(kDiskErrors, {}, [this] { return disk_->errors(); });
  const metrics::Labels tier{std::string(kDisk)};
  gauges_.push_back(
      registry_.gauge(kBytes, tier, [this] { return static_cast<double>(disk_->used()); }));
  gauges_.push_back(
      registry_.gauge(kBytesLimit, tier, [this] { return static_cast<double>(disk_->limit()); }));
  gauges_.push_back(
      registry_.gauge(kEntries, tier, [this] { return static_cast<double>(disk_->entries()); }));
  gauges_.push_back(registry_.gauge(kDiskUp, {}, [this] { return disk_->up() ? 1.0 : 0.0; }));
}

void Cache::move_from(const metrics::Family& family, metrics::Labels labels,
                      std::function<std::uint64_t()> from) {
  moved_.push_back({&registry_.counter(family, std::move(labels)), std::move(from)});
}

Cache::~Cache() = default;

const CacheOptions& Cache::options() const { return view().options; }

void Cache::configure(const CacheOptions& options) {
  auto made = std::make_unique<View>();
  made->options = options;
  made->classes = ttl_classes(options);
  // A class keeps its number for life: objects carry it.
  if (const View* old = view_.load(std::memory_order_acquire)) {
    std::vector<TtlClass> classes = old->classes;
    for (const TtlClass& cls : made->classes) {
      const auto known = std::ranges::find(classes, cls.name, &TtlClass::name);
      if (known != classes.end()) {
        known->ttl = cls.ttl;
      } else if (classes.size() < kClasses) {
        classes.push_back(cls);
      }
    }
    made->classes = std::move(classes);
  }
  for (const TtlClass& cls : made->classes) {
    made->load_times.push_back(&registry_.histogram(kLoadTime, {cls.name}));
    for (std::size_t s = 0; s < kSpaces; ++s) {
      const std::string space(to_string(static_cast<Space>(s)));
      const metrics::Labels labels{std::string(kTier), space, cls.name};
      const metrics::Labels on_disk{std::string(kDisk), space, cls.name};
      const auto fills = [&](const char* outcome) {
        return &registry_.counter(kFills, {space, cls.name, outcome});
      };
      made->series[s].push_back({&registry_.counter(kHits, labels),
                                 &registry_.counter(kStaleHits, labels),
                                 &registry_.counter(kMisses, labels),
                                 &registry_.counter(kCoalesced, labels),
                                 &registry_.counter(kBypasses, labels),
                                 &registry_.counter(kOverloads, labels),
                                 {fills("stored"), fills("uncacheable"), fills("failed")},
                                 disk_ ? &registry_.counter(kHits, on_disk) : nullptr,
                                 disk_ ? &registry_.counter(kMisses, on_disk) : nullptr});
    }
  }
  TierOptions limits = tier_options(options, 0);
  memory_.configure(limits);
  views_.push_back(std::move(made));
  view_.store(views_.back().get(), std::memory_order_release);
}

void Cache::stop() {
  for (auto& part : parts_) part->loads.stop_and_join();
  for (auto& part : parts_) part->leases.end();
  if (disk_) disk_->close();
}

Found Cache::lookup(std::size_t worker, const Query& query, ClassId cls) {
  Found found = memory_.lookup(query);
  const Series& series = view().of(query.space, found.object ? found.object->cls() : cls);
  switch (found.answer) {
    case Answer::fresh: series.hits->at(worker).add(); break;
    case Answer::stale: series.stale_hits->at(worker).add(); break;
    case Answer::fill: series.misses->at(worker).add(); break;
    case Answer::join: series.coalesced->at(worker).add(); break;
    case Answer::bypass: series.bypasses->at(worker).add(); break;
    case Answer::overloaded: series.overloads->at(worker).add(); break;
    case Answer::again: break;
  }
  if (found.answer == Answer::fill && disk_) read_behind(worker, query, cls, found);
  return found;
}

void Cache::read_behind(std::size_t worker, const Query& query, ClassId cls, Found& found) {
  auto copy = disk_->find(memory_.hash(query.space, query.key), query.space, query.key, query.now);
  const Series& series = view().of(query.space, copy ? copy->cls : cls);
  (copy ? series.disk_hits : series.disk_misses)->at(worker).add();
  if (!copy) return;
  found.answer = Answer::join;
  found.ticket = found.lease.wait_too();
  auto load = [this, worker, what = std::move(*copy), lease = std::move(found.lease)]() mutable {
    return disk_->load(parts_[worker]->loads, std::move(what), std::move(lease));
  };
  static_cast<void>(parts_[worker]->loads.spawn(
      std::move(load)));  // where it is refused the lease passes to one who waits
}

void Cache::count_fill(std::size_t worker, Space space, ClassId cls, Fill outcome,
                       Duration load_time) {
  const View& now = view();
  now.of(space, cls).fills[static_cast<std::size_t>(outcome)]->at(worker).add();
  if (outcome != Fill::failed) now.load_times[now.known(cls)]->at(worker).record(load_time);
}

ClassId Cache::class_of(std::string_view name) const {
  const auto& classes = view().classes;
  const auto at = std::ranges::find(classes, name, &TtlClass::name);
  return at == classes.end() ? ClassId{0} : static_cast<ClassId>(at - classes.begin());
}

const std::string& Cache::class_name(ClassId cls) const {
  return view().classes[view().known(cls)].name;
}

Duration Cache::ttl_of(ClassId cls) const { return view().classes[view().known(cls)].ttl; }

Lifetimes Cache::lifetimes_of(ClassId cls, std::optional<Duration> ttl, Random& random) const {
  const CacheOptions& o = view().options;
  const double factor = 1 + o.jitter * (2 * random.unit() - 1);
  const Duration wanted = ttl.value_or(ttl_of(cls));
  const Duration jittered(static_cast<std::int64_t>(static_cast<double>(wanted.count()) * factor));
  return {.ttl = jittered,
          .stale_while_revalidate = o.stale_while_revalidate,
          .stale_if_error = o.stale_if_error};
}

Result<Value> Cache::open(const ObjectRef& object) const {
  if (object->kind() == Kind::absent) return Value::absent();
  if (object->codec() == Codec::raw) return Value(object);
  auto unpacked = unpack(object->stored(), object->raw_size());
  if (!unpacked) return pass(unpacked);
  return Value(object, std::move(*unpacked));
}

net::Task<Result<std::optional<Value>>> Cache::get(net::TaskGroup& group, std::string key) {
  if (key.empty() || key.size() > kKeyLimit)
    co_return fail(Errc::invalid, "a key has 1 to 1024 bytes");
  ObjectRef object = memory_.peek({.space = Space::app, .key = key, .now = now_()});
  if (!object && disk_ && disk_->holds(memory_.hash(Space::app, key), Space::app, key, now_())) {
    Found found =
        lookup(group.worker().index(),
               {.space = Space::app, .key = key, .now = now_(), .refresh = Refresh::never});
    Ticket ticket = std::move(found.ticket);
    if (found.answer == Answer::join) {
      auto waited = co_await wait(group, ticket, kNever);
      if (waited) found = std::move(*waited);
    }
    object = std::move(found.object);
    if (!object) co_return std::optional<Value>();  // counted by the look-up
    auto value = open(object);
    if (!value) co_return pass(value);
    co_return std::optional(std::move(*value));
  }
  const Series& series = view().of(Space::app, object ? object->cls() : ClassId{0});
  (object ? series.hits : series.misses)->at(group.worker().index()).add();
  if (!object) co_return std::optional<Value>();
  auto value = open(object);
  if (!value) co_return pass(value);
  co_return std::optional(std::move(*value));
}

net::Task<Result<>> Cache::set(net::TaskGroup& group, std::string key, std::string value,
                               Storing how) {
  const std::size_t worker = group.worker().index();
  const ClassId cls = class_of(how.cls);
  Head head{.metadata = how.content_type,
            .lifetimes = {.ttl = how.ttl.value_or(ttl_of(cls))},
            .tags = how.tags,
            .cls = cls};
  const std::uint64_t over = view().options.compress_over.count;
  std::optional<std::string> packed;
  if (over != 0 && value.size() >= over) packed = parts_[worker]->packer.pack(value);
  if (packed) head.raw_size = static_cast<std::uint32_t>(value.size());
  co_return memory_.set(Space::app, key, head, packed ? *packed : value, now_(), how.since);
}

net::Task<Result<bool>> Cache::erase(net::TaskGroup& /*group*/, std::string key,
                                     Hardness hardness) {
  if (key.empty() || key.size() > kKeyLimit)
    co_return fail(Errc::invalid, "a key has 1 to 1024 bytes");
  co_return memory_.erase(Space::app, key, hardness, now_());
}

net::Task<Result<Value>> Cache::load_alone(net::TaskGroup& group,
                                           std::shared_ptr<const Loader> loader) {
  auto loaded = co_await (*loader)(group);
  if (!loaded) co_return pass(loaded);
  if (loaded->outcome == Loaded::Outcome::absent) co_return Value::absent();
  co_return Value(std::move(loaded->value));
}

void Cache::refresh(std::size_t worker, Lease lease, const std::shared_ptr<const Storing>& how,
                    const std::shared_ptr<const Loader>& loader) {
  auto start = [this, worker, kept = std::move(lease), how, loader]() mutable {
    return run_fill(worker, std::move(kept), how, loader);
  };
  // Where there are too many loads, the lease ends with `start`, and the next who asks may try.
  static_cast<void>(parts_[worker]->loads.spawn(std::move(start)));
}

Ticket Cache::begin_fill(std::size_t worker, Lease lease, const std::shared_ptr<const Storing>& how,
                         const std::shared_ptr<const Loader>& loader) {
  Ticket ticket = lease.wait_too();
  refresh(worker, std::move(lease), how, loader);
  return ticket;
}

net::Task<> Cache::run_fill(std::size_t worker, Lease lease, std::shared_ptr<const Storing> how,
                            std::shared_ptr<const Loader> loader) {
  const TimePoint began = now_();
  const ClassId cls = class_of(how->cls);
  auto loaded = co_await (*loader)(parts_[worker]->loads);
  const Duration load_time = elapsed(began, now_());
  if (!loaded) {
    count_fill(worker, Space::app, cls, Fill::failed, load_time);
    static_cast<void>(lease.fail(loaded.error(), now_()));
    co_return;
  }
  static_cast<void>(keep(worker, std::move(lease), *how, std::move(*loaded), load_time));
}

Result<ObjectRef> Cache::keep(std::size_t worker, Lease lease, const Storing& how, Loaded loaded,
                              Duration load_time) {
  const ClassId cls = class_of(how.cls);
  const CacheOptions& o = view().options;
  const bool absent = loaded.outcome == Loaded::Outcome::absent;
  if (loaded.outcome == Loaded::Outcome::uncacheable ||
      (absent && o.negative_ttl == Duration::zero())) {
    count_fill(worker, Space::app, cls, Fill::uncacheable, load_time);
    lease.uncacheable(o.bypass_ttl, now_());
    return ObjectRef();
  }
  std::vector<std::string> tags = how.tags;
  tags.insert(tags.end(), loaded.tags.begin(), loaded.tags.end());
  Head head{.metadata = how.content_type,
            .tags = tags,
            .cls = cls,
            .kind = absent ? Kind::absent : Kind::value};
  head.lifetimes = absent ? Lifetimes{.ttl = o.negative_ttl}
                          : lifetimes_of(cls, loaded.ttl ? loaded.ttl : how.ttl,
                                         parts_[worker]->loads.worker().random());
  std::optional<std::string> packed;
  if (o.compress_over.count != 0 && loaded.value.size() >= o.compress_over.count)
    packed = parts_[worker]->packer.pack(loaded.value);
  if (packed) head.raw_size = static_cast<std::uint32_t>(loaded.value.size());
  auto stored = lease.store(head, packed ? *packed : loaded.value, now_());
  count_fill(worker, Space::app, cls, stored ? Fill::stored : Fill::uncacheable, load_time);
  return stored;
}

net::Task<Result<Found>> Cache::wait(net::TaskGroup& group, Ticket& ticket, TimePoint deadline) {
  const CacheOptions& o = view().options;
  const TimePoint now = Clock::now();
  const TimePoint hard = std::min(deadline, now + o.hard_timeout);
  if (o.soft_timeout > Duration::zero() && now + o.soft_timeout < hard) {
    if (ObjectRef stale = ticket.stale()) {
      auto soon = co_await ticket.wait(group, now + o.soft_timeout);
      if (soon || soon.error().code != Errc::timeout) co_return soon;
      Found found;
      found.answer = Answer::stale;
      found.object = std::move(stale);
      co_return found;
    }
  }
  co_return co_await ticket.wait(group, hard);
}

net::Task<Result<Value>> Cache::get_or_compute(net::TaskGroup& group, std::string key, Storing how,
                                               Loader loader, TimePoint deadline) {
  if (key.empty() || key.size() > kKeyLimit)
    co_return fail(Errc::invalid, "a key has 1 to 1024 bytes");
  const std::size_t worker = group.worker().index();
  const auto kept_how = std::make_shared<const Storing>(std::move(how));
  const auto kept_loader = std::make_shared<const Loader>(std::move(loader));
  while (true) {
    Found found =
        lookup(worker, {.space = Space::app, .key = key, .now = now_()}, class_of(kept_how->cls));
    while (found.answer == Answer::join || found.answer == Answer::fill) {
      Ticket ticket = found.answer == Answer::join
                          ? std::move(found.ticket)
                          : begin_fill(worker, std::move(found.lease), kept_how, kept_loader);
      auto waited = co_await wait(group, ticket, deadline);
      if (!waited) co_return pass(waited);
      found = std::move(*waited);
    }
    if (found.lease) refresh(worker, std::move(found.lease), kept_how, kept_loader);
    if (found.object) co_return open(found.object);
    if (found.answer == Answer::bypass) co_return co_await load_alone(group, kept_loader);
    if (found.answer == Answer::overloaded)
      co_return fail(Errc::overloaded, "too many wait for this key");
  }
}

Leases& Cache::leases(std::size_t worker) { return parts_[worker]->leases; }

void Cache::upkeep(std::size_t most_entries) {
  static_cast<void>(memory_.sweep(now_(), most_entries));
  if (disk_) disk_->upkeep();
  for (Moved& moved : moved_) {
    const std::uint64_t all = moved.from();
    moved.to->add_shared(all - std::exchange(moved.counted, all));
  }
}

Stats Cache::stats(std::size_t most_tags) const {
  Stats stats;
  stats.entries = memory_.entries();
  stats.bytes = memory_.memory().used();
  stats.bytes_limit = memory_.memory().limit();
  for (std::size_t i = 0; i < kRemovals; ++i)
    stats.removals[i] = memory_.removals(static_cast<Removal>(i));
  const View& now = view();
  if (disk_) {
    stats.disk = Stats::Disk{.up = disk_->up(),
                             .entries = disk_->entries(),
                             .bytes = disk_->used(),
                             .bytes_limit = disk_->limit(),
                             .written = disk_->written(),
                             .skipped = disk_->skipped(),
                             .errors = disk_->errors()};
    for (const auto& space : now.series) {
      for (const Series& series : space) stats.disk->hits += series.disk_hits->total();
    }
  }
  const auto use = memory_.use();
  for (std::size_t c = 0; c < now.classes.size(); ++c) {
    Stats::Class cls;
    cls.name = now.classes[c].name;
    cls.ttl = now.classes[c].ttl;
    cls.entries = use[c].entries;
    cls.bytes = use[c].bytes;
    for (const auto& space : now.series) {
      cls.hits += space[c].hits->total();
      cls.stale_hits += space[c].stale_hits->total();
      cls.misses += space[c].misses->total();
      cls.coalesced += space[c].coalesced->total();
      cls.fills += space[c].fills[static_cast<std::size_t>(Fill::stored)]->total();
      stats.bypasses += space[c].bypasses->total();
      stats.overloads += space[c].overloads->total();
    }
    const metrics::HistogramValues loads = now.load_times[c]->values();
    cls.load_p50 = loads.quantile(0.5);
    cls.load_p99 = loads.quantile(0.99);
    stats.hits += cls.hits;
    stats.stale_hits += cls.stale_hits;
    stats.misses += cls.misses;
    stats.coalesced += cls.coalesced;
    stats.classes.push_back(std::move(cls));
  }
  stats.tags = memory_.top_tags(most_tags);
  return stats;
}

}  // namespace headroom::cache
