#include "headroom/cache/object.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "headroom/base/assert.h"

namespace headroom::cache {
namespace {

constexpr unsigned kSignificant = 11;
// So that a moment before the clock's zero (an Age of days) can be kept.
constexpr std::int64_t kEarliestMs = -(std::int64_t{1} << 38U);
constexpr std::int64_t kLatestMs = kEarliestMs + (std::int64_t{1} << 40U) - 1;

std::int64_t whole_ms(Duration span) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
}

void* allocate(std::size_t bytes) {
  void* memory = std::malloc(bytes);  // NOLINT: blocks of our own layout
  HR_ASSERT(memory != nullptr);
  return memory;
}

std::size_t extra_bytes(const Object::Init& init) {
  return !init.metadata.empty() || init.raw_size != 0 ? sizeof(Object::Extra) : 0;
}

std::size_t block_bytes(const Object::Init& init) {
  return sizeof(Object) + (init.body != nullptr ? sizeof(Body*) : 0U) +
         (init.forms != nullptr ? sizeof(Forms*) : 0U) + extra_bytes(init) +
         init.tags.size_bytes() + init.key.size() + init.metadata.size() + init.value.size();
}

}  // namespace

std::string_view to_string(Space space) {
  switch (space) {
    case Space::app: return "app";
    case Space::http: return "http";
    case Space::sql: return "sql";
  }
  return "?";
}

Span16::Span16(Duration span) {
  const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(whole_ms(span), 0));
  const auto width = static_cast<unsigned>(std::bit_width(ms));
  if (width <= kSignificant) {
    bits_ = static_cast<std::uint16_t>(ms);
    return;
  }
  const unsigned shift = width - kSignificant - 1;
  if (shift + 1 > 31) {
    bits_ = std::numeric_limits<std::uint16_t>::max();
    return;
  }
  const std::uint64_t low = (ms >> shift) & ((1U << kSignificant) - 1);
  bits_ = static_cast<std::uint16_t>(((shift + 1U) << kSignificant) | low);
}

Duration Span16::value() const {
  const unsigned exponent = bits_ >> kSignificant;
  const std::uint64_t low = bits_ & ((1U << kSignificant) - 1);
  if (exponent == 0) return std::chrono::milliseconds(low);
  return std::chrono::milliseconds(((1ULL << kSignificant) + low) << (exponent - 1));
}

std::size_t Object::bytes_for(const Init& init) { return heap_bytes(block_bytes(init)); }

Object* Object::make(const Init& init) {
  auto* object = new (allocate(block_bytes(init))) Object();
  object->key_size_ = static_cast<std::uint16_t>(init.key.size());
  object->tag_count_ = static_cast<std::uint8_t>(init.tags.size());
  object->space_ = init.space;
  object->kind_ = init.kind;
  object->codec_ = init.codec;
  object->has_body_ = init.body != nullptr;
  object->has_forms_ = init.forms != nullptr;
  object->has_extra_ = extra_bytes(init) != 0;
  object->seq_ = Packed48(init.seq);
  const std::int64_t born_ms =
      std::clamp(whole_ms(init.born.time_since_epoch()), kEarliestMs, kLatestMs) - kEarliestMs;
  object->born_cls_ = Packed48((static_cast<std::uint64_t>(born_ms) << 8U) | init.cls);
  const auto ttl = std::clamp<std::int64_t>(whole_ms(init.lifetimes.ttl), 0,
                                            std::numeric_limits<std::uint32_t>::max());
  object->ttl_ms_ = static_cast<std::uint32_t>(ttl);
  object->value_size_ = static_cast<std::uint32_t>(init.value.size());
  object->stale_while_revalidate_ = Span16(init.lifetimes.stale_while_revalidate);
  object->stale_if_error_ = Span16(init.lifetimes.stale_if_error);
  object->keep_ = Span16(init.lifetimes.keep);
  object->load_time_ = Span16(init.load_time);

  auto* to = reinterpret_cast<char*>(object + 1);
  const auto put = [&to](const void* from, std::size_t size) {
    if (size != 0) std::memcpy(to, from, size);
    to += size;
  };
  if (init.body != nullptr) put(&init.body, sizeof init.body);
  if (init.forms != nullptr) put(&init.forms, sizeof init.forms);
  const Extra extra{static_cast<std::uint32_t>(init.metadata.size()), init.raw_size};
  put(&extra, extra_bytes(init));
  put(init.tags.data(), init.tags.size_bytes());
  put(init.key.data(), init.key.size());
  put(init.metadata.data(), init.metadata.size());
  put(init.value.data(), init.value.size());
  return object;
}

Object::Extra Object::extra() const {
  Extra extra;
  if (has_extra_) std::memcpy(&extra, tail() + addresses(), sizeof extra);
  return extra;
}

std::span<const TagId> Object::tags() const {
  return {reinterpret_cast<const TagId*>(tail() + tags_at()), tag_count_};
}

Body* Object::body() const {
  Body* body = nullptr;
  if (has_body_) std::memcpy(static_cast<void*>(&body), tail(), sizeof(Body*));
  return body;
}

Forms* Object::forms() const {
  Forms* forms = nullptr;
  if (has_forms_)
    std::memcpy(static_cast<void*>(&forms), tail() + (has_body_ ? sizeof(Body*) : 0U),
                sizeof(Forms*));
  return forms;
}

std::uint64_t Object::size() const { return has_body_ ? body()->size() : value_size_; }

TimePoint Object::born() const {
  return TimePoint(
      std::chrono::milliseconds(static_cast<std::int64_t>(born_cls_.value() >> 8U) + kEarliestMs));
}

TimePoint Object::kept_until() const {
  return fresh_until() +
         std::max({stale_while_revalidate_.value(), stale_if_error_.value(), keep_.value()});
}

std::size_t Object::bytes() const {
  return heap_bytes(sizeof(Object) + key_at() + key_size_ + extra().metadata_size + value_size_);
}

void Object::soften(TimePoint now) {
  const std::int64_t age = std::max<std::int64_t>(whole_ms(now - born()), 0);
  if (age < ttl_ms_) ttl_ms_ = static_cast<std::uint32_t>(age);
}

void Object::release(Object* object, Memory& memory) {
  if (object->refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  Body* body = object->body();
  Forms* forms = object->forms();
  const std::size_t bytes = object->bytes();
  object->~Object();
  std::free(object);  // NOLINT
  memory.give(bytes);
  if (body != nullptr) Body::release(body);
  if (forms != nullptr) Forms::release(forms);
}

Body::Body(Memory& memory) : memory_(memory) {
  tail_ =
      new (allocate(sizeof(Chunk))) Chunk();  // the empty beginning, so that there always is one
  tail_->body = this;
  tail_->refs = 2;
  head_ = tail_;
  held_ = chunk_bytes(0);
}

std::size_t Body::own_bytes() { return heap_bytes(sizeof(Body)) + chunk_bytes(0); }

Chunk* Body::begin() {
  const std::scoped_lock lock(mutex_);
  if (head_ != nullptr) head_->refs.fetch_add(1, std::memory_order_relaxed);
  return head_;
}

void Body::detach() {
  Chunk* head = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    if (state() != BodyState::growing) return;
    detached_.store(true, std::memory_order_release);
    head = std::exchange(head_, nullptr);
  }
  if (head != nullptr) release(head);
}

std::span<char> Body::space() {
  const std::uint32_t used = tail_->size.load(std::memory_order_relaxed);
  return {tail_->data() + used, tail_->capacity - used};
}

void Body::commit(std::size_t bytes) {
  tail_->size.store(tail_->size.load(std::memory_order_relaxed) + static_cast<std::uint32_t>(bytes),
                    std::memory_order_release);
  size_.store(size_.load(std::memory_order_relaxed) + bytes, std::memory_order_release);
  wake_readers();
}

void Body::add_chunk(std::uint32_t capacity) {
  auto* chunk = new (allocate(sizeof(Chunk) + capacity)) Chunk();
  chunk->capacity = capacity;
  chunk->body = this;
  chunk->refs = 2;  // the one before it, and tail_
  held_.fetch_add(chunk_bytes(capacity), std::memory_order_relaxed);
  tail_->next.store(chunk, std::memory_order_release);
  release(std::exchange(tail_, chunk));
}

void Body::wake_readers() {
  std::vector<WakerRef> readers;
  {
    const std::scoped_lock lock(mutex_);
    readers.swap(readers_);
  }
  for (WakerRef& reader : readers) wake(std::move(reader));
}

void Body::end(BodyState state, std::string reason) {
  {
    const std::scoped_lock lock(mutex_);
    reason_ = std::move(reason);
    state_.store(state, std::memory_order_release);
  }
  release(std::exchange(tail_, nullptr));
  wake_readers();
}

bool Body::has_room_or_watch(const WakerRef& waker) {
  const std::scoped_lock lock(mutex_);
  if (!detached() || held() <= kWindow) {
    filler_.reset();
    return true;
  }
  filler_ = waker;
  return false;
}

bool Body::watch(std::uint64_t seen, const WakerRef& waker) {
  const std::scoped_lock lock(mutex_);
  if (size() > seen || state() != BodyState::growing) return false;
  readers_.push_back(waker);
  return true;
}

std::string Body::reason() {
  const std::scoped_lock lock(mutex_);
  return reason_;
}

void Body::release(Chunk* chunk) {
  Body* const body = chunk->body;
  std::uint64_t freed = 0;
  while (chunk != nullptr && chunk->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    Chunk* const next = chunk->next.load(std::memory_order_relaxed);
    freed += chunk_bytes(chunk->capacity);
    chunk->~Chunk();
    std::free(chunk);  // NOLINT
    chunk = next;
  }
  if (freed == 0) return;
  body->memory_.give(freed);
  const std::uint64_t left = body->held_.fetch_sub(freed, std::memory_order_acq_rel) - freed;
  if (!body->detached() || left > kWindow) return;
  WakerRef filler;
  {
    const std::scoped_lock lock(body->mutex_);
    filler.swap(body->filler_);
  }
  if (filler) wake(std::move(filler));
}

void Body::release(Body* body) {
  if (body->refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (body->tail_ != nullptr) release(std::exchange(body->tail_, nullptr));
  if (body->head_ != nullptr) release(std::exchange(body->head_, nullptr));
  body->memory_.give(heap_bytes(sizeof(Body)));
  delete body;
}

ObjectRef::ObjectRef(const ObjectRef& other)
    : memory_(other.memory_), object_(other.object_), from_(other.from_) {
  if (object_ != nullptr) object_->refs_.fetch_add(1, std::memory_order_relaxed);
  if (from_ != nullptr) from_->refs.fetch_add(1, std::memory_order_relaxed);
}

void ObjectRef::drop() {
  if (from_ != nullptr) Body::release(from_);
  Object::release(object_, *memory_);
}

BodyState ObjectRef::state() const {
  const Body* body = object_->body();
  return body == nullptr ? BodyState::whole : body->state();
}

std::string ObjectRef::copy() const {
  if (state() != BodyState::whole) return {};
  if (object_->body() == nullptr) return std::string(object_->stored());
  std::string whole;
  if (from_ == nullptr) return whole;
  whole.reserve(object_->size());
  for (Chunk* chunk = from_; chunk != nullptr;
       chunk = chunk->next.load(std::memory_order_acquire)) {
    whole.append(chunk->data(), chunk->size.load(std::memory_order_acquire));
  }
  return whole;
}

Reader::Reader(net::TaskGroup& group, ObjectRef object)
    : group_(group), object_(std::move(object)), chunk_(std::exchange(object_.from_, nullptr)) {
  HR_ASSERT((chunk_ != nullptr) == (object_->body() != nullptr));
}

Reader::~Reader() {
  if (chunk_ != nullptr) Body::release(chunk_);
}

std::string_view Reader::available() {
  if (chunk_ == nullptr) return object_->stored().substr(at_);
  while (at_ == chunk_->size.load(std::memory_order_acquire)) {
    Chunk* const next = chunk_->next.load(std::memory_order_acquire);
    // A chunk that has a next one grows no more; look once again at what came between the two loads.
    if (next == nullptr || at_ != chunk_->size.load(std::memory_order_acquire)) break;
    next->refs.fetch_add(1, std::memory_order_relaxed);
    Body::release(std::exchange(chunk_, next));
    at_ = 0;
  }
  return {chunk_->data() + at_, chunk_->size.load(std::memory_order_acquire) - at_};
}

void Reader::consume(std::size_t bytes) {
  at_ += bytes;
  read_ += bytes;
}

std::optional<Result<bool>> Reader::poll() {
  const BodyState state = object_.state();  // before looking for bytes: what ended has all of them
  if (!available().empty()) return Result<bool>(true);
  if (state == BodyState::whole) return Result<bool>(false);
  if (state == BodyState::failed)
    return Result<bool>(fail(Errc::unavailable, object_->body()->reason()));
  return std::nullopt;
}

net::Task<Result<bool>> Reader::wait(TimePoint deadline) {
  if (auto now = poll()) co_return std::move(*now);
  Sleeper sleeper(group_);
  while (true) {
    if (auto now = poll()) co_return std::move(*now);
    if (!object_->body()->watch(read_, sleeper.waker())) continue;
    auto slept = co_await sleeper.sleep(deadline);
    if (!slept) co_return pass(slept);
  }
}

}  // namespace headroom::cache
