#include "headroom/sql/worth.h"

#include <algorithm>

namespace headroom::sql {

bool Worth::rests(std::uint64_t drops, TimePoint now) {
  if (rests_until_ != TimePoint{}) {
    if (drops != drops_seen_) {
      drops_seen_ = drops;
      dropped_at_ = now;
    }
    const bool quiet = elapsed(dropped_at_, now) >= kQuiet;
    if (now < rests_until_ && !quiet) return true;
    if (quiet) rest_ = {};
    rests_until_ = {};
    begin(drops);
  }
  if (drops < drops_before_) begin(drops);  // the same shape, of other tables
  if (look_ups_ >= kLookUps && drops - drops_before_ >= kDrops) judge(drops, now);
  return rests_until_ != TimePoint{};
}

void Worth::begin(std::uint64_t drops) {
  look_ups_ = hits_ = 0;
  drops_before_ = drops;
  quickest_ = Duration::max();
}

// A look-up costs the same whatever is asked, a hit saves what the database would have needed.
void Worth::judge(std::uint64_t drops, TimePoint now) {
  const double slowness =
      quickest_ == Duration::max() ? 1.0 : std::max(1.0, seconds(quickest_) / seconds(kQuick));
  const bool pays =
      static_cast<double>(hits_) * kFewHits * slowness >= static_cast<double>(look_ups_);
  last_ = {look_ups_, hits_, drops - drops_before_, {}};
  begin(drops);
  if (pays) {
    rest_ = {};
    return;
  }
  rest_ = std::clamp(2 * rest_, kFirstRest, kLongestRest);
  rests_until_ = now + rest_;
  drops_seen_ = drops;
  dropped_at_ = now;
}

Worth::Verdict Worth::verdict(TimePoint now) const {
  Verdict said = last_;
  if (now < rests_until_) said.rest_left = rests_until_ - now;
  return said;
}

}  // namespace headroom::sql
