// What workers say of their jobs: done, or failed; wherever these lie now.
#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

// Whether a word from `wid` about a lease of `holder` counts. Who gives no name is believed.
bool may_speak(std::string_view wid, std::string_view holder) {
  return wid.empty() || holder.empty() || wid == holder;
}

}  // namespace

Entry* Board::spoken_of(std::string_view jid, std::string_view wid) const {
  const auto chain = by_jid_.find(hash64(jid));
  Entry* late = nullptr;
  for (Entry* entry = chain == by_jid_.end() ? nullptr : chain->second; entry != nullptr;
       entry = entry->next_same) {
    if (entry->job.jid != jid || !entry->free()) continue;
    if (entry->leased && !may_speak(wid, entry->wid)) continue;
    const bool returned =
        entry->was_leased || (entry->job.seq <= boot_seq_ && entry->place.lane != kScheduled);
    if (!entry->leased && (!returned || entry->place.lane == kDead)) continue;
    late = entry;
    if (entry->leased) break;
  }
  return late;
}

Result<> Board::acknowledge(std::string_view jid, std::string_view wid, const Now& now,
                            std::string_view result) {
  Entry* meant = spoken_of(jid, wid);
  if (meant == nullptr) {
    const auto known = returned_.find(hash64(jid));
    if (known == returned_.end() || entries_.contains(known->second.key.seq)) return {};
    auto done = acknowledge_spilled(jid, known->second, now, result);
    return !done && done.error().code == Errc::conflict && !store_error_ ? Result<>{} : done;
  }
  if (meant->job.chained) {
    if (auto pushed = push_next_in_chain(meant->job, now); !pushed) return pushed;
  }
  // Half of it must not be written.
  if (auto gone = noted(stage_remove(meant, Ending::done, now, result)); !gone) return gone;
  staged_.back().counts = Change::Counts::done;
  return {};
}

bool Board::may_be_older(std::string_view jid, std::string_view wid) const {
  return older_on_disk_ && spoken_of(jid, wid) == nullptr && !returned_.contains(hash64(jid));
}

Result<> Board::acknowledge_at(std::string_view jid, const Place& place, std::string_view wid,
                               const Now& now, std::string_view result) {
  // In memory by now, perhaps leased to another.
  if (entries_.contains(place.key.seq) || spoken_of(jid, wid) != nullptr)
    return acknowledge(jid, wid, now, result);
  return acknowledge_spilled(jid, place, now, result);
}

Result<std::optional<StoredJob>> Board::job_at(std::string_view jid, const Place& place) const {
  auto page = store_.read(place.lane, {place.key.rank, place.key.seq - 1}, 1);
  if (!page) return pass(page);
  if (page->jobs.empty() || page->jobs.front().place != place || page->jobs.front().job.jid != jid)
    return std::nullopt;
  return std::move(page->jobs.front());
}

// Of a job that has come back, and lies on the disk alone.
Result<> Board::acknowledge_spilled(std::string_view jid, const Place& place, const Now& now,
                                    std::string_view result) {
  auto found = job_at(jid, place);
  if (!found) return noted(pass(found));
  if (!*found || place.lane == kDead || !lanes_.contains(place.lane))
    return fail(Errc::conflict, std::string(kHasMoved));
  auto ended = std::make_unique<Entry>();
  ended->job = std::move((*found)->job);
  if (ended->job.chained) {
    if (auto pushed = push_next_in_chain(ended->job, now); !pushed) return pushed;
  }
  if (auto gone = noted(store_.remove(place)); !gone) return gone;
  if (auto done = noted(stage_end(ended->job, Ending::done, now, result)); !done) return done;
  staged_.push_back({.kind = Change::Kind::remove_spilled,
                     .added = std::move(ended),
                     .from = place,
                     .counts = Change::Counts::done});
  return {};
}

Entry* Board::held_by(std::string_view jid, std::string_view wid) const {
  const auto chain = by_jid_.find(hash64(jid));
  for (Entry* entry = chain == by_jid_.end() ? nullptr : chain->second; entry != nullptr;
       entry = entry->next_same) {
    if (entry->job.jid == jid && entry->free() && entry->leased && may_speak(wid, entry->wid))
      return entry;
  }
  return nullptr;
}

Result<> Board::fail_job(std::string_view jid, std::string_view wid, const Failure& failure,
                         const Now& now) {
  Entry* entry = held_by(jid, wid);
  if (entry == nullptr) return fail(Errc::not_found, "Job not found");
  return noted(stage_failure(entry, failure, now));
}

Result<> Board::stage_failure(Entry* entry, const Failure& failure, const Now& now) {
  auto body = store_.body(entry->job.seq);
  if (!body) return noted(pass(body));
  Job changed = entry->job;
  changed.body = std::move(*body);
  Verdict verdict = judge(changed, failure, now.wall, backoffs_, random_);
  if (verdict.next == Verdict::Next::discarded) {
    if (auto gone = stage_remove(entry, Ending::dropped, now); !gone) return gone;
    staged_.back().counts = Change::Counts::failed;
    return {};
  }
  changed.body = verdict.body;
  if (auto counted = count_in_batch(entry->job, Ending::dropped, now); !counted) return counted;
  changed.failed = true;
  if (auto written = noted(store_.rewrite(changed)); !written) return written;
  const bool dead = verdict.next == Verdict::Next::dead;
  if (auto tracked = stage_track(changed, dead ? TrackState::dead : TrackState::failed, now);
      !tracked)
    return tracked;
  if (dead) {
    if (auto unlocked = stage_unlock(entry->job); !unlocked) return unlocked;
  }
  const Place to = dead ? Place{kDead, {now.wall, entry->job.seq}}
                        : Place{kRetries, {verdict.at, entry->job.seq}};
  if (auto moved = stage_move(entry, to); !moved) return moved;
  staged_.back().body = std::move(verdict.body);
  staged_.back().counts = Change::Counts::failed;
  staged_.back().failed = true;
  staged_.back().late_ack_counts = false;  // its worker has said its word
  return {};
}

}  // namespace headroom::tasks
