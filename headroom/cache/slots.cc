#include "headroom/cache/slots.h"

#include "headroom/base/assert.h"

namespace headroom::cache {
namespace {

constexpr std::size_t kFirstTable = 64;

// By an eighth: doubling would leave a quarter of the memory unused on average.
template <class T>
void append(std::vector<T>& to, T value) {
  if (to.size() == to.capacity()) to.reserve(to.size() + to.size() / 8 + 16);
  to.push_back(value);
}

}  // namespace

Slots::Slots() : mask_(kFirstTable - 1), table_(kFirstTable), words_(1), next_(1), previous_(1) {}

void Slots::place(Slot slot) {
  std::size_t i = fragment(slot) & mask_;
  while (table_[i] != 0) i = next_cell(i);
  table_[i] = slot;
}

void Slots::grow() {
  const std::vector<Slot> old = std::move(table_);
  mask_ = mask_ * 2 + 1;
  table_ = std::vector<Slot>(mask_ + 1);
  for (const Slot slot : old) {
    if (slot != 0) place(slot);
  }
}

Slot Slots::insert(Object* object, std::uint64_t hash) {
  HR_ASSERT(count_ < kMost);
  if ((count_ + 1) * 8 > (mask_ + 1) * 7 && mask_ < 0xffff) grow();
  Slot slot = free_;
  if (slot != 0) {
    free_ = next_[slot];
  } else {
    slot = static_cast<Slot>(words_.size());
    append<std::uint64_t>(words_, 0);
    append<Slot>(next_, 0);
    append<Slot>(previous_, 0);
  }
  words_[slot] =
      (reinterpret_cast<std::uint64_t>(object) << 16U) | (std::uint64_t{cut(hash)} << 4U);
  ++count_;
  place(slot);
  return slot;
}

void Slots::erase(Slot slot) {
  std::size_t hole = fragment(slot) & mask_;
  while (table_[hole] != slot) hole = next_cell(hole);
  // Moves back what would not be found across the hole (Knuth, volume 3, algorithm 6.4R).
  for (std::size_t i = next_cell(hole); table_[i] != 0; i = next_cell(i)) {
    const std::size_t wanted = fragment(table_[i]) & mask_;
    if (((i - wanted) & mask_) < ((i - hole) & mask_)) continue;
    table_[hole] = table_[i];
    hole = i;
  }
  table_[hole] = 0;
  words_[slot] = 0;
  next_[slot] = free_;
  free_ = slot;
  --count_;
}

void Slots::push(List& list, Slot slot, std::uint64_t bytes) {
  next_[slot] = list.head;
  previous_[slot] = 0;
  (list.head == 0 ? list.tail : previous_[list.head]) = slot;
  list.head = slot;
  ++list.count;
  list.bytes += bytes;
}

void Slots::unlink(List& list, Slot slot, std::uint64_t bytes) {
  (previous_[slot] == 0 ? list.head : next_[previous_[slot]]) = next_[slot];
  (next_[slot] == 0 ? list.tail : previous_[next_[slot]]) = previous_[slot];
  --list.count;
  list.bytes -= bytes;
}

}  // namespace headroom::cache
