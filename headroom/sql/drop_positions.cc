#include "headroom/sql/drop_positions.h"

namespace headroom::sql {

void DropPositions::dropped(std::span<const Oid> tables, TimePoint now) {
  const std::scoped_lock lock(mutex_);
  for (const Oid table : tables) tables_[table] = {.when = now};
  if (tables_.size() <= kMostTables) return;
  tables_.clear();
  all_ = {.when = now};
}

void DropPositions::dropped_all(TimePoint now) {
  const std::scoped_lock lock(mutex_);
  tables_.clear();
  all_ = {.when = now};
}

void DropPositions::asked(TimePoint as_of, const link::Position& position) {
  const std::scoped_lock lock(mutex_);
  if (as_of <= asked_ || !position) return;
  asked_ = as_of;
  position_ = position;
}

// Whether it is known where it lies; the first position that is told after it will do for good.
bool DropPositions::settle(Drop& drop) const {
  if (!drop.behind && asked_ > drop.when) drop.behind = position_;
  return static_cast<bool>(drop.behind);
}

std::optional<link::Position> DropPositions::needs(std::span<const Oid> tables) {
  const std::scoped_lock lock(mutex_);
  link::Position needs;
  const auto add = [&](Drop& drop) {
    if (!settle(drop)) return false;
    link::take_later(needs, drop.behind);
    return true;
  };
  if (all_ && !add(*all_)) return std::nullopt;
  for (const Oid table : tables) {
    const auto found = tables_.find(table);
    if (found != tables_.end() && !add(found->second)) return std::nullopt;
  }
  return needs;
}

}  // namespace headroom::sql
