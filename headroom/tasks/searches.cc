#include "headroom/tasks/searches.h"

#include <algorithm>

namespace headroom::tasks {

const Place* Searches::place_in(const Store::Search& search, const Sought& sought) {
  for (const Store::Found& found : search.found) {
    const LaneId lane = found.place.lane;
    if (found.jid != sought.jid || found.place.key.seq > sought.up_to) continue;
    if (!sought.waiting || lane >= kFirstQueue || lane == kRetries) return &found.place;
  }
  return nullptr;
}

void Searches::step() {
  if (riders_.empty()) return;
  std::unordered_set<std::string> jids;
  for (const Rider& rider : riders_) jids.insert(rider.sought.jid);
  const auto search = store_.search(jids, at_, kStep);
  if (!search) return end(search.error());
  if (search->first_seq != 0)
    first_seq_ = first_seq_ == 0 ? search->first_seq : std::min(first_seq_, search->first_seq);
  for (auto rider = riders_.begin(); rider != riders_.end();) {
    const Place* place = place_in(*search, rider->sought);
    const bool round = rider->turned ? search->end || search->looked_to >= rider->from
                                     : search->end && rider->from == kBeforeAll;
    rider->turned = rider->turned || search->end;
    if (place == nullptr && !round) {
      ++rider;
      continue;
    }
    rider->done(place == nullptr ? std::nullopt : std::optional(*place));
    rider = riders_.erase(rider);
  }
  at_ = search->looked_to;
  if (search->end) {
    round_first_seq_ = std::exchange(first_seq_, 0);
    at_ = kBeforeAll;
  }
  if (riders_.empty()) {
    at_ = kBeforeAll;  // what comes first is looked for most
    first_seq_ = 0;
  }
}

void Searches::end(const Error& why) {
  for (Rider& rider : std::exchange(riders_, {})) rider.done(std::unexpected(why));
  at_ = kBeforeAll;
  first_seq_ = 0;
}

}  // namespace headroom::tasks
