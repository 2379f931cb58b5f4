// What time brings: jobs come due, leases run out, workers die, dead jobs grow old.
#include <fmt/format.h>

#include <algorithm>

#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kStep = 1000;  // changes of one kind in a transaction
constexpr Duration kLongest = 1s;    // between looks: the wall clock may jump
constexpr Duration kClockProof = std::chrono::hours(1);
constexpr WallTime kClockSlack = 60 * kSecond;

}  // namespace

bool Board::is_dead(const Worker& worker, const Now& now) const {
  const bool heard = worker.beat && *worker.beat > worker.alone_since;
  if (worker.connections == 0 && !heard && worker.alone_since != kNever &&
      now.steady - worker.alone_since >= worker.patience)
    return true;
  return worker.beat && now.steady - *worker.beat >= options_.worker_timeout;
}

// A clock that has just been set says nothing yet about age.
bool Board::ages_count(const Now& now) const {
  return clock_even_since_ != kNever && now.steady - clock_even_since_ >= kClockProof;
}

void Board::watch_clock(const Now& now) {
  const WallTime offset =
      now.wall -
      std::chrono::duration_cast<std::chrono::microseconds>(now.steady.time_since_epoch()).count();
  if (clock_even_since_ != kNever && std::abs(offset - clock_offset_) <= kClockSlack) return;
  clock_offset_ = offset;
  clock_even_since_ = now.steady;
}

Result<> Board::prepare(const Now& now) {
  watch_clock(now);
  for (const LaneId id : {kScheduled, kRetries, kDead}) {
    if (auto filled = refill(lane(id), 1); !filled) return filled;
  }
  if (!counting()) return {};
  auto counted = count_step();
  return counted ? Result<>{} : pass(counted);
}

Board::News Board::take_news(const Now& now) {
  if (throttles_.take_passed(now.steady)) news_.everywhere = true;
  return std::exchange(news_, {});
}

bool Board::needs_upkeep(const Now& now) const {
  const auto due = [&](LaneId id) {
    const Lane& lane = *lanes_.at(id);
    return lane.held() == 0 ? lane.spilled() > 0 : lane.window().begin()->first.rank <= now.wall;
  };
  const Lane& dead = *lanes_.at(kDead);
  const WallTime retention =
      std::chrono::duration_cast<std::chrono::microseconds>(options_.dead_retention).count();
  const bool old = dead.held() > 0 && ages_count(now) &&
                   dead.window().begin()->first.rank <= now.wall - retention;
  const auto slot_due = [&](const auto& planned) {
    if (is_ahead(planned.second, now)) return true;
    return planned.second.next && *planned.second.next <= now.wall &&
           !planned.second.schedule.paused;
  };
  return due(kScheduled) || throttles_.note_due(now.steady) ||
         std::ranges::any_of(schedules_, slot_due) || due(kRetries) || old ||
         dead.size() > options_.dead_limit || !expired_.empty() || batches_are_due(now) ||
         (!ended_tracks_.empty() && ended_tracks_.begin()->first + Track::kKept <= now.wall) ||
         (!lease_ends_.empty() && lease_ends_.begin()->first <= now.steady) ||
         std::ranges::any_of(workers_,
                             [&](const auto& worker) { return is_dead(*worker.second, now); });
}

TimePoint Board::next_due(const Now& now) const {
  if (counting()) return now.steady;
  Duration wait = kLongest;
  for (const LaneId id : {kScheduled, kRetries}) {
    const Lane& lane = *lanes_.at(id);
    if (lane.held() == 0) continue;
    const WallTime in = std::max<WallTime>(lane.window().begin()->first.rank - now.wall, 0);
    wait = std::min<Duration>(wait, std::chrono::microseconds(std::min(in, kSecond)));
  }
  for (const auto& [name, planned] : schedules_) {
    if (!planned.next || planned.schedule.paused) continue;
    wait = std::min<Duration>(wait, std::chrono::microseconds(std::clamp<WallTime>(
                                        *planned.next - now.wall, 0, kSecond)));
  }
  TimePoint due = std::min(now.steady + wait, throttles_.next());
  if (!lease_ends_.empty()) due = std::min(due, lease_ends_.begin()->first);
  return due;
}

Result<> Board::upkeep(const Now& now) {
  for (const std::uint64_t seq : expired_) {
    const auto found = entries_.find(seq);
    if (found == entries_.end() || found->second->staged) continue;
    if (auto gone = stage_remove(found->second.get(), Ending::dropped, now); !gone) return gone;
  }
  for (const LaneId id : {kScheduled, kRetries}) {
    if (auto done = promote(id, now); !done) return done;
  }
  if (auto done = fire_schedules(now); !done) return done;
  if (auto done = reap_leases(now); !done) return done;
  if (auto done = reap_workers(now); !done) return done;
  if (auto done = end_batches(now); !done) return done;
  if (auto done = end_tracks(now); !done) return done;
  if (throttles_.note_due(now.steady)) {
    if (auto done = note_rates(now); !done) return done;
  }
  return trim_dead(now);
}

Result<> Board::note_rates(const Now& now) {
  staged_rates_ = true;
  for (const Note& note : throttles_.notes(now)) {
    if (auto put = noted(store_.put_note(note)); !put) return put;
  }
  return {};
}

// What is due moves to its queue; what has expired goes.
Result<> Board::promote(LaneId from, const Now& now) {
  std::size_t left = kStep;
  for (const auto& [key, entry] : lane(from).window()) {
    if (key.rank > now.wall || left-- == 0) break;
    if (!entry->free()) continue;
    const bool expired = entry->job.expires != 0 && entry->job.expires <= now.wall;
    if (auto done = expired ? stage_remove(entry, Ending::dropped, now) : stage_ready(entry, now);
        !done)
      return done;
  }
  return {};
}

// Into its queue.
Result<> Board::stage_ready(Entry* entry, const Now& now) {
  auto to = ready_place(entry->job);
  if (!to) return pass(to);
  if (auto tracked = stage_track(entry->job, TrackState::enqueued, now); !tracked) return tracked;
  return stage_move(entry, *to);
}

Result<> Board::reap_leases(const Now& now) {
  std::size_t left = kStep;
  for (const auto& [end, seq] : lease_ends_) {
    if (end > now.steady || left-- == 0) break;
    Entry* entry = entries_.at(seq).get();
    if (entry->staged) continue;
    const Failure failure{"ReservationExpired",
                          fmt::format("not acknowledged within {} seconds", entry->job.reserve_s),
                          {}};
    if (auto done = stage_failure(entry, failure, now); !done) return done;
    if (staged_.back().kind == Change::Kind::move) staged_.back().late_ack_counts = true;
  }
  return {};
}

Result<> Board::reap_workers(const Now& now) {
  std::vector<std::string> gone;
  std::size_t left = kStep;
  for (const auto& [wid, worker] : workers_) {
    if (!is_dead(*worker, now)) continue;
    bool all = true;
    for (const std::uint64_t seq : worker->running) {
      Entry* entry = entries_.at(seq).get();
      if (entry->staged) continue;
      all = left > 0;
      if (!all) break;
      --left;
      if (auto done = stage_loss(entry, now); !done) return done;
    }
    if (!all || !worker->running.empty()) continue;
    // While it is connected it may come back to itself: what it then fetches must be its own.
    worker->beat.reset();
    if (worker->connections == 0) gone.push_back(wid);
  }
  for (const std::string& wid : gone) workers_.erase(wid);
  return {};
}

// Its worker has died. It goes back to where it lay, before those that came later; a job that kills its workers is put aside.
Result<> Board::stage_loss(Entry* entry, const Now& now) {
  if (entry->job.lost + 1 >= options_.lost_limit) {
    const Failure failure{
        "WorkerLost",
        fmt::format("{} workers died while they worked on it", entry->job.lost + 1),
        {}};
    return stage_dead(entry, failure, now);
  }
  auto body = store_.body(entry->job.seq);
  if (!body) return noted(pass(body));
  Job changed = entry->job;
  ++changed.lost;
  changed.body = std::move(*body);
  if (auto written = noted(store_.rewrite(changed)); !written) return written;
  if (auto tracked = stage_track(changed, TrackState::enqueued, now); !tracked) return tracked;
  if (auto moved = stage_move(entry, entry->place); !moved) return moved;
  staged_.back().late_ack_counts = true;
  staged_.back().lost = true;
  return {};
}

Result<> Board::stage_dead(Entry* entry, const Failure& failure, const Now& now) {
  auto body = store_.body(entry->job.seq);
  if (!body) return noted(pass(body));
  Job changed = entry->job;
  changed.body = std::move(*body);
  changed.body = buried(changed, failure, now.wall);
  if (auto counted = count_in_batch(changed, Ending::dropped, now); !counted) return counted;
  if (auto tracked = stage_track(changed, TrackState::dead, now); !tracked) return tracked;
  changed.failed = true;
  if (auto written = noted(store_.rewrite(changed)); !written) return written;
  if (auto unlocked = stage_unlock(entry->job); !unlocked) return unlocked;
  if (auto moved = stage_move(entry, {kDead, {now.wall, entry->job.seq}}); !moved) return moved;
  staged_.back().counts = Change::Counts::failed;
  staged_.back().failed = true;
  staged_.back().body = std::move(changed.body);
  return {};
}

Result<> Board::trim_dead(const Now& now) {
  const Lane& dead = lane(kDead);
  const WallTime retention =
      std::chrono::duration_cast<std::chrono::microseconds>(options_.dead_retention).count();
  std::uint64_t too_many =
      dead.size() > options_.dead_limit ? dead.size() - options_.dead_limit : 0;
  std::size_t left = kStep;
  const bool ages = ages_count(now);
  for (const auto& [key, entry] : dead.window()) {
    const bool old = ages && key.rank <= now.wall - retention;
    if ((!old && too_many == 0) || left-- == 0) break;
    if (!entry->free()) continue;
    if (auto gone = stage_remove(entry, Ending::dropped, now); !gone) return gone;
    if (too_many > 0) --too_many;
  }
  return {};
}

}  // namespace headroom::tasks
