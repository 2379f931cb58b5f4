#include "headroom/cache/eviction.h"

namespace headroom::cache {
namespace {
constexpr int kMostRounds =
    128;  // given in one search, so that the lock stays short where everybody is popular
}

std::uint64_t weight_of(const Object& object) {
  const Body* body = object.body();
  const Forms* forms = object.forms();
  return object.bytes() + (body == nullptr ? 0 : body->weight) +
         (forms == nullptr ? 0 : forms->weight);
}

void Eviction::move(Slot slot, unsigned to) {
  const std::uint64_t weight = weight_of(*slots_.object(slot));
  slots_.unlink(lists_[slots_.list(slot)], slot, weight);
  slots_.set_list(slot, to);
  slots_.push(lists_[to], slot, weight);
}

void Eviction::resize_ghost() {
  std::vector<std::uint16_t> larger(ghost_.size() * 2);
  for (std::size_t i = 0; i < larger.size(); ++i) larger[i] = ghost_[i & (ghost_.size() - 1)];
  ghost_ = std::move(larger);
}

void Eviction::inserted(Slot slot, std::uint64_t hash) {
  if (slots_.size() > 2 * ghost_.size()) resize_ghost();
  std::uint16_t& cell = ghost_cell(hash);
  const bool came_back = cell != 0 && cell == slots_.fragment(slot);
  if (came_back) cell = 0;
  const unsigned to = came_back ? kMain : kSmall;
  slots_.set_list(slot, to);
  slots_.push(lists_[to], slot, weight_of(*slots_.object(slot)));
}

Slot Eviction::victim() {
  for (int round = 0;; ++round) {
    const bool small = lists_[kSmall].count > 0 &&
                       (lists_[kSmall].bytes * 10 >= bytes() || lists_[kMain].count == 0);
    const Slot slot = lists_[small ? kSmall : kMain].tail;
    if (slot == 0) return 0;
    const unsigned uses = slots_.uses(slot);
    if (round == kMostRounds || (small ? uses < 2 : uses == 0)) return slot;
    slots_.set_uses(slot, small ? 0 : uses - 1);
    move(slot, kMain);
  }
}

void Eviction::spare(Slot slot) { move(slot, kMain); }

void Eviction::evicted(Slot slot) {
  if (slots_.list(slot) != kSmall) return;
  const Object& object = *slots_.object(slot);
  ghost_cell(hash_of(object.space(), object.key(), seed_)) = slots_.fragment(slot);
}

}  // namespace headroom::cache
