#include "headroom/limit/subjects.h"

#include <algorithm>
#include <bit>
#include <new>

#include "headroom/base/assert.h"

namespace headroom::limit {
namespace {

constexpr std::uint32_t kChunk = 32;         // slots made at a time
constexpr std::size_t kLeastOfAShard = 256;  // fewer are not worth a lock of their own
constexpr std::size_t kMostShards = 64;
constexpr std::uint32_t kSharedPart = 16;
constexpr int kLooked = 4;  // of the longest unused, for one whose history has expired

std::size_t slot_bytes(const std::vector<Budget>& budgets) {
  std::size_t state = 0;
  for (const Budget& budget : budgets) state = std::max(state, budget.state_bytes());
  return sizeof(Subjects::Slot) + (state + 7) / 8 * 8;
}

}  // namespace

Subjects::Subjects(std::vector<Budget> budgets, std::size_t capacity)
    : budgets_(std::move(budgets)),
      capacity_(capacity),
      slot_bytes_(slot_bytes(budgets_)),
      shard_count_(
          std::clamp(std::bit_floor(capacity / kLeastOfAShard), std::size_t{1}, kMostShards)),
      shards_(std::make_unique<Shard[]>(shard_count_)) {
  const std::size_t each = (capacity + shard_count_ - 1) / shard_count_;
  for (std::size_t i = 0; i < shard_count_; ++i)
    shards_[i].prepare(*this, static_cast<std::uint32_t>(each));
}

std::size_t Subjects::bytes_at_most() const {
  const Shard& shard = shards_[0];
  const std::size_t slots = shard.capacity_ + std::size_t{shard.shared_} + kChunk - 1;
  return shard_count_ *
         (sizeof(Shard) + slots * slot_bytes_ + shard.places_.size() * sizeof(Shard::Place) +
          shard.links_.size() * sizeof(Shard::Link));
}

void Subjects::visit(const std::function<void(Slot&)>& look) {
  for (std::size_t i = 0; i < shard_count_; ++i) {
    Shard& shard = shards_[i];
    const std::scoped_lock lock(shard.mutex);
    for (std::uint32_t slot = 0; slot < shard.size_; ++slot) look(shard.at(slot));
    for (std::uint32_t slot = shard.capacity_; slot < shard.capacity_ + shard.shared_; ++slot) {
      if (shard.chunks_[slot / kChunk] && shard.at(slot).shared) look(shard.at(slot));
    }
  }
}

void Subjects::Shard::prepare(const Subjects& owner, std::uint32_t capacity) {
  owner_ = &owner;
  capacity_ = capacity;
  shared_ =
      std::max(1U, capacity / kSharedPart) * static_cast<std::uint32_t>(owner.budgets_.size());
  places_.resize(std::bit_ceil(std::size_t{capacity} * 2));
  links_.resize(capacity);
  chunks_.resize((capacity_ + shared_ + kChunk - 1) / kChunk);
}

Subjects::Slot* Subjects::Shard::find(const Subject& subject, TimePoint now) {
  if (const std::uint32_t slot = lookup(subject.key); slot != kNone) return &at(slot);
  const bool room = has_room(now);
  if (room && !crowded_) return nullptr;
  Slot& shared = shared_slot(subject);
  const bool counts = !owner_->budgets_[subject.tier].idle(shared.state(), now);
  return counts || !room ? &shared : nullptr;
}

Subjects::Slot& Subjects::Shard::settle(Slot* found, const Subject& subject, TimePoint now,
                                        Room& room) {
  room = Room::free;
  if (found == nullptr) return make(subject, now, room);
  const Budget& budget = owner_->budgets_[subject.tier];
  if (!found->shared || budget.kind() == Budget::Kind::concurrency || !has_room(now)) return *found;
  Slot& made = make(subject, now, room);
  std::copy_n(found->state(), budget.state_bytes(), made.state());
  return made;
}

Subjects::Slot& Subjects::Shard::make(const Subject& subject, TimePoint now, Room& room) {
  std::uint32_t slot = size_;
  if (size_ < capacity_) {
    room = Room::free;
    ++size_;
    owner_->size_.fetch_add(1, std::memory_order_relaxed);
  } else {
    room = Room::evicted;
    slot = idle_slot(now);
    HR_ASSERT(slot != kNone);
    unlink(slot);
    remove(at(slot).key);
  }
  Slot& made = begin(slot, subject);
  enter(subject.key, slot);
  link_newest(slot);
  return made;
}

void Subjects::Shard::used(Slot& slot) {
  if (slot.shared) return;
  if (newest_ == slot.index) return;
  unlink(slot.index);
  link_newest(slot.index);
}

void Subjects::Shard::unused(Slot& slot) {
  if (slot.shared) return;
  unlink(slot.index);
  link_oldest(slot.index);
}

std::uint32_t Subjects::Shard::lookup(std::uint64_t key) {
  const std::size_t mask = places_.size() - 1;
  const auto low = static_cast<std::uint32_t>(key);
  for (std::size_t i = low & mask; places_[i].slot != kNone; i = (i + 1) & mask) {
    if (places_[i].low == low && at(places_[i].slot).key == key) return places_[i].slot;
  }
  return kNone;
}

std::uint32_t Subjects::Shard::idle_slot(TimePoint now) {
  std::uint32_t index = oldest_;
  for (int looked = 0; looked < kLooked && index != kNone; ++looked) {
    Slot& slot = at(index);
    if (owner_->budgets_[slot.tier].idle(slot.state(), now)) return index;
    index = links_[index].newer;
  }
  return kNone;
}

Subjects::Slot& Subjects::Shard::shared_slot(const Subject& subject) {
  const auto tiers = static_cast<std::uint32_t>(owner_->budgets_.size());
  const auto group = static_cast<std::uint32_t>((subject.key >> 8U) % (shared_ / tiers));
  const std::uint32_t index = capacity_ + group * tiers + subject.tier;
  Slot& slot = at(index);
  if (!slot.shared) {
    begin(index, {.key = subject.key, .label = "(shared)", .tier = subject.tier});
    slot.shared = true;
    crowded_ = true;
  }
  return slot;
}

Subjects::Slot& Subjects::Shard::at(std::uint32_t slot) {
  auto& chunk = chunks_[slot / kChunk];
  if (!chunk) {
    chunk = std::make_unique<std::byte[]>(kChunk * owner_->slot_bytes_);
    for (std::uint32_t i = 0; i < kChunk; ++i) new (chunk.get() + i * owner_->slot_bytes_) Slot;
  }
  return *std::launder(reinterpret_cast<Slot*>(chunk.get() + slot % kChunk * owner_->slot_bytes_));
}

Subjects::Slot& Subjects::Shard::begin(std::uint32_t index, const Subject& subject) {
  Slot& slot = at(index);
  slot = Slot{.key = subject.key, .index = index, .tier = subject.tier};
  slot.label_size = static_cast<std::uint8_t>(std::min(subject.label.size(), slot.label.size()));
  std::copy_n(subject.label.data(), slot.label_size, slot.label.data());
  owner_->budgets_[subject.tier].begin(slot.state());
  return slot;
}

void Subjects::Shard::enter(std::uint64_t key, std::uint32_t slot) {
  const std::size_t mask = places_.size() - 1;
  std::size_t i = key & mask;
  while (places_[i].slot != kNone) i = (i + 1) & mask;
  places_[i] = {.slot = slot, .low = static_cast<std::uint32_t>(key)};
}

// Moves those behind it that would rather stand here (Knuth, vol. 3, 6.4, algorithm R).
void Subjects::Shard::remove(std::uint64_t key) {
  const std::size_t mask = places_.size() - 1;
  std::size_t hole = key & mask;
  while (places_[hole].low != static_cast<std::uint32_t>(key) || at(places_[hole].slot).key != key)
    hole = (hole + 1) & mask;
  for (std::size_t i = (hole + 1) & mask; places_[i].slot != kNone; i = (i + 1) & mask) {
    const std::size_t home = places_[i].low & mask;
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    places_[hole] = places_[i];
    hole = i;
  }
  places_[hole] = {};
}

void Subjects::Shard::unlink(std::uint32_t slot) {
  const Link link = links_[slot];
  (link.older == kNone ? oldest_ : links_[link.older].newer) = link.newer;
  (link.newer == kNone ? newest_ : links_[link.newer].older) = link.older;
}

void Subjects::Shard::link_newest(std::uint32_t slot) {
  links_[slot] = {.older = newest_, .newer = kNone};
  (newest_ == kNone ? oldest_ : links_[newest_].newer) = slot;
  newest_ = slot;
}

void Subjects::Shard::link_oldest(std::uint32_t slot) {
  links_[slot] = {.older = kNone, .newer = oldest_};
  (oldest_ == kNone ? newest_ : links_[oldest_].older) = slot;
  oldest_ = slot;
}

}  // namespace headroom::limit
