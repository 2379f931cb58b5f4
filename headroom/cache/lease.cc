#include "headroom/cache/lease.h"

#include <algorithm>
#include <cstring>

#include "headroom/base/assert.h"
#include "headroom/cache/memory_tier.h"
#include "headroom/cache/shard.h"

namespace headroom::cache {
namespace {

constexpr unsigned kMostFailures =
    2;  // of one flight in a row, before those who wait get the error
constexpr std::uint64_t kLeastChunk = 4U << 10U;
constexpr std::uint64_t kMostChunk = 256U << 10U;

// Gives every one who waits its outcome, by `decide`; the answer is whom to wake, outside the lock.
template <class Decide>
std::vector<WakerRef> settle(Flight& flight, const Decide& decide) {
  std::vector<WakerRef> woken;
  for (const auto& waiting : flight.waiting) {
    if (waiting->left || waiting->done) continue;
    decide(*waiting);
    waiting->done = true;
    if (waiting->waker) woken.push_back(std::move(waiting->waker));
  }
  flight.waiting.clear();
  flight.waiters = 0;
  return woken;
}

void wake_all(std::vector<WakerRef> woken) {
  for (WakerRef& waker : woken) wake(std::move(waker));
}

void give_object(Waiting& waiting, const ObjectRef& object, TimePoint now) {
  waiting.found.object = object;
  waiting.found.stale = elapsed(object->fresh_until(), now);
  waiting.found.age = elapsed(object->born(), now);
  waiting.found.answer = now < object->fresh_until() ? Answer::fresh : Answer::stale;
}

}  // namespace

// --- MemoryTier: how a lease ends

void MemoryTier::put(Flight& flight, const ObjectRef& object, const Head& head, Index index,
                     TimePoint now) {
  Shard& shard = shard_of(flight.hash);
  ObjectRef replaced;
  std::vector<WakerRef> woken;
  std::uint64_t right = 0;  // to copy it to the tier behind
  const std::uint64_t seq = invalidations_.now();
  {
    const std::scoped_lock lock(shard.mutex);
    const Verdict verdict =
        invalidations_.check(flight.space, flight.key, object->tags(), flight.since);
    const bool valid = flight.attached && verdict != Verdict::hard;
    Object& made = Shard::writable(object);
    if (verdict == Verdict::soft) Shard::soften(made, now);
    if (valid && index == Index::may && shard.slots.size() < Slots::kMost) {
      Shard::set_seq(made, seq);
      replaced = insert(shard, &made, flight.hash);
    } else {
      invalidations_.tags().give(made.tags());
      memory_.give(kIndexBytes);
      if (Body* body = made.body()) body->detach();
    }
    if (valid && behind_ != nullptr && !head.is_copy) {
      right = behind_->replaced(flight.hash, flight.space, flight.key,
                                verdict == Verdict::valid ? &made : nullptr);
    }
    shard.detach(flight);
    // Who came after an invalidation that may have met this load looks up anew; who was there before it may have the value.
    woken = settle(flight, [&](Waiting& waiting) {
      waiting.found.answer = Answer::again;
      if (made.kind() == Kind::bypass) {
        waiting.found.answer = Answer::bypass;
      } else if (waiting.arrived <= flight.since || valid) {
        give_object(waiting, object, now);
      }
    });
  }
  wake_all(std::move(woken));
  if (right != 0) behind_->copy(right, flight.hash, object, head.tags, seq);
}

Result<ObjectRef> MemoryTier::store(Flight& flight, const Head& head, std::string_view value,
                                    TimePoint now) {
  auto object = make(flight.space, flight.key, flight.hash, flight.since, head, value, nullptr,
                     elapsed(flight.began, now), now);
  if (!object) {
    uncacheable(flight, Duration::zero(), now);
    return object;
  }
  const bool small = flight.key.size() + head.metadata.size() + value.size() <= value_limit();
  put(flight, *object, head, small ? Index::may : Index::never, now);
  return object;
}

Result<Published> MemoryTier::publish(Flight& flight, const Head& head, TimePoint now) {
  if (!make_room(Body::own_bytes(), flight.hash, now)) {
    uncacheable(flight, Duration::zero(), now);
    return headroom::fail(Errc::overloaded, "no room in the cache");
  }
  auto* const body = new Body(memory_);
  body->weight = Body::own_bytes();
  auto object = make(flight.space, flight.key, flight.hash, flight.since, head, {}, body,
                     elapsed(flight.began, now), now);
  if (!object) {
    Body::release(body);
    uncacheable(flight, Duration::zero(), now);
    return pass(object);
  }
  const bool small = head.size.value_or(0) + head.metadata.size() <= value_limit();
  put(flight, *object, head, small ? Index::may : Index::never, now);
  Shard::share(Shard::writable(*object));
  Filler filler(*this, ObjectRef(memory_, &Shard::writable(*object), nullptr), head.size);
  return Published{std::move(filler), std::move(*object)};
}

Result<ObjectRef> MemoryTier::renew(Flight& flight, const Head& head, TimePoint now) {
  const ObjectRef& old = flight.stale;
  Body* const body = old ? old->body() : nullptr;
  if (!old || old.state() != BodyState::whole || (body != nullptr && body->detached())) {
    uncacheable(flight, Duration::zero(), now);
    return headroom::fail(Errc::conflict, "there is no whole body to renew");
  }
  Head renewed = head;
  renewed.raw_size = old->raw_size();
  if (body != nullptr) body->share();
  Forms* const forms = old->forms();
  if (forms != nullptr) forms->share();
  auto object = make(flight.space, flight.key, flight.hash, flight.since, renewed, old->stored(),
                     body, elapsed(flight.began, now), now, forms);
  if (!object) {
    if (body != nullptr) Body::release(body);
    if (forms != nullptr) Forms::release(forms);
    uncacheable(flight, Duration::zero(), now);
    return object;
  }
  put(flight, *object, renewed, Index::may, now);
  return object;
}

void MemoryTier::uncacheable(Flight& flight, Duration remember, TimePoint now) {
  if (remember > Duration::zero()) {
    const Head head{.lifetimes = {.ttl = remember}, .kind = Kind::bypass};
    auto marker =
        make(flight.space, flight.key, flight.hash, flight.since, head, {}, nullptr, {}, now);
    if (marker) return put(flight, *marker, head, Index::may, now);
  }
  Shard& shard = shard_of(flight.hash);
  std::vector<WakerRef> woken;
  {
    const std::scoped_lock lock(shard.mutex);
    shard.detach(flight);
    woken = settle(flight, [](Waiting& waiting) { waiting.found.answer = Answer::bypass; });
  }
  wake_all(std::move(woken));
}

ObjectRef MemoryTier::servable_stale(Shard& shard, Flight& flight, TimePoint now) {
  if (!flight.stale || now >= flight.stale->error_until() || flight.stale->kind() == Kind::bypass)
    return {};
  const Slot slot = shard.slots.find(flight.hash, flight.space, flight.key);
  const bool same = slot != 0 && &shard.object(slot) == &*flight.stale;
  if (!same || dead(shard, slot, now, invalidations_.now())) return {};
  return flight.stale;
}

ObjectRef MemoryTier::fail(const std::shared_ptr<Flight>& flight, const Error& error,
                           TimePoint now) {
  Shard& shard = shard_of(flight->hash);
  ObjectRef stale;
  std::vector<WakerRef> woken;
  {
    const std::scoped_lock lock(shard.mutex);
    stale = servable_stale(shard, *flight, now);
    const bool attached = flight->attached;
    if (attached && !stale && flight->waiters > 0 && ++flight->failures < kMostFailures) {
      flight->since = invalidations_.now();
      flight->began = now;
      const auto next =
          std::ranges::find_if(flight->waiting, [](const auto& w) { return !w->left; });
      Waiting& heir = **next;
      heir.found.answer = Answer::fill;
      heir.found.lease = Lease(*this, flight);
      heir.done = true;
      if (heir.waker) woken.push_back(std::move(heir.waker));
      --flight->waiters;
      flight->waiting.erase(next);
    } else {
      shard.detach(*flight);
      woken = settle(*flight, [&](Waiting& waiting) {
        waiting.found.answer = Answer::again;
        if (stale) {
          give_object(waiting, stale, now);
        } else if (attached) {
          waiting.error = error;
        }
      });
    }
  }
  wake_all(std::move(woken));
  return stale;
}

Ticket MemoryTier::join(const std::shared_ptr<Flight>& flight, std::uint64_t arrived) {
  auto waiting = std::make_shared<Waiting>();
  waiting->arrived = arrived;
  const std::scoped_lock lock(shard_of(flight->hash).mutex);
  flight->waiting.push_back(waiting);
  ++flight->waiters;
  return {*this, flight, std::move(waiting)};
}

std::optional<Result<Found>> MemoryTier::outcome(Flight& flight, Waiting& waiting,
                                                 const WakerRef& waker) {
  const std::scoped_lock lock(shard_of(flight.hash).mutex);
  if (!waiting.done) {
    waiting.waker = waker;
    return std::nullopt;
  }
  if (waiting.error) return Result<Found>(std::unexpected(*waiting.error));
  return Result<Found>(std::move(waiting.found));
}

void MemoryTier::leave(Flight& flight, Waiting& waiting) {
  Found unread;  // may hold a lease: it passes on, outside the lock
  const std::scoped_lock lock(shard_of(flight.hash).mutex);
  if (!waiting.done && !waiting.left) --flight.waiters;
  waiting.left = true;
  waiting.waker.reset();
  unread = std::move(waiting.found);
}

// --- MemoryTier: bodies that grow

void MemoryTier::grow(const ObjectRef& object, std::uint64_t bytes) {
  Body* const body = object->body();
  const std::uint64_t hash = hash_of(object->space(), object->key(), seed_);
  if (!body->detached()) {
    const bool small = body->size() < value_limit();
    if (small && make_room(bytes, hash, latest_.load(std::memory_order_relaxed))) {
      Shard& shard = shard_of(hash);
      const std::scoped_lock lock(shard.mutex);
      const Slot slot = shard.slots.find(hash, object->space(), object->key());
      if (slot == 0 || &shard.object(slot) != &*object) return;
      body->weight += bytes;
      shard.policy.grew(slot, bytes);
      shard.bytes.store(shard.policy.bytes(), std::memory_order_relaxed);
      shard.use[object->cls() % kClasses].bytes += bytes;
      shard.use_of_space(*object).bytes += bytes;
      return;
    }
    drop(*object, small ? Removal::capacity : Removal::too_large);
  }
  memory_.charge(bytes);
}

void MemoryTier::drop(const Object& object, Removal cause) {
  const std::uint64_t hash = hash_of(object.space(), object.key(), seed_);
  Shard& shard = shard_of(hash);
  ObjectRef dropped;
  const std::scoped_lock lock(shard.mutex);
  const Slot slot = shard.slots.find(hash, object.space(), object.key());
  if (slot != 0 && &shard.object(slot) == &object) dropped = unlink(shard, slot, cause);
}

// --- Filler

Filler& Filler::operator=(Filler&& other) noexcept {
  if (this != &other) {
    fail("the fill was given up");
    tier_ = other.tier_;
    object_ = std::move(other.object_);
    expected_ = other.expected_;
  }
  return *this;
}

void Filler::add_chunk() {
  Body* const body = object_->body();
  const std::uint64_t size = body->size();
  const std::uint64_t left =
      expected_.value_or(0) > size ? *expected_ - size : std::max(size, kLeastChunk);
  const auto capacity = static_cast<std::uint32_t>(std::min(left, kMostChunk));
  tier_->grow(object_, Body::chunk_bytes(capacity));
  body->add_chunk(capacity);
}

void Filler::append(std::string_view bytes) {
  Body* const body = object_->body();
  while (!bytes.empty()) {
    std::span<char> space = body->space();
    if (space.empty()) {
      add_chunk();
      space = body->space();
    }
    const std::size_t size = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), size);
    body->commit(size);
    bytes.remove_prefix(size);
  }
}

net::Task<Result<>> Filler::room(net::TaskGroup& group, TimePoint deadline) {
  Body* const body = object_->body();
  if (!body->detached() || body->held() <= Body::kWindow) co_return Result<>{};
  Sleeper sleeper(group);
  while (!body->has_room_or_watch(sleeper.waker())) {
    auto slept = co_await sleeper.sleep(deadline);
    if (!slept) co_return pass(slept);
  }
  co_return Result<>{};
}

bool Filler::wanted() const { return Shard::in_use(*object_); }

void Filler::finish() {
  object_->body()->end(BodyState::whole, {});
  object_ = {};
}

void Filler::fail(std::string reason) {
  if (!object_) return;
  tier_->drop(*object_, Removal::failed);
  object_->body()->end(BodyState::failed, std::move(reason));
  object_ = {};
}

// --- Lease

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    end();
    tier_ = other.tier_;
    flight_ = std::move(other.flight_);
  }
  return *this;
}

Space Lease::space() const { return flight_->space; }
const std::string& Lease::key() const { return flight_->key; }
const ObjectRef& Lease::stale() const { return flight_->stale; }
std::uint64_t Lease::since() const { return flight_->since; }

bool Lease::is_awaited() const {
  const std::scoped_lock lock(tier_->shard_of(flight_->hash).mutex);
  return flight_->waiters > 0;
}

Ticket Lease::wait_too() { return tier_->join(flight_, flight_->since); }

Result<Published> Lease::publish(const Head& head, TimePoint now) {
  const auto flight = std::move(flight_);
  return tier_->publish(*flight, head, now);
}

Result<ObjectRef> Lease::store(const Head& head, std::string_view value, TimePoint now) {
  const auto flight = std::move(flight_);
  return tier_->store(*flight, head, value, now);
}

Result<ObjectRef> Lease::renew(const Head& head, TimePoint now) {
  const auto flight = std::move(flight_);
  return tier_->renew(*flight, head, now);
}

void Lease::uncacheable(Duration remember, TimePoint now) {
  const auto flight = std::move(flight_);
  tier_->uncacheable(*flight, remember, now);
}

ObjectRef Lease::fail(const Error& error, TimePoint now) {
  const auto flight = std::move(flight_);
  return tier_->fail(flight, error, now);
}

void Lease::end() {
  if (flight_ == nullptr) return;
  const TimePoint began = flight_->began;
  static_cast<void>(fail({Errc::unavailable, "the fill was given up"}, began));
}

// --- Ticket

Ticket& Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    leave();
    tier_ = other.tier_;
    flight_ = std::move(other.flight_);
    waiting_ = std::move(other.waiting_);
  }
  return *this;
}

net::Task<Result<Found>> Ticket::wait(net::TaskGroup& group, TimePoint deadline) {
  Sleeper sleeper(group);
  while (true) {
    if (auto outcome = tier_->outcome(*flight_, *waiting_, sleeper.waker()))
      co_return std::move(*outcome);
    auto slept = co_await sleeper.sleep(deadline);
    if (slept) continue;
    auto late = tier_->outcome(*flight_, *waiting_, nullptr);
    if (late) co_return std::move(*late);
    co_return pass(slept);
  }
}

ObjectRef Ticket::stale() const {
  Shard& shard = tier_->shard_of(flight_->hash);
  const std::scoped_lock lock(shard.mutex);
  return tier_->servable_stale(shard, *flight_, flight_->began);
}

void Ticket::leave() {
  if (flight_ == nullptr) return;
  tier_->leave(*flight_, *waiting_);
  flight_.reset();
  waiting_.reset();
}

}  // namespace headroom::cache
