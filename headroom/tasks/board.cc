// The requests: push and take. board_words.cc has what workers say of their jobs, board_lanes.cc keeps the entries, board_upkeep.cc what time brings, board_state.cc the rest.
#include "headroom/tasks/board.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kMostExpired = 1000;  // put aside before they are removed

}  // namespace

Board::Board(Store& store, const TasksOptions& options, std::uint64_t seed)
    : store_(store),
      options_(options),
      random_(seed),
      throttles_(options_.throttles),
      backoffs_(options_.backoffs) {
  for (const LaneId id : {kScheduled, kRetries, kDead})
    lanes_.emplace(id, std::make_unique<Lane>(id));
}

Board::~Board() = default;

Result<> Board::noted(Result<> done) {
  if (!done && !store_error_) store_error_ = done.error();
  return done;
}

// For what a client names. Room is looked for once in a transaction.
Result<> Board::make_room_for_queue(const std::string& name) {
  if (queues_.contains(name) || queues_.size() < options_.queues_limit) return {};
  if (!std::exchange(recycled_, true)) {
    if (auto done = recycle_queues(); !done) return done;
  }
  if (queues_.size() < options_.queues_limit) return {};
  return fail(Errc::overloaded,
              fmt::format("there are {} queues already (tasks.queues_limit){}", queues_.size(),
                          expected_known_ ? "" : "; whether one can go is being counted"));
}

Result<Board::Queue*> Board::queue_for_push(const std::string& name) {
  const auto known = queues_.find(name);
  Queue* queue = known == queues_.end() ? nullptr : known->second.get();
  if (queue == nullptr) {
    auto made = std::make_unique<Queue>();
    made->name = name;
    made->common.lane = next_lane_++;
    lanes_.emplace(made->common.lane, std::make_unique<Lane>(made->common.lane));
    queue = queues_.emplace(name, std::move(made)).first->second.get();
  }
  if (queue->common.stored) return queue;
  if (auto put = noted(store_.put_queue({queue->common.lane, queue->name, queue->paused})); !put)
    return pass(put);
  staged_shares_.push_back(&queue->common);
  return queue;
}

Result<> Board::push(Job job, const Now& now) {
  if (auto room = make_room_for(job); !room) return room;
  return stage_push(job, nullptr, now);
}

// What comes back to a queue by itself is never refused one: it would be lost, or keep all else from its turn.
Result<> Board::push_own(Job job, const Now& now) { return stage_push(job, nullptr, now); }

Result<> Board::offer(Job& job, const Now& now) {
  if (auto room = make_room_for(job); !room) return room;
  return stage_push(job, &job, now);
}

Result<> Board::make_room_for(const Job& job) {
  if (auto room = make_room_for_queue(job.queue); !room) return room;
  for (const std::string& behind : job.queues_behind) {
    if (auto room = make_room_for_queue(behind); !room) return room;
  }
  return {};
}

Result<> Board::stage_push(Job& job, Job* lender, const Now& now) {
  auto ready = ready_place(job);
  if (!ready) return pass(ready);
  if (auto joins = check_batch(job); !joins) return joins;
  if (auto locked = stage_lock(job, now); !locked) return locked;
  job.seq = ++last_seq_;
  const Place place = job.at > now.wall ? Place{kScheduled, {job.at, job.seq}}
                                        : Place{ready->lane, {-job.priority, job.seq}};
  if (auto added = noted(store_.add(job, place)); !added) return added;
  if (auto joined = join_batch(job, now); !joined) return joined;
  if (auto tracked = stage_track(job, TrackState::enqueued, now); !tracked) return tracked;
  auto entry = std::make_unique<Entry>();
  entry->job = std::move(job);
  entry->place = place;
  staged_.push_back({.kind = Change::Kind::add,
                     .added = std::move(entry),
                     .lender = lender,
                     .counts = Change::Counts::pushed});
  return {};
}

Result<> Board::stage_lock(const Job& job, const Now& now) {
  if (job.unique_key.empty()) return {};
  const auto held = locks_.find(job.unique_key);
  const bool pending = staged_locks_.contains(job.unique_key);
  if (pending || (held != locks_.end() && held->second.until > now.wall))
    return fail(Errc::conflict, "Job not unique");
  const WallTime until = std::max(now.wall, job.at) + job.unique_for_s * kSecond;
  if (auto put = noted(store_.put_lock({job.unique_key, job.jid, until})); !put) return put;
  locks_[job.unique_key] = {job.jid, until};
  staged_locks_.insert(job.unique_key);
  return {};
}

Result<> Board::stage_unlock(const Job& job) {
  if (job.unique_key.empty()) return {};
  const auto held = locks_.find(job.unique_key);
  // One that held until its start is gone from memory, not from the store; who has taken it since, and not started yet, is in memory.
  const bool started = held == locks_.end() && job.unique_until == UniqueUntil::start;
  if (!started && (held == locks_.end() || held->second.jid != job.jid)) return {};
  staged_unlocks_.insert(job.unique_key);
  return noted(store_.remove_lock(job.unique_key));
}

// What hangs on a job that leaves: its lock, its batch, its track.
Result<> Board::stage_end(const Job& job, Ending ending, const Now& now, std::string_view result) {
  if (auto unlocked = stage_unlock(job); !unlocked) return unlocked;
  if (auto counted = count_in_batch(job, ending, now); !counted) return counted;
  return stage_track(job, ending == Ending::done ? TrackState::success : TrackState::cancelled, now,
                     result);
}

Result<> Board::stage_remove(Entry* entry, Ending ending, const Now& now, std::string_view result) {
  if (auto gone = noted(store_.remove(entry->place)); !gone) return gone;
  if (auto ended = stage_end(entry->job, ending, now, result); !ended) return ended;
  entry->staged = true;
  staged_.push_back({.kind = Change::Kind::remove, .entry = entry});
  return {};
}

Result<> Board::stage_move(Entry* entry, const Place& to) {
  if (entry->place != to) {
    if (auto moved = noted(store_.move(entry->job.jid, entry->place, to)); !moved) return moved;
  }
  entry->staged = true;
  staged_.push_back({.kind = Change::Kind::move, .entry = entry, .to = to});
  return {};
}

Board::Outcome Board::committed(const Now& now) {
  Outcome outcome;
  if (staged_clear_) {
    for (const auto& [end, seq] : lease_ends_) (void)throttles_.end(entries_.at(seq)->job);
    entries_.clear();
    by_jid_.clear();
    for (auto& [id, lane] : lanes_) lane->clear();
    for (auto& [wid, worker] : workers_) worker->running.clear();
    for (auto& [name, queue] : queues_) queue->running = 0;
    lease_ends_.clear();
    locks_.clear();
    batches_.clear();
    tracks_.clear();
    ended_tracks_.clear();
    expired_.clear();
    expected_.clear();
    expected_known_ = true;
    bytes_ = 0;
  }
  for (Change& change : staged_) {
    outcome.pushed += change.counts == Change::Counts::pushed ? 1 : 0;
    outcome.done += change.counts == Change::Counts::done ? 1 : 0;
    outcome.failed += change.counts == Change::Counts::failed ? 1 : 0;
    const bool leased = change.entry != nullptr && change.entry->leased;
    if (change.counts == Change::Counts::done && leased)
      outcome.runs.push_back(elapsed(change.entry->leased_at, now.steady));
    const bool said =
        change.counts == Change::Counts::done || change.counts == Change::Counts::failed;
    if (said && leased)
      outcome.ended.push_back({change.entry->job.seq, change.entry->leased_at,
                               change.counts == Change::Counts::failed});
    apply(change, now);
  }
  // Those whose removal was rolled back stay.
  std::erase_if(expired_, [this](std::uint64_t seq) { return !entries_.contains(seq); });
  for (const std::string& key : staged_unlocks_) {
    if (!staged_locks_.contains(key)) locks_.erase(key);
  }
  for (const auto& [queue, paused] : staged_pauses_) {
    queue->paused = paused;
    news_.queues.insert(queue->name);
  }
  for (Share* share : staged_shares_) share->stored = true;
  for (auto& [name, planned] : staged_schedules_) {
    if (planned) {
      schedules_.insert_or_assign(name, std::move(*planned));
    } else {
      schedules_.erase(name);
    }
  }
  commit_overlays();
  if (!staged_.empty()) {
    for (auto& [id, lane] : lanes_) spill(*lane);
  }
  staged_.clear();
  staged_locks_.clear();
  staged_rates_ = false;
  rolled_back();
  return outcome;
}

void Board::rolled_back() {
  for (Change& change : staged_) {
    if (change.entry != nullptr) change.entry->staged = false;
    if (change.lender != nullptr) *change.lender = std::move(change.added->job);
  }
  if (std::exchange(staged_rates_, false)) throttles_.note_again();
  for (const std::string& key : staged_locks_) locks_.erase(key);
  staged_.clear();
  staged_locks_.clear();
  staged_unlocks_.clear();
  staged_pauses_.clear();
  staged_shares_.clear();
  staged_lanes_.clear();
  staged_schedules_.clear();
  staged_batches_.clear();
  staged_tracks_.clear();
  staged_clear_ = false;
  recycled_ = false;
  store_error_.reset();
}

void Board::apply(Change& change, const Now& now) {
  const std::string& name = change.entry != nullptr ? change.entry->job.queue
                            : change.added          ? change.added->job.queue
                                                    : "";
  if (const auto queue = queues_.find(name); queue != queues_.end()) {
    Queue& of = *queue->second;
    of.pushed += change.counts == Change::Counts::pushed ? 1 : 0;
    of.done += change.counts == Change::Counts::done ? 1 : 0;
    of.failed += change.counts == Change::Counts::failed ? 1 : 0;
    if (change.counts == Change::Counts::done && change.entry != nullptr && change.entry->leased)
      of.count(&QueueTimes::run, elapsed(change.entry->leased_at, now.steady));
  } else if (change.counts == Change::Counts::pushed) {
    ++removed_.pushed;
  }
  switch (change.kind) {
    case Change::Kind::add:
      expect(change.added->place, name, 1);
      forget_cancelled(change.added->job.jid);
      return settle_in(std::move(change.added), now.wall);
    case Change::Kind::add_spilled:
      expect(change.from, name, -1);
      expect(change.added->place, name, 1);
      lane(change.from.lane).uncount_spilled();
      return settle_in(std::move(change.added), now.wall);
    case Change::Kind::remove_spilled:
      expect(change.from, name, -1);
      return lane(change.from.lane).uncount_spilled();
    case Change::Kind::remove:
      expect(change.entry->place, name, -1);
      if (change.cancelled) note_cancelled(change.entry->job.jid, change.entry->wid);
      leave(change.entry);
      return forget(change.entry);
    case Change::Kind::move: {
      Entry* entry = change.entry;
      expect(entry->place, name, -1);
      expect(change.to, name, 1);
      leave(entry);
      auto moved = std::move(entries_.at(entry->job.seq));
      forget(entry);
      moved->staged = false;
      moved->was_leased = change.late_ack_counts.value_or(moved->was_leased);
      moved->place = change.to;
      if (change.lost) ++moved->job.lost;
      if (change.fresh) moved->job.lost = 0;
      moved->job.failed = moved->job.failed || change.failed;
      if (change.body) moved->job.body = std::move(*change.body);
      return settle_in(std::move(moved), now.wall);
    }
  }
}

bool Board::is_quiet(std::string_view wid) const {
  if (wid.empty()) return false;
  const auto worker = workers_.find(std::string(wid));
  return worker != workers_.end() && !worker->second->state.empty();
}

Result<std::optional<Leased>> Board::take(const std::vector<std::string>& queues,
                                          std::string_view wid, const Now& now) {
  if (is_quiet(wid)) return std::nullopt;
  for (const std::string& name : queues) {
    const auto queue = queues_.find(name);
    if (queue == queues_.end() || queue->second->paused) continue;
    for (;;) {
      auto choice = choose(*queue->second, now);
      if (!choice) return pass(choice);
      Entry* entry = choice->entry;
      if (entry == nullptr) break;
      if (entry->job.expires != 0 && entry->job.expires <= now.wall) {
        leave(entry);
        entry->dropped = true;
        lane(entry->place.lane).lend();  // until it is removed from the store
        expired_.push_back(entry->job.seq);
        if (expired_.size() < kMostExpired) continue;
        news_.everywhere = true;  // the rest once these are removed
        return std::nullopt;
      }
      if (entry->job.body.empty()) {
        auto body = store_.body(entry->job.seq);
        if (!body) return pass(body);
        entry->job.body = std::move(*body);
        bytes_ += entry->job.body.size();
      }
      queue->second->turn = choice->turn;
      choice->share->turn = choice->turn + 1;
      leave(entry);
      const Duration wait = waited(*entry, now);
      queue->second->count(&QueueTimes::wait, wait);
      Leased leased{entry->job.seq, std::move(entry->job.body), wait};
      entry->job.body.clear();
      lease(entry, wid, now);
      leased.begun = entry->leased_at;
      leased.end = entry->lease_end;
      return leased;
    }
  }
  return std::nullopt;
}

void Board::give_back(const Lease& lease) {
  Entry* leased = entry_of(lease);
  if (leased == nullptr || leased->staged) return;
  leave(leased);
  auto entry = std::move(entries_.at(lease.seq));
  forget(leased);
  Lane& to = lane(entry->place.lane);
  const WallTime ready = entry->ready;
  settle_in(std::move(entry), ready);
  spill(to);
}

}  // namespace headroom::tasks
