// headroom/tasks/board.h - the scheduler: which jobs wait, which are leased and to whom, and what each request makes of that.
//
// Owns: the jobs in memory, leases, workers, unique locks, totals. Borrows: the store.
// Worker and threads: none of its own; every call on the engine's thread. Time is handed in.
//
// A change has two steps, so that nobody sees what is not on disk: within a transaction of the store a call stages it (writes rows, marks what
// it touches); committed() makes all that was staged so, rolled_back() forgets it. Reads see what is committed.
//
// Invariants: (1) a job is in one lane or gone; (2) it is leased to at most one worker at a time; (3) a change that was answered is on disk;
//   (4) memory is bounded by memory_limit plus what is leased, whatever the backlog; (5) an acknowledgement by another worker than the one
//   that holds the lease changes nothing.
// Limits: TasksOptions.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/base/hash.h"
#include "headroom/base/metrics.h"
#include "headroom/tasks/batch.h"
#include "headroom/tasks/job.h"
#include "headroom/tasks/lane.h"
#include "headroom/tasks/options.h"
#include "headroom/tasks/schedule.h"
#include "headroom/tasks/store.h"
#include "headroom/tasks/throttles.h"
#include "headroom/tasks/time.h"
#include "headroom/tasks/track.h"

namespace headroom::tasks {

// A worker process, as it introduced itself.
struct WorkerIdentity {
  std::string wid{};
  std::string hostname{};
  std::int64_t pid = 0;
  std::vector<std::string> labels{};
  bool own = false;  // a pool of this process: nobody's to quiet
};

// One lease among all: a job may be leased many times.
struct Lease {
  std::uint64_t seq = 0;
  TimePoint begun{};
  bool operator==(const Lease&) const = default;
};

struct Leased {
  std::uint64_t seq = 0;
  std::string body;
  Duration waited{};  // since it was ready
  TimePoint begun{};
  TimePoint end{};
  [[nodiscard]] Lease lease() const { return {seq, begun}; }
};

// How long the jobs of a queue waited and ran, since the start.
struct QueueTimes {
  metrics::HistogramValues wait;
  metrics::HistogramValues run;
};

// What is shown of them: a histogram is thirty times as large.
struct TimesShown {
  std::uint64_t count = 0;
  Duration mean{}, p50{}, p95{}, p99{};

  [[nodiscard]] static TimesShown of(const metrics::HistogramValues& values) {
    return {values.count(), values.mean(), values.quantile(0.5), values.quantile(0.95),
            values.quantile(0.99)};
  }
};

struct QueueStatus {
  std::string name;
  std::size_t shares = 0;  // keys with a line of their own
  bool paused = false;
  std::uint64_t waiting = 0;
  std::uint64_t running = 0;
  std::uint64_t pushed = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  double pushed_per_s = 0;  // of late; last_status() of the engine knows
  double done_per_s = 0;
};

struct WorkerStatus {
  WorkerIdentity identity;
  std::string state;  // "", "quiet", "terminate"
  std::uint32_t connections = 0;
  std::size_t running = 0;
  std::int64_t rss_kb = 0;
  double last_beat_s = -1;  // ago; -1: never
};

struct BoardStatus {
  std::vector<QueueStatus> queues;
  std::vector<WorkerStatus> workers;
  std::uint64_t scheduled = 0, retries = 0, dead = 0, running = 0;
  std::uint64_t pushed = 0, done = 0, failed = 0;  // since the store was made
  std::uint64_t bytes_held = 0;
};

struct Share;

class Board {
 public:
  Board(Store& store, const TasksOptions& options, std::uint64_t seed);
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;
  ~Board();

  // Takes up what the store holds. Once, before all else.
  [[nodiscard]] Result<> load(const Now& now);

  // Staged, within a transaction. An error of the caller's (invalid, conflict, not_found, overloaded) has staged nothing; one of the store's
  // is also kept in store_error(), and the whole transaction must be rolled back.
  [[nodiscard]] Result<> push(Job job, const Now& now);
  // The same without a copy: it must stay where it is until the commit, which has taken it, or the rollback, which gives it back.
  [[nodiscard]] Result<> offer(Job& job, const Now& now);
  // Of a job that nobody has: nothing, as if it had been done already. `result`, JSON, is kept of a tracked job.
  [[nodiscard]] Result<> acknowledge(std::string_view jid, std::string_view wid, const Now& now,
                                     std::string_view result = {});
  // Whether that is for acknowledge_at(): the word is about nothing in memory, but a process before this one may have leased a job of this name
  // that lies on the disk alone now.
  [[nodiscard]] bool may_be_older(std::string_view jid, std::string_view wid) const;
  // Of a job that Engine::locate() found on the disk. Errc::conflict: it is there no more.
  [[nodiscard]] Result<> acknowledge_at(std::string_view jid, const Place& place,
                                        std::string_view wid, const Now& now,
                                        std::string_view result = {});
  // Errc::not_found when it is not leased to this worker.
  [[nodiscard]] Result<> fail_job(std::string_view jid, std::string_view wid,
                                  const Failure& failure, const Now& now);
  [[nodiscard]] Result<> set_paused(const std::vector<std::string>& queues, bool paused);
  // One in which nothing waits, nothing runs and to which no scheduled or retrying job may come back, as count_step() has found; paused or not.
  // Others stay.
  [[nodiscard]] Result<> remove_queue(const std::string& name);
  [[nodiscard]] Result<> clear();
  // New, with a bid of its own. Errc::not_found: the batch around it; invalid: that one is over, or too deep.
  [[nodiscard]] Result<> add_batch(Batch batch, const Now& now);
  [[nodiscard]] Result<> commit_batch(std::string_view bid, const Now& now);
  // What its worker says of a job. Errc::conflict: it has been cancelled. Of one that is not tracked: nothing, but its lease may grow.
  struct Progress {
    std::string jid;
    std::optional<std::int64_t> percent{};
    std::optional<std::string> desc{};
    WallTime reserve_until = 0;
  };
  [[nodiscard]] Result<> note_progress(const Progress& said, const Now& now);
  // New, or instead of the one of its name; from now on, unless only other things than its times have changed.
  [[nodiscard]] Result<> put_schedule(Schedule schedule, const Now& now);
  [[nodiscard]] Result<> remove_schedule(std::string_view name);
  // Made unless one of its name has ever been offered.
  [[nodiscard]] Result<> offer_schedule(const Schedule& schedule, const Now& now);
  // What time has brought: jobs that are due, leases that have run out, workers that are gone, dead jobs that are too old.
  [[nodiscard]] Result<> upkeep(const Now& now);
  [[nodiscard]] bool needs_upkeep(const Now& now) const;
  // Writes leases and totals down, so that the next process goes on with them.
  [[nodiscard]] Result<> park(const Now& now);

  // One step through a lane, in a transaction with nothing else in it: at most `limit` jobs behind `after`, and kSweepTime.
  static constexpr Duration kSweepTime = 20ms;
  enum class Act : std::uint8_t { none, remove, requeue, kill };
  struct Swept {
    Key last{};  // where the next step begins
    bool end = false;
    std::uint64_t matched = 0;
    std::uint64_t left =
        0;  // that fit but stay where they are: their queue is gone, and there is no room for it
    std::vector<StoredJob> jobs{};  // with Act::none, those that matched
  };
  using Filter = std::function<bool(const Job&)>;
  // What is being worked on lies in its queue's lane too: it is not waiting.
  enum class Running : std::uint8_t { passed_over, taken };
  [[nodiscard]] Result<Swept> sweep(LaneId lane, const Key& after, std::size_t limit, Act act,
                                    const Filter& filter, const Now& now,
                                    Running running = Running::passed_over);

  // Of one job in memory, to be removed or requeued. Errc::conflict: it is not there any more, or has been leased and shall not be removed.
  static constexpr std::string_view kNoQueue =
      "their queues are gone, and tasks.queues_limit lets no more be made";
  static constexpr std::string_view kHasMoved = "the job has moved meanwhile; ask again";
  [[nodiscard]] bool holds(const Place& place) const { return entries_.contains(place.key.seq); }
  [[nodiscard]] Result<> act_on(std::string_view jid, const Place& place, Act act, const Now& now);

  struct Outcome {
    std::uint64_t pushed = 0, done = 0, failed = 0;
    std::vector<Duration> runs{};  // from lease to acknowledgement
    struct Ended {
      std::uint64_t seq = 0;
      TimePoint leased_at{};
      bool failed = false;
    };
    std::vector<Ended> ended{};  // what its worker said the end of
  };
  Outcome committed(const Now& now);
  void rolled_back();
  [[nodiscard]] const std::optional<Error>& store_error() const { return store_error_; }

  // Between transactions.
  // Reads what upkeep() must see. Before needs_upkeep().
  [[nodiscard]] Result<> prepare(const Now& now);
  // Goes on counting, for some milliseconds, which queues scheduled and retrying jobs name; true once it knows.
  [[nodiscard]] Result<bool> count_step();
  // Leases the first job of the first queue that has one. A worker that is quiet gets none.
  [[nodiscard]] Result<std::optional<Leased>> take(const std::vector<std::string>& queues,
                                                   std::string_view wid, const Now& now);
  // A leased job whose worker never heard of it. Of a lease that is over: nothing.
  void give_back(const Lease& lease);
  // It lasts until then at least. Of one that is over: nothing.
  void lengthen(const Lease& lease, TimePoint end);
  // All have stood still for so long, and nobody could say a word: that time counts neither against workers nor against leases.
  void excuse(Duration pause);
  void connect(const WorkerIdentity& identity, const Now& now);
  void disconnect(std::string_view wid, const Now& now);
  // It fetches nothing now, whatever waits.
  [[nodiscard]] bool is_quiet(std::string_view wid) const;
  // What the worker shall become: "", "quiet" or "terminate". Errc::not_found: no such worker.
  [[nodiscard]] Result<std::string> beat(std::string_view wid, std::string_view state,
                                         std::int64_t rss_kb, const Now& now);
  // The jobs of a worker that were cancelled while it had them, since the last call.
  [[nodiscard]] std::vector<std::string> take_cancelled(std::string_view wid);
  // Tells a worker, with its next heartbeat.
  [[nodiscard]] Result<> order(std::string_view wid, std::string state);
  [[nodiscard]] BoardStatus status(const Now& now) const;
  // Where its jobs wait; none: there is no such queue.
  [[nodiscard]] std::vector<LaneId> lanes_of(std::string_view queue) const;
  [[nodiscard]] std::vector<std::string> queue_names() const;
  struct ScheduleStatus {
    Schedule schedule;
    std::optional<WallTime> next;
    std::uint64_t runs = 0;  // since the start
  };
  // Behind `after`, by name: as many as have `bytes` of jobs, and one at least.
  struct Schedules {
    std::vector<ScheduleStatus> rows{};
    bool more = false;
  };
  [[nodiscard]] Schedules schedules(
      std::string_view after = "",
      std::size_t bytes = std::numeric_limits<std::size_t>::max()) const;
  [[nodiscard]] std::optional<Batch> batch(std::string_view bid) const;
  // What Batch::status() says of the first.
  [[nodiscard]] std::vector<std::string> batches(std::size_t limit) const;
  // State unknown: not tracked, or not any more.
  [[nodiscard]] Track track_of(std::string_view jid);
  // The tracked jobs that have come to an end, or to the dead, since the last call.
  [[nodiscard]] std::vector<std::string> take_outcomes() { return std::exchange(outcomes_, {}); }
  // Where a job is now, of those in memory: its place, and who has it.
  struct Whereabouts {
    StoredJob stored;
    std::string wid;
    bool leased = false;
    double leased_s = 0;  // since
  };
  [[nodiscard]] Result<std::optional<Whereabouts>> whereabouts(std::string_view jid,
                                                               const Now& now);
  // A job that is known to lie there, if it still does.
  [[nodiscard]] Result<std::optional<StoredJob>> job_at(std::string_view jid,
                                                        const Place& place) const;
  // In the order of their numbers, behind `after`.
  [[nodiscard]] std::vector<Whereabouts> running(std::uint64_t after, std::size_t limit,
                                                 const Now& now) const;
  struct QueueView {
    double latency_s = 0;
    TimesShown wait{}, run{};
  };
  struct Overview {
    BoardStatus board{};
    std::vector<QueueView> queues{};  // as those of `board`
  };
  // Made once a round of the engine, for all who ask in it.
  [[nodiscard]] std::shared_ptr<const Overview> overview(const Now& now);
  // How long its first waiting job has waited; 0: none does.
  [[nodiscard]] double latency_s(std::string_view queue, const Now& now) const;
  // The queues in which jobs have become ready since the last call.
  struct News {
    bool everywhere = false;
    std::unordered_set<std::string> queues{};
    explicit operator bool() const { return everywhere || !queues.empty(); }
  };
  [[nodiscard]] News take_news(const Now& now);
  // Until when nothing changes by itself.
  [[nodiscard]] TimePoint next_due(const Now& now) const;
  // Jobs up to it may have been leased by a process before this one.
  [[nodiscard]] std::uint64_t boot_seq() const { return boot_seq_; }
  // The store was gone through: none of them waits any more.
  void note_none_older() { older_on_disk_ = false; }

 private:
  struct Queue;
  struct Worker;
  struct Lock;
  struct Change;
  struct Planned;
  using EntryPointer = std::unique_ptr<Entry>;

  // Entries.
  Entry* index(EntryPointer entry);
  void forget(Entry* entry);
  void note_returned(const Entry& entry);
  [[nodiscard]] bool has_returned(std::string_view jid, const Place& place) const;
  void settle_in(EntryPointer entry, WallTime ready);
  [[nodiscard]] static Duration waited(Entry& entry, const Now& now);
  void leave(Entry* entry);
  // The job in memory that a worker's word is about: leased to it, or come back from a lease; null: none.
  [[nodiscard]] Entry* spoken_of(std::string_view jid, std::string_view wid) const;
  [[nodiscard]] Result<> acknowledge_spilled(std::string_view jid, const Place& place,
                                             const Now& now, std::string_view result);
  [[nodiscard]] Entry* held_by(std::string_view jid, std::string_view wid) const;
  [[nodiscard]] Lane& lane(LaneId id);
  [[nodiscard]] Result<> refill(Lane& lane, std::size_t least);
  void spill(Lane& lane);
  // Leases.
  void lease(Entry* entry, std::string_view wid, const Now& now,
             Throttles::Begun begun = Throttles::Begun::now);
  void end_lease(Entry* entry);
  [[nodiscard]] Entry* entry_of(const Lease& lease) const;
  void move_lease_end(Entry* entry, TimePoint end);
  // Staging.
  [[nodiscard]] Result<> noted(Result<> done);
  enum class Ending : std::uint8_t { done, dropped };
  [[nodiscard]] Result<> stage_push(Job& job, Job* lender, const Now& now);
  [[nodiscard]] Result<> stage_remove(Entry* entry, Ending ending, const Now& now,
                                      std::string_view result = {});
  [[nodiscard]] Result<> stage_end(const Job& job, Ending ending, const Now& now,
                                   std::string_view result = {});
  [[nodiscard]] Result<> stage_move(Entry* entry, const Place& to);
  [[nodiscard]] Result<> stage_failure(Entry* entry, const Failure& failure, const Now& now);
  [[nodiscard]] Result<> stage_loss(Entry* entry, const Now& now);
  [[nodiscard]] Result<> stage_dead(Entry* entry, const Failure& failure, const Now& now);
  [[nodiscard]] Result<> stage_lock(const Job& job, const Now& now);
  [[nodiscard]] Result<> stage_unlock(const Job& job);
  // Batches: a copy to be changed in this transaction; null: there is none.
  [[nodiscard]] Batch* batch_to_change(const std::string& bid);
  [[nodiscard]] Result<> check_batch(const Job& job);
  [[nodiscard]] Result<> join_batch(const Job& job, const Now& now);
  [[nodiscard]] Result<> count_in_batch(const Job& job, Ending ending, const Now& now);
  [[nodiscard]] Result<> settle_batch(std::string bid, const Now& now);
  [[nodiscard]] Result<> call_back(const Batch& batch, Callback which, const Now& now);
  [[nodiscard]] bool batches_are_due(const Now& now) const;
  [[nodiscard]] Result<> end_batches(const Now& now);
  [[nodiscard]] Result<> push_next_in_chain(const Job& job, const Now& now);
  // Tracks.
  [[nodiscard]] Result<> stage_track(const Job& job, TrackState state, const Now& now,
                                     std::string_view result = {});
  [[nodiscard]] Result<> put_track(Track track);
  [[nodiscard]] Result<> drop_track(const std::string& jid);
  [[nodiscard]] Result<> make_room_for_track();
  [[nodiscard]] Result<> end_tracks(const Now& now);
  [[nodiscard]] Result<> restore_batches_and_tracks();
  void note_cancelled(const std::string& jid, const std::string& wid);
  [[nodiscard]] Result<> sweep_one(StoredJob& found, Act act, const Now& now);
  [[nodiscard]] Result<> make_room_for_queue(const std::string& name);
  [[nodiscard]] Result<> make_room_for(const Job& job);
  [[nodiscard]] Result<Queue*> queue_for_push(const std::string& name);
  // Of the board itself: a callback, the next of a chain, a slot of a schedule.
  [[nodiscard]] Result<> push_own(Job job, const Now& now);
  [[nodiscard]] Result<> take_up_lane(LaneId id);
  void forget_cancelled(const std::string& jid);
  [[nodiscard]] Result<> stage_ready(Entry* entry, const Now& now);
  [[nodiscard]] Result<> promote(LaneId from, const Now& now);
  [[nodiscard]] Result<> reap_leases(const Now& now);
  [[nodiscard]] Result<> reap_workers(const Now& now);
  [[nodiscard]] Result<> trim_dead(const Now& now);
  void commit_overlays();
  [[nodiscard]] Result<> restore_schedules(const Now& now);
  [[nodiscard]] Result<> fire_schedules(const Now& now);
  [[nodiscard]] Result<> fire(Planned& planned, const Now& now);
  [[nodiscard]] static bool is_ahead(const Planned& planned, const Now& now);
  [[nodiscard]] Result<> bring_back(const Planned& planned, const Now& now);
  // Whether the wall clock has gone evenly for long enough to remove for good what is old by it.
  [[nodiscard]] bool ages_count(const Now& now) const;
  void watch_clock(const Now& now);
  [[nodiscard]] bool is_dead(const Worker& worker, const Now& now) const;
  void bury_former(Worker& worker, const Now& now);
  [[nodiscard]] Result<> restore_leases(const Now& now);
  [[nodiscard]] Result<> restore_lease(const Note& note, const Now& now);
  void restore_totals(std::string_view text);
  [[nodiscard]] Result<> restore_rates(const Now& now);
  [[nodiscard]] Result<> note_rates(const Now& now);
  [[nodiscard]] std::string totals() const;
  // Where it waits to be handed out; makes what is missing.
  [[nodiscard]] Result<Place> ready_place(const Job& job);
  [[nodiscard]] Result<LaneId> lane_for(Queue& queue, const Job& job);
  [[nodiscard]] Result<> recycle_shares();
  [[nodiscard]] bool unused(const Queue& queue) const;
  [[nodiscard]] Result<> drop_queue(const std::string& name);
  [[nodiscard]] Result<> recycle_queues();
  void expect(const Place& place, const std::string& queue, int change);
  // Whether somebody wants to know what is not counted yet.
  [[nodiscard]] bool counting() const {
    return !expected_known_ && queues_.size() >= options_.queues_limit;
  }
  // Whose turn it is.
  struct Choice {
    Entry* entry = nullptr;
    Share* share = nullptr;
    std::uint64_t turn = 0;
  };
  [[nodiscard]] Result<Choice> choose(Queue& queue, const Now& now);
  [[nodiscard]] Result<> consider(Queue& queue, Share& share, const Now& now, Choice& best);
  void apply(Change& change, const Now& now);

  Store& store_;
  const TasksOptions options_;
  Random random_;
  Throttles throttles_;
  const Backoffs backoffs_;
  LaneId next_lane_ = kFirstQueue;
  std::size_t shares_ = 0;  // of all queues
  struct {
    std::uint64_t pushed = 0, done = 0, failed = 0;
  } removed_;  // by queues that are gone
  std::uint64_t last_seq_ = 0;
  std::uint64_t boot_seq_ = 0;  // jobs up to it may have been leased by a process before this one
  bool older_on_disk_ = false;  // some of them may lie on the disk alone
  std::uint64_t bytes_ = 0;     // of entries
  News news_;

  std::unordered_map<std::uint64_t, EntryPointer> entries_;  // by seq
  std::unordered_map<std::uint64_t, Entry*> by_jid_;         // by the jid's hash, chained
  std::unordered_map<LaneId, std::unique_ptr<Lane>> lanes_;
  std::unordered_map<std::string, std::unique_ptr<Queue>> queues_;
  // By queue: its scheduled and retrying jobs, for which it is kept.
  std::unordered_map<std::string, std::uint64_t> expected_;
  bool expected_known_ = false;
  Place counted_to_ = kBeforeAll;  // until it is known: of the jobs up to there
  std::unordered_map<std::string, std::unique_ptr<Worker>> workers_;
  std::uint64_t former_ = 0;  // workers whose name another process took
  std::unordered_map<std::string, Lock> locks_;
  std::set<std::pair<TimePoint, std::uint64_t>> lease_ends_;
  std::unordered_map<std::uint64_t, Place> returned_;  // by the jid's hash: see note_returned()
  std::deque<std::uint64_t> returned_order_;
  std::vector<std::uint64_t> expired_;  // found by take(), to be removed

  std::map<std::string, Planned, std::less<>> schedules_;
  std::map<std::string, Batch, std::less<>> batches_;
  std::map<std::string, Track, std::less<>> tracks_;
  std::set<std::pair<WallTime, std::string>> ended_tracks_;
  std::vector<std::string> outcomes_;
  std::deque<std::string> cancelled_order_;
  std::unordered_set<std::string> cancelled_;  // while they ran
  WallTime batches_looked_at_ = 0;
  WallTime clock_offset_ = 0;  // wall clock less monotonic one, and since when it is so
  TimePoint clock_even_since_ = kNever;

  std::vector<Change> staged_;
  std::map<std::string, std::optional<Planned>> staged_schedules_;  // nothing: it is removed
  std::map<std::string, std::optional<Batch>> staged_batches_;
  std::map<std::string, std::optional<Track>> staged_tracks_;
  std::unordered_set<std::string> staged_locks_;
  std::unordered_set<std::string> staged_unlocks_;
  std::vector<std::pair<Queue*, bool>> staged_pauses_;
  std::vector<Share*> staged_shares_;
  std::unordered_set<LaneId> staged_lanes_;  // given to a job in this transaction
  bool staged_clear_ = false;
  bool recycled_ = false;  // queues that nobody uses were looked for
  bool staged_rates_ = false;
  std::shared_ptr<const Overview> overview_;
  TimePoint overview_at_{};
  std::optional<Error> store_error_;
};

}  // namespace headroom::tasks
