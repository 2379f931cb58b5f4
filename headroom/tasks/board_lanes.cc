// How entries come into memory and leave it, and how a lease begins and ends.
#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kLeastHeld = 64;  // when memory is short
constexpr std::size_t kRefill = 512;
constexpr std::size_t kMostReturned = 100'000;  // that lie on the disk alone
constexpr std::size_t kLeastRead = 64U << 10U;  // bytes
constexpr std::uint64_t kEntryBytes = 400;  // an entry without its text, and its places in the maps

std::uint64_t bytes_of_entry(const Entry& entry) { return kEntryBytes + entry.job.body.size(); }

}  // namespace

Lane& Board::lane(LaneId id) {
  const auto found = lanes_.find(id);
  HR_ASSERT((found != lanes_.end()));
  return *found->second;
}

Entry* Board::index(EntryPointer entry) {
  Entry* added = entry.get();
  added->jid_hash = hash64(added->job.jid);
  Entry*& first = by_jid_[added->jid_hash];
  added->next_same = first;
  first = added;
  entries_[added->job.seq] = std::move(entry);
  return added;
}

// Out of the indexes. The caller may have taken the entry itself before.
void Board::forget(Entry* entry) {
  const auto chain = by_jid_.find(entry->jid_hash);
  Entry** link = &chain->second;
  while (*link != entry) link = &(*link)->next_same;
  *link = entry->next_same;
  entry->next_same = nullptr;
  if (chain->second == nullptr) by_jid_.erase(chain);
  entries_.erase(entry->job.seq);
}

// Into the lane of its place: into memory, or counted there.
void Board::settle_in(EntryPointer entry, WallTime ready) {
  Lane& to = lane(entry->place.lane);
  if (to.id() >= kFirstQueue) news_.queues.insert(entry->job.queue);
  if (!to.reaches(entry->place.key)) {
    note_returned(*entry);
    return to.count_spilled();
  }
  Entry* added = index(std::move(entry));
  added->ready = ready;
  added->held = true;
  to.hold(added->place.key, added);
  bytes_ += bytes_of_entry(*added);
}

// Out of its lane's window, or its lease; still indexed.
void Board::leave(Entry* entry) {
  if (entry->leased) end_lease(entry);
  if (std::exchange(entry->dropped, false)) lane(entry->place.lane).take_back();
  if (!entry->held) return;
  lane(entry->place.lane).let_go(entry->place.key);
  bytes_ -= bytes_of_entry(*entry);
  entry->held = false;
}

// Until `least` jobs are in the window, or all.
Result<> Board::refill(Lane& lane, std::size_t least) {
  while (lane.held() < least && lane.spilled() > 0) {
    const std::uint64_t limit = options_.memory_limit.count;
    const std::uint64_t room = bytes_ < limit ? limit - bytes_ : 0;
    auto found = store_.read(lane.id(), lane.horizon(), kRefill,
                             std::clamp<std::uint64_t>(room, kLeastRead, Store::kPageBytes));
    if (!found) return pass(found);
    if (found->jobs.empty()) {
      log::error("tasks", "lane {}: {} jobs were counted that the store does not have", lane.id(),
                 lane.spilled());
      lane.begin_spilled(0);
      return {};
    }
    for (StoredJob& stored : found->jobs) {
      if (entries_.contains(stored.job.seq)) {
        lane.pass(stored.place.key);
        continue;
      }
      auto entry = std::make_unique<Entry>();
      entry->job = std::move(stored.job);
      entry->place = stored.place;
      Entry* added = index(std::move(entry));
      if (has_returned(added->job.jid, added->place))
        added->was_leased = returned_.erase(added->jid_hash) > 0;
      added->held = true;
      bytes_ += bytes_of_entry(*added);
      lane.refill(added->place.key, added);
      if (lane.spilled() == 0) break;
      if (bytes_ > options_.memory_limit.count && lane.held() >= least) break;
    }
  }
  return {};
}

void Board::spill(Lane& lane) {
  const auto too_much = [&] {
    return lane.held() > kMostHeld ||
           (bytes_ > options_.memory_limit.count && lane.held() > kLeastHeld);
  };
  while (too_much()) {
    Entry* last = lane.spill_last();
    bytes_ -= bytes_of_entry(*last);
    note_returned(*last);
    forget(last);
  }
}

// It leaves memory; a word of the worker that had it may still come.
void Board::note_returned(const Entry& entry) {
  if (entry.job.seq <= boot_seq_) older_on_disk_ = true;
  if (!entry.was_leased) return;
  const std::uint64_t name = hash64(entry.job.jid);
  if (!returned_.insert_or_assign(name, entry.place).second) return;
  returned_order_.push_back(name);
  if (returned_order_.size() <= kMostReturned) return;
  returned_.erase(returned_order_.front());
  returned_order_.pop_front();
}

// Whether the job that lies there has come back from a lease.
bool Board::has_returned(std::string_view jid, const Place& place) const {
  const auto known = returned_.find(hash64(jid));
  return known != returned_.end() && known->second == place;
}

void Board::lease(Entry* entry, std::string_view wid, const Now& now, Throttles::Begun begun) {
  entry->leased = true;
  if (!returned_.empty()) returned_.erase(entry->jid_hash);
  lane(entry->place.lane).lend();
  throttles_.begin(entry->job, now.steady, begun);
  entry->wid = wid;
  entry->leased_at = now.steady;
  entry->lease_end = now.steady + std::chrono::seconds(entry->job.reserve_s);
  lease_ends_.emplace(entry->lease_end, entry->job.seq);
  if (const auto worker = workers_.find(entry->wid); worker != workers_.end())
    worker->second->running.insert(entry->job.seq);
  if (const auto queue = queues_.find(entry->job.queue); queue != queues_.end())
    ++queue->second->running;
  if (entry->job.tracked) {
    // For the store it waits until its worker says something: after a crash it does.
    if (const auto track = tracks_.find(entry->job.jid); track != tracks_.end()) {
      track->second.state = TrackState::working;
      track->second.updated = now.wall;
    }
  }
  if (entry->job.unique_until == UniqueUntil::start && !entry->job.unique_key.empty()) {
    const auto lock = locks_.find(entry->job.unique_key);
    // For the store it ends with the job or its time: a crash before only keeps it longer.
    if (lock != locks_.end() && lock->second.jid == entry->job.jid) locks_.erase(lock);
  }
}

Entry* Board::entry_of(const Lease& lease) const {
  const auto found = entries_.find(lease.seq);
  if (found == entries_.end()) return nullptr;
  Entry* entry = found->second.get();
  return entry->leased && entry->leased_at == lease.begun ? entry : nullptr;
}

void Board::move_lease_end(Entry* entry, TimePoint end) {
  lease_ends_.erase({entry->lease_end, entry->job.seq});
  entry->lease_end = end;
  lease_ends_.emplace(end, entry->job.seq);
}

void Board::lengthen(const Lease& lease, TimePoint end) {
  if (Entry* entry = entry_of(lease); entry != nullptr && entry->lease_end < end)
    move_lease_end(entry, end);
}

void Board::excuse(Duration pause) {
  std::set<std::pair<TimePoint, std::uint64_t>> ends;
  for (const auto& [end, seq] : lease_ends_) {
    entries_.at(seq)->lease_end = end + pause;
    ends.emplace_hint(ends.end(), end + pause, seq);
  }
  lease_ends_ = std::move(ends);
  for (auto& [wid, worker] : workers_) {
    if (worker->beat) *worker->beat += pause;
    if (worker->alone_since != kNever) worker->alone_since += pause;
  }
}

void Board::end_lease(Entry* entry) {
  entry->leased = false;
  lane(entry->place.lane).take_back();
  if (throttles_.end(entry->job)) news_.everywhere = true;
  lease_ends_.erase({entry->lease_end, entry->job.seq});
  if (const auto worker = workers_.find(entry->wid); worker != workers_.end())
    worker->second->running.erase(entry->job.seq);
  if (const auto queue = queues_.find(entry->job.queue); queue != queues_.end())
    --queue->second->running;
  entry->wid.clear();
}

}  // namespace headroom::tasks
