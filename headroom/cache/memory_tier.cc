#include "headroom/cache/memory_tier.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "headroom/base/assert.h"
#include "headroom/cache/shard.h"

namespace headroom::cache {
namespace {

constexpr std::uint64_t kShardBytes = 4U << 20U;
constexpr std::size_t kMostShards = 4096;
constexpr std::size_t kLookedAt = 16;    // slots, for dead ones, before somebody alive is evicted
constexpr std::size_t kMostSpared = 16;  // objects in use, passed over in one eviction
constexpr std::size_t kSweepStep = 256;  // slots looked at under one lock
constexpr std::uint64_t kSlotsSpan = 1U << 16U;  // of one shard, in the place of a listing

std::size_t shards_for(std::uint64_t limit) {
  return std::bit_floor(std::clamp<std::size_t>(limit / kShardBytes, 1, kMostShards));
}

}  // namespace

std::string_view to_string(Removal cause) {
  switch (cause) {
    case Removal::capacity: return "capacity";
    case Removal::expired: return "expired";
    case Removal::invalidated: return "invalidated";
    case Removal::erased: return "erased";
    case Removal::replaced: return "replaced";
    case Removal::too_large: return "too_large";
    case Removal::failed: return "failed";
  }
  return "?";
}

MemoryTier::MemoryTier(const TierOptions& options)
    : memory_(options.memory_limit), seed_(options.seed), invalidations_(memory_, options.seed) {
  configure(options);
  const std::size_t count = shards_for(options.memory_limit);
  for (std::size_t i = 0; i < count; ++i) shards_.push_back(std::make_unique<Shard>(seed_));
}

MemoryTier::~MemoryTier() {
  for (auto& shard : shards_) {
    for (std::size_t slot = 1; slot < shard->slots.end(); ++slot) {
      const auto at = static_cast<Slot>(slot);
      if (shard->slots.object(at) != nullptr)
        static_cast<void>(unlink(*shard, at, Removal::erased));
    }
  }
}

void MemoryTier::configure(const TierOptions& options) {
  memory_.set_limit(options.memory_limit);
  value_limit_ = options.value_limit;
  entries_limit_ = options.entries_limit;
  waiters_limit_ = options.waiters_limit;
  lease_limit_ = options.lease_limit;
  early_refresh_ = options.early_refresh;
}

Found MemoryTier::lookup(const Query& query) {
  Found found;
  if (query.key.empty() || query.key.size() > kKeyLimit) return found;
  const std::uint64_t hash = hash_of(query.space, query.key, seed_);
  Shard& shard = shard_of(hash);
  ObjectRef dropped;
  const std::scoped_lock lock(shard.mutex);
  const std::uint64_t seq = invalidations_.now();
  Slot slot = shard.slots.find(hash, query.space, query.key);
  if (slot != 0) {
    if (const auto cause = dead(shard, slot, query.now, seq)) {
      dropped = unlink(shard, slot, *cause);
      slot = 0;
    }
  }
  if (slot != 0) {
    shard.policy.touched(slot, hash);
    if (answer_from(shard, slot, query, hash, seq, found)) return found;
  }
  fill_or_join(shard, slot == 0 ? ObjectRef() : ref(shard, slot), query, hash, seq, found);
  return found;
}

ObjectRef MemoryTier::peek(const Query& query) {
  const std::uint64_t hash = hash_of(query.space, query.key, seed_);
  Shard& shard = shard_of(hash);
  Found found;
  const std::scoped_lock lock(shard.mutex);
  const std::uint64_t seq = invalidations_.now();
  const Slot slot = shard.slots.find(hash, query.space, query.key);
  if (slot == 0 || dead(shard, slot, query.now, seq)) return {};
  shard.policy.touched(slot, hash);
  Query without_refresh = query;
  without_refresh.refresh = Refresh::never;
  static_cast<void>(answer_from(shard, slot, without_refresh, hash, seq, found));
  return std::move(found.object);
}

bool MemoryTier::holds(const Query& query) {
  const std::uint64_t hash = hash_of(query.space, query.key, seed_);
  Shard& shard = shard_of(hash);
  {
    const std::scoped_lock lock(shard.mutex);
    const Slot slot = shard.slots.find(hash, query.space, query.key);
    if (slot != 0 && shard.object(slot).kind() == Kind::value &&
        !dead(shard, slot, query.now, invalidations_.now()))
      return true;
  }
  return behind_ != nullptr && behind_->holds(hash, query.space, query.key, query.now);
}

std::optional<Removal> MemoryTier::dead(Shard& shard, Slot slot, TimePoint now, std::uint64_t seq) {
  Object& object = shard.object(slot);
  if (Shard::seq(object) < seq) {
    const Verdict verdict =
        invalidations_.check(object.space(), object.key(), object.tags(), Shard::seq(object));
    if (verdict == Verdict::hard) return Removal::invalidated;
    if (verdict == Verdict::soft) Shard::soften(object, now);
    Shard::set_seq(object, seq);
  }
  return now >= object.kept_until() ? std::optional(Removal::expired) : std::nullopt;
}

bool MemoryTier::answer_from(Shard& shard, Slot slot, const Query& query, std::uint64_t hash,
                             std::uint64_t seq, Found& found) {
  const Object& object = shard.object(slot);
  const TimePoint fresh_until = object.fresh_until();
  if (object.kind() == Kind::bypass) {
    found.answer = Answer::bypass;
    return true;
  }
  const bool fresh = query.now < fresh_until;
  if (!fresh && query.now >= object.revalidate_until()) return false;
  found.answer = fresh ? Answer::fresh : Answer::stale;
  found.object = ref(shard, slot);
  found.age = elapsed(object.born(), query.now);
  found.stale = elapsed(fresh_until, query.now);
  const bool refresh = fresh ? query.refresh == Refresh::may && !too_early(shard, object, query.now)
                             : query.refresh != Refresh::never;
  if (refresh && shard.flight(hash) == nullptr)
    found.lease = begin(shard, found.object, query, hash, seq);
  if ((shard.random.next() & 15U) == 0) {
    for (const TagId tag : object.tags()) invalidations_.tags().note_hit(tag);
  }
  return true;
}

// Vattani et al., "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015: refresh when now - load_time * beta * ln(u) >= expiry.
bool MemoryTier::too_early(Shard& shard, const Object& object, TimePoint now) const {
  const Duration scale = object.load_time();
  const double beta = early_refresh_.load(std::memory_order_relaxed);
  if (scale <= Duration::zero() || beta <= 0) return true;
  const double left = seconds(object.fresh_until() - now) / (seconds(scale) * beta);
  return left > 20 || -std::log(1 - shard.random.unit()) < left;
}

ObjectRef MemoryTier::ref(Shard& shard, Slot slot) {
  Object& object = shard.object(slot);
  Shard::share(object);
  Body* const body = object.body();
  return {memory_, &object, body == nullptr ? nullptr : body->begin()};
}

void MemoryTier::fill_or_join(Shard& shard, ObjectRef stale, const Query& query, std::uint64_t hash,
                              std::uint64_t seq, Found& found) {
  Flight* flight = shard.flight(hash);
  if (flight != nullptr &&
      elapsed(flight->began, query.now) > lease_limit_.load(std::memory_order_relaxed)) {
    shard.detach(*flight);
    flight = nullptr;
  }
  if (flight == nullptr) {
    found.answer = Answer::fill;
    found.lease = begin(shard, std::move(stale), query, hash, seq);
    return;
  }
  if (flight->key != query.key || flight->space != query.space) return;  // bypass
  if (flight->waiters >= waiters_limit_.load(std::memory_order_relaxed)) {
    found.answer = Answer::overloaded;
    return;
  }
  if (flight->waiting.size() > 2 * flight->waiters + 16)
    std::erase_if(flight->waiting, [](const auto& w) { return w->left; });
  auto waiting = std::make_shared<Waiting>();
  waiting->arrived = seq;
  flight->waiting.push_back(waiting);
  ++flight->waiters;
  found.answer = Answer::join;
  found.ticket = Ticket(*this, shard.flights.find(hash)->second, std::move(waiting));
}

Lease MemoryTier::begin(Shard& shard, ObjectRef stale, const Query& query, std::uint64_t hash,
                        std::uint64_t seq) {
  auto flight =
      std::make_shared<Flight>(query.space, std::string(query.key), hash, std::move(stale),
                               std::min(seq, query.since.value_or(seq)), query.now);
  shard.flights.emplace(hash, flight);
  return {*this, std::move(flight)};
}

ObjectRef MemoryTier::unlink(Shard& shard, Slot slot, Removal cause) {
  Object& object = shard.object(slot);
  const std::uint64_t weight = weight_of(object);
  shard.policy.removed(slot);
  shard.slots.erase(slot);
  shard.bytes.store(shard.policy.bytes(), std::memory_order_relaxed);
  for (ClassUse* use : {&shard.use[object.cls() % kClasses], &shard.use_of_space(object)}) {
    --use->entries;
    use->bytes -= weight;
  }
  invalidations_.tags().give(object.tags());
  if (Body* body = object.body()) body->detach();
  memory_.give(kIndexBytes);
  entries_.fetch_sub(1, std::memory_order_relaxed);
  removals_[static_cast<std::size_t>(cause)].fetch_add(1, std::memory_order_relaxed);
  return {memory_, &object, nullptr};
}

ObjectRef MemoryTier::insert(Shard& shard, Object* object, std::uint64_t hash) {
  ObjectRef replaced;
  if (const Slot old = shard.slots.find(hash, object->space(), object->key()))
    replaced = unlink(shard, old, Removal::replaced);
  Shard::share(*object);
  const Slot slot = shard.slots.insert(object, hash);
  shard.policy.inserted(slot, hash);
  shard.bytes.store(shard.policy.bytes(), std::memory_order_relaxed);
  for (ClassUse* use : {&shard.use[object->cls() % kClasses], &shard.use_of_space(*object)}) {
    ++use->entries;
    use->bytes += weight_of(*object);
  }
  entries_.fetch_add(1, std::memory_order_relaxed);
  return replaced;
}

bool MemoryTier::make_room(std::uint64_t bytes, std::uint64_t hash, TimePoint now) {
  if (bytes > memory_.limit()) return false;
  Random random(hash ^ memory_.used());
  std::size_t in_vain = 0;
  const std::uint64_t most = entries_limit_.load(std::memory_order_relaxed);
  while ((most != 0 && entries() >= most) || !memory_.reserve(bytes)) {
    // Of two shards the fuller one, so that they stay alike.
    Shard* shard = &shard_of(hash);
    Shard& other = *shards_[random.below(shards_.size())];
    if (in_vain > 0 ||
        other.bytes.load(std::memory_order_relaxed) > shard->bytes.load(std::memory_order_relaxed))
      shard = &other;
    if (evict(*shard, now)) {
      in_vain = 0;
    } else if (++in_vain > 4 * shards_.size() + 16) {
      return false;
    }
  }
  return true;
}

bool MemoryTier::evict(Shard& shard, TimePoint now) {
  ObjectRef dropped;
  const std::scoped_lock lock(shard.mutex);
  const std::uint64_t seq = invalidations_.now();
  for (std::size_t i = 0; i < std::min(kLookedAt, shard.slots.size()); ++i) {
    const Slot slot = shard.hand;
    shard.hand = static_cast<Slot>(slot + 1U < shard.slots.end() ? slot + 1U : 1U);
    if (slot >= shard.slots.end() || shard.slots.object(slot) == nullptr) continue;
    if (const auto cause = dead(shard, slot, now, seq)) {
      dropped = unlink(shard, slot, *cause);
      return true;
    }
  }
  for (std::size_t i = 0; i < kMostSpared; ++i) {
    const Slot slot = shard.policy.victim();
    if (slot == 0) return false;
    if (Shard::in_use(shard.object(slot))) {
      shard.policy.spare(slot);
      continue;
    }
    shard.policy.evicted(slot);
    dropped = unlink(shard, slot, Removal::capacity);
    return true;
  }
  return false;
}

Result<ObjectRef> MemoryTier::make(Space space, std::string_view key, std::uint64_t hash,
                                   std::uint64_t since, const Head& head, std::string_view value,
                                   Body* body, Duration load_time, TimePoint now, Forms* forms) {
  if (head.tags.size() > kTagsLimit) return headroom::fail(Errc::invalid, "more than 255 tags");
  std::vector<TagId> tags(head.tags.size());
  Object::Init init{.space = space,
                    .key = key,
                    .metadata = head.metadata,
                    .value = value,
                    .tags = tags,
                    .lifetimes = head.lifetimes,
                    .born = now - head.age,
                    .load_time = load_time,
                    .seq = since,
                    .raw_size = head.raw_size,
                    .cls = head.cls,
                    .codec = head.raw_size == 0 ? Codec::raw : Codec::zstd,
                    .kind = head.kind,
                    .body = body,
                    .forms = forms};
  latest_.store(now, std::memory_order_relaxed);
  const std::uint64_t rows = tags.size() * TagTable::kRowBytes;
  const bool new_forms = head.forms && forms == nullptr;
  const std::uint64_t forms_bytes =
      new_forms ? Forms::own_bytes() + sizeof(Forms*) + 16 : 0;  // 16: what rounding may add
  if (value.size() > UINT32_MAX / 2 ||
      !make_room(Object::bytes_for(init) + kIndexBytes + rows + forms_bytes, hash, now)) {
    return headroom::fail(Errc::overloaded, "no room in the cache");
  }
  if (new_forms) {
    const std::size_t without = Object::bytes_for(init);
    init.forms = new Forms(memory_);
    memory_.give(forms_bytes - Forms::own_bytes() - (Object::bytes_for(init) - without));
  }
  memory_.give(rows - invalidations_.tags().take(head.tags, tags));
  return ObjectRef(memory_, Object::make(init), body == nullptr ? nullptr : body->begin());
}

Result<> MemoryTier::set(Space space, std::string_view key, const Head& head,
                         std::string_view value, TimePoint now,
                         std::optional<std::uint64_t> since) {
  if (key.empty() || key.size() > kKeyLimit)
    return headroom::fail(Errc::invalid, "a key has 1 to 1024 bytes");
  if (key.size() + value.size() + head.metadata.size() > value_limit())
    return headroom::fail(Errc::overloaded, "the value is too large");
  const std::uint64_t hash = hash_of(space, key, seed_);
  const std::uint64_t from = since.value_or(invalidations_.now());
  auto object = make(space, key, hash, from, head, value, nullptr, {}, now);
  if (!object) return pass(object);
  Shard& shard = shard_of(hash);
  ObjectRef replaced;
  std::unique_lock lock(shard.mutex);
  const std::uint64_t seq = invalidations_.now();
  const Verdict verdict = invalidations_.check(space, key, (*object)->tags(), from);
  const bool overtaken =
      since && (verdict != Verdict::valid || invalidations_.key_since(hash, from));
  if (overtaken || verdict == Verdict::hard || shard.slots.size() >= Slots::kMost) {
    invalidations_.tags().give((*object)->tags());
    memory_.give(kIndexBytes);
    return headroom::fail(Errc::conflict, "an invalidation has overtaken the value");
  }
  Object& made = Shard::writable(*object);
  Shard::set_seq(made, seq);
  if (verdict == Verdict::soft) Shard::soften(made, now);
  if (Flight* flight = shard.flight(hash)) shard.detach(*flight);
  replaced = insert(shard, &made, hash);
  const std::uint64_t right =
      behind_ != nullptr
          ? behind_->replaced(hash, space, key, verdict == Verdict::valid ? &made : nullptr)
          : 0;
  lock.unlock();
  if (right != 0) behind_->copy(right, hash, *object, head.tags, seq);
  return {};
}

bool MemoryTier::add_form(const ObjectRef& object, std::size_t form, std::string_view bytes) {
  Forms* const forms = object->forms();
  const std::uint64_t hash = hash_of(object->space(), object->key(), seed_);
  const std::size_t size = Forms::bytes_for(bytes);
  if (forms == nullptr || bytes.size() > UINT32_MAX ||
      !make_room(size, hash, latest_.load(std::memory_order_relaxed)))
    return false;
  Shard& shard = shard_of(hash);
  const std::scoped_lock lock(shard.mutex);
  const Slot slot = shard.slots.find(hash, object->space(), object->key());
  // One that has been renewed since has the same forms.
  if (slot == 0 || shard.object(slot).forms() != forms || forms->get(form)) {
    memory_.give(size);
    return false;
  }
  forms->put(form, bytes);
  forms->weight += size;
  shard.policy.grew(slot, size);
  shard.bytes.store(shard.policy.bytes(), std::memory_order_relaxed);
  shard.use[shard.object(slot).cls() % kClasses].bytes += size;
  shard.use_of_space(shard.object(slot)).bytes += size;
  return true;
}

bool MemoryTier::erase(Space space, std::string_view key, Hardness hardness, TimePoint now) {
  if (key.empty() || key.size() > kKeyLimit) return false;
  const std::uint64_t hash = hash_of(space, key, seed_);
  invalidations_.key(hash);
  Shard& shard = shard_of(hash);
  ObjectRef dropped;
  const std::scoped_lock lock(shard.mutex);
  if (Flight* flight = shard.flight(hash)) shard.detach(*flight);
  if (behind_ != nullptr) static_cast<void>(behind_->replaced(hash, space, key, nullptr));
  const Slot slot = shard.slots.find(hash, space, key);
  if (slot == 0) return false;
  const bool was_dead = dead(shard, slot, now, invalidations_.now()).has_value();
  if (hardness == Hardness::soft && !was_dead) {
    Shard::soften(shard.object(slot), now);
  } else {
    dropped = unlink(shard, slot, Removal::erased);
  }
  return !was_dead;
}

std::size_t MemoryTier::sweep(TimePoint now, std::size_t most) {
  const std::unique_lock alone(sweeping_, std::try_to_lock);
  if (!alone.owns_lock()) return 0;
  std::size_t removed = 0;
  for (std::size_t looked = 0; looked < most; looked += kSweepStep) {
    std::vector<ObjectRef> dropped;
    Shard& shard = *shards_[sweep_shard_];
    std::unique_lock lock(shard.mutex);
    const std::uint64_t seq = invalidations_.now();
    if (sweep_shard_ == 0 && shard.broom == 1) sweep_began_ = seq;
    for (std::size_t i = 0; i < kSweepStep && shard.broom < shard.slots.end(); ++i, ++shard.broom) {
      if (shard.slots.object(shard.broom) == nullptr) continue;
      if (const auto cause = dead(shard, shard.broom, now, seq))
        dropped.push_back(unlink(shard, shard.broom, *cause));
    }
    removed += dropped.size();
    if (shard.broom < shard.slots.end()) continue;
    shard.broom = 1;
    sweep_shard_ = (sweep_shard_ + 1) & (shards_.size() - 1);
    lock.unlock();
    if (sweep_shard_ != 0) continue;
    if (behind_ != nullptr) behind_->revalidate(now);
    invalidations_.swept(sweep_began_);
  }
  return removed;
}

std::size_t MemoryTier::sweep_all(TimePoint now) {
  std::size_t steps = 0;
  for (auto& shard : shards_) {
    const std::scoped_lock lock(shard->mutex);
    steps += shard->slots.end() / kSweepStep + 2;
  }
  std::size_t removed = 0;
  for (std::size_t i = 0; i < 2 * steps; ++i) removed += sweep(now, kSweepStep);
  return removed;
}

std::array<ClassUse, kClasses> MemoryTier::use() const {
  std::array<ClassUse, kClasses> all{};
  for (const auto& shard : shards_) {
    const std::scoped_lock lock(shard->mutex);
    for (std::size_t i = 0; i < kClasses; ++i) {
      all[i].entries += shard->use[i].entries;
      all[i].bytes += shard->use[i].bytes;
    }
  }
  return all;
}

ClassUse MemoryTier::use_of(Space space) const {
  ClassUse all;
  for (const auto& shard : shards_) {
    const std::scoped_lock lock(shard->mutex);
    const ClassUse& its = shard->space_use[static_cast<std::size_t>(space)];
    all.entries += its.entries;
    all.bytes += its.bytes;
  }
  return all;
}

bool MemoryTier::holds(const ObjectRef& object) const {
  const std::uint64_t hash = hash_of(object->space(), object->key(), seed_);
  Shard& shard = shard_of(hash);
  const std::scoped_lock lock(shard.mutex);
  const Slot slot = shard.slots.find(hash, object->space(), object->key());
  return slot != 0 && &shard.object(slot) == &*object &&
         invalidations_.check(object->space(), object->key(), object->tags(),
                              Shard::seq(*object)) != Verdict::hard;
}

std::optional<EntryInfo> MemoryTier::info(Space space, std::string_view prefix, Object& object,
                                          TimePoint now) const {
  if (object.space() != space || !object.key().starts_with(prefix) || now >= object.kept_until())
    return std::nullopt;
  if (invalidations_.check(space, object.key(), object.tags(), Shard::seq(object)) == Verdict::hard)
    return std::nullopt;
  const Body* body = object.body();
  EntryInfo info{space,
                 std::string(object.key()),
                 object.kind(),
                 object.cls(),
                 object.size(),
                 elapsed(object.born(), now),
                 object.fresh_until() - now,
                 body != nullptr && body->state() == BodyState::growing,
                 {}};
  for (const TagId tag : object.tags()) info.tags.push_back(invalidations_.tags().name_of(tag));
  return info;
}

Listing MemoryTier::list(Space space, std::string_view prefix, std::size_t most, TimePoint now,
                         std::uint64_t from) const {
  Listing found;
  std::size_t slot = std::max<std::size_t>(from % kSlotsSpan, 1);
  for (std::size_t s = from / kSlotsSpan; s < shards_.size(); ++s, slot = 1) {
    for (bool more = true; more;) {
      Shard& shard = *shards_[s];
      const std::scoped_lock lock(shard.mutex);
      const std::size_t end = std::min(slot + kSweepStep, shard.slots.end());
      for (; slot < end; ++slot) {
        if (found.entries.size() == most) {
          found.next = s * kSlotsSpan + slot;
          return found;
        }
        Object* object = shard.slots.object(static_cast<Slot>(slot));
        if (object == nullptr) continue;
        if (auto entry = info(space, prefix, *object, now))
          found.entries.push_back(std::move(*entry));
      }
      more = slot < shard.slots.end();
    }
  }
  return found;
}

}  // namespace headroom::cache
