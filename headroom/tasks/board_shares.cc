// How a queue is shared between keys: each has a line (a lane) of its own, and among the most urgent jobs the lines take turns.
#include <algorithm>
#include <ranges>

#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kCountStep = 2000;  // jobs, some 3 ms when they lie in memory

}  // namespace

Result<Place> Board::ready_place(const Job& job) {
  auto queue = queue_for_push(job.queue);
  if (!queue) return pass(queue);
  auto lane = lane_for(**queue, job);
  if (!lane) return pass(lane);
  staged_lanes_.insert(*lane);
  return Place{*lane, {-job.priority, job.seq}};
}

Result<LaneId> Board::lane_for(Queue& queue, const Job& job) {
  std::string key = job.key;
  if (throttles_.names_type(job.jobtype)) key.append("\n").append(job.jobtype);
  if (key.empty()) return queue.common.lane;
  auto known = queue.shares.find(key);
  if (known == queue.shares.end()) {
    if (shares_ >= options_.shares_limit) {
      if (auto done = recycle_shares(); !done) return pass(done);
      if (shares_ >= options_.shares_limit) return queue.common.lane;
    }
    const LaneId lane = next_lane_++;
    lanes_.emplace(lane, std::make_unique<Lane>(lane));
    known = queue.shares.emplace(key, Share{.lane = lane}).first;
    ++shares_;
  }
  if (known->second.stored) return known->second.lane;
  if (auto put = noted(store_.put_share({known->second.lane, queue.name, key})); !put)
    return pass(put);
  staged_shares_.push_back(&known->second);
  return known->second.lane;
}

// Lines in which nothing waits, and to which nothing may come back. A rollback leaves their rows: they are taken up as empty lines.
Result<> Board::recycle_shares() {
  for (auto& [name, queue] : queues_) {
    for (auto at = queue->shares.begin(); at != queue->shares.end();) {
      const LaneId id = at->second.lane;
      if (!at->second.stored || !lane(id).unused() || staged_lanes_.contains(id)) {
        ++at;
        continue;
      }
      if (auto gone = noted(store_.remove_share(id)); !gone) return gone;
      lanes_.erase(id);
      at = queue->shares.erase(at);
      --shares_;
    }
  }
  return {};
}

// Whether nothing waits or runs in it, nothing may come back, and this transaction has not touched it.
bool Board::unused(const Queue& queue) const {
  const auto idle = [this](const Share& share) {
    return lanes_.at(share.lane)->unused() && !staged_lanes_.contains(share.lane) &&
           std::ranges::find(staged_shares_, &share) == staged_shares_.end();
  };
  if (!expected_known_ || expected_.contains(queue.name)) return false;
  return idle(queue.common) && std::ranges::all_of(queue.shares | std::views::values, idle) &&
         std::ranges::find(staged_pauses_, &queue, &std::pair<Queue*, bool>::first) ==
             staged_pauses_.end();
}

// Its rows and itself; a rollback leaves the rows: it is taken up as an empty queue.
Result<> Board::drop_queue(const std::string& name) {
  const auto at = queues_.find(name);
  Queue& queue = *at->second;
  for (const auto& [key, share] : queue.shares) {
    if (auto gone = noted(store_.remove_share(share.lane)); !gone) return gone;
  }
  if (auto gone = noted(store_.remove_queue(queue.common.lane)); !gone) return gone;
  for (const auto& [key, share] : queue.shares) lanes_.erase(share.lane);
  lanes_.erase(queue.common.lane);
  shares_ -= queue.shares.size();
  removed_.pushed += queue.pushed;
  removed_.done += queue.done;
  removed_.failed += queue.failed;
  queues_.erase(at);
  return {};
}

void Board::expect(const Place& place, const std::string& queue, int change) {
  if (place.lane != kScheduled && place.lane != kRetries) return;
  if (!expected_known_ && place > counted_to_) return;  // it will be
  if (change > 0) {
    ++expected_[queue];
  } else if (const auto found = expected_.find(queue);
             found != expected_.end() && --found->second == 0) {
    expected_.erase(found);
  }
}

// Between transactions. Each of these jobs is read.
Result<bool> Board::count_step() {
  if (expected_known_) return true;
  const LaneId id = std::max(counted_to_.lane, kScheduled);
  const Key after = counted_to_.lane == id ? counted_to_.key : kBeforeAll.key;
  auto counts = store_.counts_by_queue(id, after, kCountStep);
  if (!counts) return pass(counts);
  for (const auto& [queue, jobs] : counts->jobs) expected_[queue] += jobs;
  counted_to_ = {id, counts->last};
  if (counts->end) counted_to_ = {id + 1, kBeforeAll.key};
  expected_known_ = counted_to_.lane > kRetries;
  return expected_known_;
}

Result<> Board::remove_queue(const std::string& name) {
  const auto found = queues_.find(name);
  return found != queues_.end() && unused(*found->second) ? drop_queue(name) : Result<>{};
}

// All that are unused make room at once: else each new queue would look at all of them.
Result<> Board::recycle_queues() {
  std::vector<std::string> idle;
  for (const auto& [name, queue] : queues_) {
    if (!queue->paused && unused(*queue)) idle.push_back(name);
  }
  for (const std::string& name : idle) {
    if (auto done = drop_queue(name); !done) return done;
  }
  return {};
}

Result<Board::Choice> Board::choose(Queue& queue, const Now& now) {
  Choice best;
  if (auto done = consider(queue, queue.common, now, best); !done) return pass(done);
  for (auto& [key, share] : queue.shares) {
    if (auto done = consider(queue, share, now, best); !done) return pass(done);
  }
  return best;
}

// The more urgent comes first; then whose turn it is, and who has not waited for one does not save turns up; then who came first.
Result<> Board::consider(Queue& queue, Share& share, const Now& now, Choice& best) {
  Lane& from = lane(share.lane);
  if (from.size() == 0) return {};
  if (auto filled = refill(from, 1); !filled) return filled;
  Entry* first = from.first();
  if (first == nullptr || !throttles_.allows(first->job, now.steady)) return {};
  const std::uint64_t turn = std::max(share.turn, queue.turn);
  const auto rank_of = [](const Entry* entry, std::uint64_t its_turn) {
    return std::tuple(entry->place.key.rank, its_turn, entry->place.key.seq);
  };
  if (best.entry == nullptr || rank_of(first, turn) < rank_of(best.entry, best.turn))
    best = {first, &share, turn};
  return {};
}

std::vector<LaneId> Board::lanes_of(std::string_view queue) const {
  std::vector<LaneId> lanes;
  const auto found = queues_.find(std::string(queue));
  if (found == queues_.end()) return lanes;
  lanes.push_back(found->second->common.lane);
  for (const auto& [key, share] : found->second->shares) lanes.push_back(share.lane);
  return lanes;
}

}  // namespace headroom::tasks
