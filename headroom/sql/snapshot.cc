#include "headroom/sql/snapshot.h"

#include <algorithm>

#include "headroom/base/text.h"

namespace headroom::sql {
namespace {

// Transaction numbers go round: half of them are before any one.
bool before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

}  // namespace

std::optional<Snapshot> Snapshot::parse(std::string_view text) {
  const auto parts = text::split(text, ':');
  if (parts.size() != 3) return std::nullopt;
  const auto xmin = text::to_u64(parts[0]);
  const auto xmax = text::to_u64(parts[1]);
  if (!xmin || !xmax || *xmax < *xmin) return std::nullopt;
  Snapshot made;
  made.xmin_ = static_cast<std::uint32_t>(*xmin);
  made.xmax_ = static_cast<std::uint32_t>(*xmax);
  for (const std::string_view each : text::split(parts[2], ',')) {
    const auto xid = text::to_u64(each);
    if (!xid) return std::nullopt;
    made.running_.push_back(static_cast<std::uint32_t>(*xid));
  }
  return made;
}

bool Snapshot::sees(std::uint32_t xid) const {
  if (before(xid, xmin_)) return true;
  return before(xid, xmax_) && std::ranges::find(running_, xid) == running_.end();
}

}  // namespace headroom::sql
