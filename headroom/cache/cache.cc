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

TierOptions tier_options(const CacheOptions& options, std::uint64_t seed) {
  const auto value_limit = static_cast<std::uint64_t>(static_cast<double>(options.memory_limit.count) * options.value_share);
  return {.memory_limit = options.memory_limit.count, .value_limit = value_limit, .entries_limit = options.entries_limit,
          .waiters_limit = options.waiters_limit, .lease_limit = options.hard_timeout, .early_refresh = options.early_refresh, .seed = seed};
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
};

// The settings of one moment with the series that they name.
struct Cache::View {
  CacheOptions options;
  std::vector<TtlClass> classes;
  std::array<std::vector<Series>, kSpaces> series;  // by class
  std::vector<metrics::Histogram*> load_times;

  [[nodiscard]] ClassId known(ClassId cls) const { return cls < classes.size() ? cls : 0; }
  [[nodiscard]] const Series& of(Space space, ClassId cls) const { return series[static_cast<std::size_t>(space)][known(cls)]; }
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

Cache::Cache(net::Workers& workers, metrics::Registry& registry, const CacheOptions& options, Now now)
    : workers_(workers), registry_(registry), now_(std::move(now)), memory_(tier_options(options, random_seed())) {
  for (const auto& worker : workers_) parts_.push_back(std::make_unique<Part>(*this, *worker));
  for (std::size_t i = 0; i < kRemovals; ++i) {
    removals_[i] = &registry_.counter(kRemovalsFamily, {std::string(kTier), std::string(to_string(static_cast<Removal>(i)))});
  }
  const metrics::Labels tier{std::string(kTier)};
  gauges_.push_back(registry_.gauge(kBytes, tier, [this] { return static_cast<double>(memory_.memory().used()); }));
  gauges_.push_back(registry_.gauge(kBytesLimit, tier, [this] { return static_cast<double>(memory_.memory().limit()); }));
  gauges_.push_back(registry_.gauge(kEntries, tier, [this] { return static_cast<double>(memory_.entries()); }));
  configure(options);
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
      const auto fills = [&](const char* outcome) { return &registry_.counter(kFills, {space, cls.name, outcome}); };
      made->series[s].push_back({&registry_.counter(kHits, labels), &registry_.counter(kStaleHits, labels), &registry_.counter(kMisses, labels),
                                 &registry_.counter(kCoalesced, labels), &registry_.counter(kBypasses, labels),
                                 &registry_.counter(kOverloads, labels), {fills("stored"), fills("uncacheable"), fills("failed")}});
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
  return found;
}

void Cache::count_fill(std::size_t worker, Space space, ClassId cls, Fill outcome, Duration load_time) {
  const View& now = view();
  now.of(space, cls).fills[static_cast<std::size_t>(outcome)]->at(worker).add();
  if (outcome != Fill::failed) now.load_times[now.known(cls)]->at(worker).record(load_time);
}

ClassId Cache::class_of(std::string_view name) const {
  const auto& classes = view().classes;
  const auto at = std::ranges::find(classes, name, &TtlClass::name);
  return at == classes.end() ? ClassId{0} : static_cast<ClassId>(at - classes.begin());
}

const std::string& Cache::class_name(ClassId cls) const { return view().classes[view().known(cls)].name; }

Duration Cache::ttl_of(ClassId cls) const { return view().classes[view().known(cls)].ttl; }

Lifetimes Cache::lifetimes_of(ClassId cls, std::optional<Duration> ttl, Random& random) const {
  const CacheOptions& o = view().options;
  const double factor = 1 + o.jitter * (2 * random.unit() - 1);
  const Duration wanted = ttl.value_or(ttl_of(cls));
  const Duration jittered(static_cast<std::int64_t>(static_cast<double>(wanted.count()) * factor));
  return {.ttl = jittered, .stale_while_revalidate = o.stale_while_revalidate, .stale_if_error = o.stale_if_error};
}

Result<Value> Cache::open(const ObjectRef& object) const {
  if (object->kind() == Kind::absent) return Value::absent();
  if (object->codec() == Codec::raw) return Value(object);
  auto unpacked = unpack(object->stored(), object->raw_size());
  if (!unpacked) return pass(unpacked);
  return Value(object, std::move(*unpacked));
}

net::Task<Result<std::optional<Value>>> Cache::get(net::TaskGroup& group, std::string key) {
  if (key.empty() || key.size() > kKeyLimit) co_return fail(Errc::invalid, "a key has 1 to 1024 bytes");
  const ObjectRef object = memory_.peek({.space = Space::app, .key = key, .now = now_()});
  const Series& series = view().of(Space::app, object ? object->cls() : ClassId{0});
  (object ? series.hits : series.misses)->at(group.worker().index()).add();
  if (!object) co_return std::optional<Value>();
  auto value = open(object);
  if (!value) co_return pass(value);
  co_return std::optional(std::move(*value));
}

net::Task<Result<>> Cache::set(net::TaskGroup& group, std::string key, std::string value, Storing how) {
  const std::size_t worker = group.worker().index();
  const ClassId cls = class_of(how.cls);
  Head head{.metadata = how.content_type, .lifetimes = {.ttl = how.ttl.value_or(ttl_of(cls))}, .tags = how.tags, .cls = cls};
  const std::uint64_t over = view().options.compress_over.count;
  std::optional<std::string> packed;
  if (over != 0 && value.size() >= over) packed = parts_[worker]->packer.pack(value);
  if (packed) head.raw_size = static_cast<std::uint32_t>(value.size());
  co_return memory_.set(Space::app, key, head, packed ? *packed : value, now_(), how.since);
}

net::Task<Result<bool>> Cache::erase(net::TaskGroup& /*group*/, std::string key, Hardness hardness) {
  if (key.empty() || key.size() > kKeyLimit) co_return fail(Errc::invalid, "a key has 1 to 1024 bytes");
  co_return memory_.erase(Space::app, key, hardness, now_());
}

net::Task<Result<Value>> Cache::load_alone(net::TaskGroup& group, std::shared_ptr<const Loader> loader) {
  auto loaded = co_await (*loader)(group);
  if (!loaded) co_return pass(loaded);
  if (loaded->outcome == Loaded::Outcome::absent) co_return Value::absent();
  co_return Value(std::move(loaded->value));
}

void Cache::refresh(std::size_t worker, Lease lease, const std::shared_ptr<const Storing>& how, const std::shared_ptr<const Loader>& loader) {
  auto start = [this, worker, kept = std::move(lease), how, loader]() mutable { return run_fill(worker, std::move(kept), how, loader); };
  // Where there are too many loads, the lease ends with `start`, and the next who asks may try.
  static_cast<void>(parts_[worker]->loads.spawn(std::move(start)));
}

Ticket Cache::begin_fill(std::size_t worker, Lease lease, const std::shared_ptr<const Storing>& how, const std::shared_ptr<const Loader>& loader) {
  Ticket ticket = lease.wait_too();
  refresh(worker, std::move(lease), how, loader);
  return ticket;
}

net::Task<> Cache::run_fill(std::size_t worker, Lease lease, std::shared_ptr<const Storing> how, std::shared_ptr<const Loader> loader) {
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

Result<ObjectRef> Cache::keep(std::size_t worker, Lease lease, const Storing& how, Loaded loaded, Duration load_time) {
  const ClassId cls = class_of(how.cls);
  const CacheOptions& o = view().options;
  const bool absent = loaded.outcome == Loaded::Outcome::absent;
  if (loaded.outcome == Loaded::Outcome::uncacheable || (absent && o.negative_ttl == Duration::zero())) {
    count_fill(worker, Space::app, cls, Fill::uncacheable, load_time);
    lease.uncacheable(o.bypass_ttl, now_());
    return ObjectRef();
  }
  std::vector<std::string> tags = how.tags;
  tags.insert(tags.end(), loaded.tags.begin(), loaded.tags.end());
  Head head{.metadata = how.content_type, .tags = tags, .cls = cls, .kind = absent ? Kind::absent : Kind::value};
  head.lifetimes = absent ? Lifetimes{.ttl = o.negative_ttl}
                          : lifetimes_of(cls, loaded.ttl ? loaded.ttl : how.ttl, parts_[worker]->loads.worker().random());
  std::optional<std::string> packed;
  if (o.compress_over.count != 0 && loaded.value.size() >= o.compress_over.count) packed = parts_[worker]->packer.pack(loaded.value);
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

net::Task<Result<Value>> Cache::get_or_compute(net::TaskGroup& group, std::string key, Storing how, Loader loader, TimePoint deadline) {
  if (key.empty() || key.size() > kKeyLimit) co_return fail(Errc::invalid, "a key has 1 to 1024 bytes");
  const std::size_t worker = group.worker().index();
  const auto kept_how = std::make_shared<const Storing>(std::move(how));
  const auto kept_loader = std::make_shared<const Loader>(std::move(loader));
  while (true) {
    Found found = lookup(worker, {.space = Space::app, .key = key, .now = now_()}, class_of(kept_how->cls));
    while (found.answer == Answer::join || found.answer == Answer::fill) {
      Ticket ticket = found.answer == Answer::join ? std::move(found.ticket) : begin_fill(worker, std::move(found.lease), kept_how, kept_loader);
      auto waited = co_await wait(group, ticket, deadline);
      if (!waited) co_return pass(waited);
      found = std::move(*waited);
    }
    if (found.lease) refresh(worker, std::move(found.lease), kept_how, kept_loader);
    if (found.object) co_return open(found.object);
    if (found.answer == Answer::bypass) co_return co_await load_alone(group, kept_loader);
    if (found.answer == Answer::overloaded) co_return fail(Errc::overloaded, "too many wait for this key");
  }
}

Leases& Cache::leases(std::size_t worker) { return parts_[worker]->leases; }

void Cache::upkeep(std::size_t most_entries) {
  static_cast<void>(memory_.sweep(now_(), most_entries));
  for (std::size_t i = 0; i < kRemovals; ++i) {
    const std::uint64_t all = memory_.removals(static_cast<Removal>(i));
    removals_[i]->add_shared(all - std::exchange(removals_counted_[i], all));
  }
}

Stats Cache::stats(std::size_t most_tags) const {
  Stats stats;
  stats.entries = memory_.entries();
  stats.bytes = memory_.memory().used();
  stats.bytes_limit = memory_.memory().limit();
  for (std::size_t i = 0; i < kRemovals; ++i) stats.removals[i] = memory_.removals(static_cast<Removal>(i));
  const View& now = view();
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
