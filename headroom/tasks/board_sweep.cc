// Going through a lane, and what people do to a job: remove, requeue, kill.
#include "headroom/base/assert.h"
#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {

Result<Board::Swept> Board::sweep(LaneId from, const Key& after, std::size_t limit, Act act,
                                  const Filter& filter, const Now& now, Running running) {
  Swept swept{.last = after};
  auto found = store_.read(from, after, limit);
  if (!found) return pass(found);
  swept.end = found->end;
  const TimePoint until = Clock::now() + kSweepTime;
  for (StoredJob& stored : found->jobs) {
    if (Clock::now() >= until && swept.last != after) {
      swept.end = false;
      break;
    }
    swept.last = stored.place.key;
    const auto held = entries_.find(stored.job.seq);
    const bool leased = held != entries_.end() && held->second->leased;
    if (leased && running == Running::passed_over) continue;
    if (filter && !filter(stored.job)) continue;
    if (act == Act::requeue) {
      auto room = make_room_for_queue(stored.job.queue);
      if (!room && store_error_) return pass(room);
      if (!room) {
        ++swept.left;
        continue;
      }
    }
    ++swept.matched;
    if (act == Act::none) {
      swept.jobs.push_back(std::move(stored));
    } else if (auto done = sweep_one(stored, act, now); !done) {
      return pass(done);
    }
  }
  return swept;
}

Result<> Board::act_on(std::string_view jid, const Place& place, Act act, const Now& now) {
  const auto held = entries_.find(place.key.seq);
  if (held == entries_.end()) return fail(Errc::conflict, std::string(kHasMoved));
  const Entry& entry = *held->second;
  if (!entry.free() || entry.place != place || entry.job.jid != jid ||
      (entry.leased && act != Act::remove))
    return fail(Errc::conflict, std::string(kHasMoved));
  HR_ASSERT(act != Act::kill);  // that writes its text
  StoredJob stored{entry.job, entry.place};
  if (act == Act::requeue) {
    if (auto room = make_room_for_queue(entry.job.queue); !room) return room;
    // Its text may be written again.
    auto body = store_.body(place.key.seq);
    if (!body) return noted(pass(body));
    stored.job.body = std::move(*body);
  }
  return sweep_one(stored, act, now);
}

// A job of a lane, whether it is in memory or not.
Result<> Board::sweep_one(StoredJob& stored, Act act, const Now& now) {
  const auto held = entries_.find(stored.job.seq);
  Entry* entry = held == entries_.end() ? nullptr : held->second.get();
  if (entry != nullptr && !entry->free()) return {};
  if (entry != nullptr && entry->leased && act != Act::remove) return {};
  Result<Place> to = Place{kDead, {now.wall, stored.job.seq}};
  if (act == Act::requeue) to = ready_place(stored.job);
  if (!to) return pass(to);
  if (act == Act::remove && entry != nullptr) {
    if (auto gone = stage_remove(entry, Ending::dropped, now); !gone) return gone;
    staged_.back().cancelled = entry->leased;
    return {};
  }
  if (act == Act::kill) {
    if (auto unlocked = stage_unlock(stored.job); !unlocked) return unlocked;
  }
  if (act == Act::kill && !stored.job.bid.empty() && !stored.job.failed) {
    if (auto counted = count_in_batch(stored.job, Ending::dropped, now); !counted) return counted;
    stored.job.failed = true;
    if (auto written = noted(store_.rewrite(stored.job)); !written) return written;
  }
  if (act != Act::remove) {
    if (auto tracked = stage_track(stored.job,
                                   act == Act::kill ? TrackState::dead : TrackState::enqueued, now);
        !tracked)
      return tracked;
  }
  // Who died on it before counts no more: somebody gives it a new trial.
  const bool fresh = act == Act::requeue && stored.job.lost > 0;
  if (fresh) {
    stored.job.lost = 0;
    if (auto written = noted(store_.rewrite(stored.job)); !written) return written;
  }
  if (entry != nullptr) {
    auto moved = stage_move(entry, *to);
    if (!moved) return moved;
    staged_.back().failed = stored.job.failed;
    staged_.back().fresh = fresh;
    return {};
  }
  if (act == Act::remove) {
    if (auto gone = noted(store_.remove(stored.place)); !gone) return gone;
    if (auto ended = stage_end(stored.job, Ending::dropped, now); !ended) return ended;
    auto removed = std::make_unique<Entry>();
    removed->job = std::move(stored.job);
    staged_.push_back(
        {.kind = Change::Kind::remove_spilled, .added = std::move(removed), .from = stored.place});
    return {};
  }
  if (stored.place == *to) return {};
  if (auto moved = noted(store_.move(stored.job.jid, stored.place, *to)); !moved) return moved;
  auto added = std::make_unique<Entry>();
  added->job = std::move(stored.job);
  added->place = *to;
  added->was_leased = has_returned(added->job.jid, stored.place);
  staged_.push_back(
      {.kind = Change::Kind::add_spilled, .added = std::move(added), .from = stored.place});
  return {};
}

}  // namespace headroom::tasks
