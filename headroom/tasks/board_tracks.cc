// Tracked jobs: their state, their progress, their results; and workers whose job was cancelled.
#include <fmt/format.h>

#include <algorithm>

#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kMostCancelled = 10'000;  // remembered for progress that comes late
constexpr std::size_t kMostToTell = 1'000;      // a worker
constexpr std::int64_t kLongestLease = 86'400;  // seconds from now

std::string note_of(std::string_view jid) { return fmt::format("track/{}", jid); }
std::string result_of(std::string_view jid) { return fmt::format("result/{}", jid); }

bool is_end(TrackState state) {
  return state == TrackState::success || state == TrackState::cancelled;
}

}  // namespace

Result<> Board::stage_track(const Job& job, TrackState state, const Now& now,
                            std::string_view result) {
  if (!job.tracked) return {};
  const auto known = tracks_.find(job.jid);
  const auto staged = staged_tracks_.find(job.jid);
  Track track;
  if (staged != staged_tracks_.end() && staged->second) {
    track = *staged->second;
  } else if (known != tracks_.end()) {
    track = known->second;
  } else if (auto room = make_room_for_track(); !room) {
    return store_error_ ? room : Result<>();  // too many: this one is not followed
  }
  track.jid = job.jid;
  track.state = state;
  track.updated = now.wall;
  track.ended = is_end(state) ? now.wall : 0;
  // Results lie in the store alone: they may be long.
  if (!result.empty()) {
    if (auto put = noted(store_.put_note({result_of(job.jid), std::string(result)})); !put)
      return put;
  }
  return put_track(std::move(track));
}

Result<> Board::put_track(Track track) {
  if (auto put = noted(store_.put_note({note_of(track.jid), track.text()})); !put) return put;
  const std::string jid = track.jid;
  staged_tracks_[jid] = std::move(track);
  return {};
}

// The one that ended first makes room for a new one.
Result<> Board::make_room_for_track() {
  if (tracks_.size() + staged_tracks_.size() < options_.tracks_limit) return {};
  const auto oldest = std::ranges::find_if(
      ended_tracks_, [this](const auto& ended) { return !staged_tracks_.contains(ended.second); });
  if (oldest == ended_tracks_.end()) return fail(Errc::overloaded, "too many tracked jobs");
  return drop_track(std::string(oldest->second));
}

Result<> Board::drop_track(const std::string& jid) {
  if (auto gone = noted(store_.remove_note(note_of(jid))); !gone) return gone;
  if (auto gone = noted(store_.remove_note(result_of(jid))); !gone) return gone;
  staged_tracks_[jid] = std::nullopt;
  return {};
}

Result<> Board::end_tracks(const Now& now) {
  for (const auto& [ended, jid] : ended_tracks_) {
    if (ended + Track::kKept > now.wall) break;
    if (staged_tracks_.contains(jid)) continue;
    if (auto gone = drop_track(jid); !gone) return gone;
  }
  return {};
}

Result<> Board::note_progress(const Progress& said, const Now& now) {
  if (cancelled_.contains(said.jid)) return fail(Errc::conflict, "Job was cancelled");
  const std::int64_t longer = std::min((said.reserve_until - now.wall) / kSecond, kLongestLease);
  if (Entry* entry = said.reserve_until > 0 ? held_by(said.jid, "") : nullptr; entry != nullptr) {
    const TimePoint end = now.steady + std::chrono::seconds(longer);
    if (end > entry->lease_end) {
      lease_ends_.erase({entry->lease_end, entry->job.seq});
      entry->lease_end = end;
      lease_ends_.emplace(end, entry->job.seq);
    }
  }
  const auto known = tracks_.find(said.jid);
  if (known == tracks_.end()) return {};
  const auto staged = staged_tracks_.find(said.jid);
  if (staged != staged_tracks_.end() && !staged->second) return {};
  Track track = staged != staged_tracks_.end() ? *staged->second : known->second;
  if (said.percent) track.percent = said.percent;
  if (said.desc) track.desc = *said.desc;
  track.updated = now.wall;
  return put_track(std::move(track));
}

Track Board::track_of(std::string_view jid) {
  const auto found = tracks_.find(jid);
  if (found == tracks_.end()) return {.jid = std::string(jid)};
  Track track = found->second;
  if (track.state != TrackState::success) return track;
  if (auto result = store_.note(result_of(jid)); result && *result)
    track.result = std::move(**result);
  return track;
}

void Board::note_cancelled(const std::string& jid, const std::string& wid) {
  if (cancelled_.insert(jid).second) cancelled_order_.push_back(jid);
  if (cancelled_order_.size() > kMostCancelled) {
    cancelled_.erase(cancelled_order_.front());
    cancelled_order_.pop_front();
  }
  const auto worker = workers_.find(wid);
  if (worker != workers_.end() && worker->second->cancelled.size() < kMostToTell)
    worker->second->cancelled.push_back(jid);
}

// Another job comes with the name of one that was cancelled.
void Board::forget_cancelled(const std::string& jid) {
  if (cancelled_.erase(jid) == 0) return;
  for (auto& [wid, worker] : workers_) std::erase(worker->cancelled, jid);
}

std::vector<std::string> Board::take_cancelled(std::string_view wid) {
  const auto worker = workers_.find(std::string(wid));
  return worker == workers_.end() ? std::vector<std::string>()
                                  : std::exchange(worker->second->cancelled, {});
}

}  // namespace headroom::tasks
