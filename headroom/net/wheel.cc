#include "headroom/net/wheel.h"

#include <algorithm>
#include <utility>

namespace headroom::net {

void WheelEntry::set(TimePoint due) {
  due_ = due;
  if (due == kNever) return;
  const std::int64_t tick = wheel_.tick_of(due);
  if (link_ != nullptr) {
    if (linked_tick_ <= tick) return;  // its slot comes round in time and moves it on
    unlink();
  }
  wheel_.link(*this, tick);
}

void WheelEntry::unlink() {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  link_ = nullptr;
  next_ = nullptr;
  --wheel_.linked_;
}

Wheel::Wheel(TimePoint now) : start_(now) {}

std::int64_t Wheel::tick_of(TimePoint due) const {
  const Duration ahead = elapsed(start_, due);
  return std::max((ahead + kTick - Duration(1)) / kTick, tick_ + 1);
}

void Wheel::link(WheelEntry& entry, std::int64_t tick) {
  // A due time beyond one turn waits in the farthest slot and is moved on from there.
  tick = std::min(tick, tick_ + static_cast<std::int64_t>(kSlots) - 1);
  WheelEntry*& slot = slots_[static_cast<std::size_t>(tick) % kSlots];
  entry.linked_tick_ = tick;
  entry.next_ = slot;
  entry.link_ = &slot;
  if (slot != nullptr) slot->link_ = &entry.next_;
  slot = &entry;
  ++linked_;
}

void Wheel::begin_slot(std::size_t slot) {
  begun_ = std::exchange(slots_[slot], nullptr);
  if (begun_ != nullptr) begun_->link_ = &begun_;
}

void Wheel::run_begun() {
  // Entries may end, or set themselves again, while one of them expires: the list is taken apart from its head.
  while (begun_ != nullptr) {
    WheelEntry& entry = *begun_;
    entry.unlink();
    if (entry.due_ == kNever) continue;
    const std::int64_t tick = tick_of(entry.due_);
    if (tick > tick_ + 1 || entry.due_ > start_ + tick_ * kTick) {
      link(entry, tick);
    } else {
      entry.due_ = kNever;
      entry.expired();
    }
  }
}

void Wheel::advance(TimePoint now) {
  const std::int64_t target = elapsed(start_, now) / kTick;
  if (linked_ == 0) tick_ = std::max(tick_, target);
  run_begun();
  while (tick_ < target) {
    ++tick_;
    begin_slot(static_cast<std::size_t>(tick_) % kSlots);
    run_begun();
  }
}

}  // namespace headroom::net
