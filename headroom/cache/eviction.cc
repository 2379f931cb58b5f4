#include "headroom/cache/eviction.h"

#include <algorithm>

namespace headroom::cache {

std::uint64_t weight_of(const Object& object) {
  const Body* body = object.body();
  return object.bytes() + (body == nullptr ? 0 : body->weight);
}

void S3Fifo::move(Slot slot, unsigned to) {
  const std::uint64_t weight = weight_of(*slots_.object(slot));
  slots_.unlink(lists_[slots_.list(slot)], slot, weight);
  slots_.set_list(slot, to);
  slots_.push(lists_[to], slot, weight);
}

void S3Fifo::resize_ghost() {
  std::vector<std::uint32_t> larger(ghost_.size() * 2);
  for (std::size_t i = 0; i < larger.size(); ++i) larger[i] = ghost_[i & (ghost_.size() - 1)];
  ghost_ = std::move(larger);
}

void S3Fifo::inserted(Slot slot, std::uint64_t hash) {
  if (slots_.size() > ghost_.size()) resize_ghost();
  std::uint32_t& cell = ghost_cell(hash);
  const auto age = static_cast<std::uint16_t>(ghost_clock_ - cell);
  const bool came_back = cell != 0 && (cell >> 16U) == slots_.fragment(slot) && age <= slots_.size();
  if (came_back) cell = 0;
  const unsigned to = came_back ? kMain : kSmall;
  slots_.set_list(slot, to);
  slots_.push(lists_[to], slot, weight_of(*slots_.object(slot)));
}

Slot S3Fifo::victim() {
  while (true) {
    const bool small = lists_[kSmall].count > 0 && (lists_[kSmall].bytes * 10 >= bytes() || lists_[kMain].count == 0);
    const Slot slot = lists_[small ? kSmall : kMain].tail;
    if (slot == 0) return 0;
    const unsigned uses = slots_.uses(slot);
    if (small ? uses < 2 : uses == 0) return slot;
    slots_.set_uses(slot, small ? 0 : uses - 1);
    move(slot, kMain);
  }
}

void S3Fifo::spare(Slot slot) { move(slot, kMain); }

void S3Fifo::evicted(Slot slot) {
  if (slots_.list(slot) != kSmall) return;
  const Object& object = *slots_.object(slot);
  ++ghost_clock_;
  ghost_cell(hash_of(object.space(), object.key(), seed_)) = (std::uint32_t{slots_.fragment(slot)} << 16U) | (ghost_clock_ & 0xffffU);
}

void TinyLfu::move(Slot slot, unsigned to) {
  const std::uint64_t weight = weight_of(*slots_.object(slot));
  slots_.unlink(lists_[slots_.list(slot)], slot, weight);
  slots_.set_list(slot, to);
  slots_.push(lists_[to], slot, weight);
}

void TinyLfu::inserted(Slot slot, std::uint64_t hash) {
  count(hash);
  slots_.set_list(slot, kWindow);
  slots_.push(lists_[kWindow], slot, weight_of(*slots_.object(slot)));
}

void TinyLfu::touched(Slot slot, std::uint64_t hash) {
  count(hash);
  move(slot, slots_.list(slot) == kWindow ? kWindow : kProtected);
  balance();
}

void TinyLfu::balance() {
  const std::uint64_t main = lists_[kProbation].bytes + lists_[kProtected].bytes;
  while (lists_[kProtected].bytes * 5 > main * 4 && lists_[kProtected].count > 1) move(lists_[kProtected].tail, kProbation);
}

Slot TinyLfu::victim() {
  // What came while there was room for all goes to the main part uncontested.
  while (lists_[kWindow].bytes * 4 > bytes() && lists_[kWindow].count > 1) move(lists_[kWindow].tail, kProbation);
  const Slot resident = lists_[lists_[kProbation].count > 0 ? kProbation : kProtected].tail;
  const Slot candidate = lists_[kWindow].tail;
  if (resident == 0) return candidate;
  if (candidate == 0 || lists_[kWindow].bytes * 5 <= bytes()) return resident;
  const unsigned newer = frequency(candidate);
  const unsigned older = frequency(resident);
  // Now and then a loser stays, so that nobody can pin the cache by asking for a few keys for ever.
  if (newer <= older && !(newer > 5 && random_.below(128) == 0)) return candidate;
  move(candidate, kProbation);
  return resident;
}

namespace {

// Four of the sixteen counters of a word, one in each quarter.
std::array<unsigned, 4> counters_of(std::uint64_t hash) {
  std::array<unsigned, 4> shifts{};
  for (unsigned i = 0; i < 4; ++i) shifts[i] = (i * 4 + ((hash >> (i * 2U)) & 3U)) * 4;
  return shifts;
}

}  // namespace

void TinyLfu::count(std::uint64_t hash) {
  if (slots_.size() > sketch_.size() * kEntriesPerWord) sketch_.resize(sketch_.size() * 2);
  std::uint64_t& word = sketch_[(hash >> 8U) & (sketch_.size() - 1)];
  for (const unsigned shift : counters_of(hash)) {
    if (((word >> shift) & 15U) < 15) word += std::uint64_t{1} << shift;
  }
  if (++counted_ >= 10 * (slots_.size() + 64)) age();
}

void TinyLfu::age() {
  for (std::uint64_t& word : sketch_) word = (word >> 1U) & 0x7777777777777777ULL;
  counted_ /= 2;
}

unsigned TinyLfu::frequency(std::uint64_t hash) const {
  const std::uint64_t word = sketch_[(hash >> 8U) & (sketch_.size() - 1)];
  unsigned least = 15;
  for (const unsigned shift : counters_of(hash)) least = std::min(least, static_cast<unsigned>((word >> shift) & 15U));
  return least;
}

unsigned TinyLfu::frequency(Slot slot) const {
  const Object& object = *slots_.object(slot);
  return frequency(hash_of(object.space(), object.key(), seed_));
}

}  // namespace headroom::cache
