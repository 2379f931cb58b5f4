// headroom/tasks/desk.h - what people and the HTTP door ask of the task server, in blocking calls.
//
// Owns: nothing. Borrows: the engine. Worker and threads: any thread that may block; never a worker.
// Invariants: (1) a long backlog is gone through in steps, so that pushes and fetches go on meanwhile.
// Limits: kPage jobs a listing; kStep jobs a step.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/tasks/engine.h"

namespace headroom::tasks {

// A job for people.
struct JobView {
  std::string
      state;  // "waiting", "running", "scheduled", "retrying", "dead"; of one that has ended "success" or "cancelled"
  Job job{};
  Place place{};
  std::string wid{};
  double leased_s = 0;
  Track track{};  // of a tracked job
};

// What became of jobs that were enqueued together.
struct Enqueued {
  std::vector<std::string> jids;                        // "" where refused
  std::vector<std::pair<std::size_t, Error>> refusals;  // by the job's place in the list
};

// Jobs as texts, to be written as one change: all, or those that can be. It must stay where it is until that change is answered.
class Enqueueing {
 public:
  Enqueueing(const std::vector<std::string>& texts, Bytes limit);
  [[nodiscard]] Result<> write(Board& board, const Now& now);
  [[nodiscard]] const Enqueued& done() const { return done_; }

 private:
  Enqueued done_;
  std::vector<std::pair<std::size_t, Job>> jobs_;
  std::size_t unread_ = 0;
};

class Desk {
 public:
  static constexpr std::size_t kPage = 1000;
  static constexpr std::size_t kStep = 500;
  static constexpr std::size_t kSearchStep = 20'000;

  Desk(Engine& engine, const TasksOptions& options) : engine_(engine), options_(options) {}

  [[nodiscard]] Result<Enqueued> enqueue(const std::vector<std::string>& jobs);

  // Errc::not_found.
  [[nodiscard]] Result<JobView> find(std::string_view jid);
  // Waiting, running or in a set: it is gone. Its worker hears of it when it acknowledges.
  [[nodiscard]] Result<> cancel(std::string_view jid);
  // From a set into its queue, now. Errc::conflict when it waits or runs already.
  [[nodiscard]] Result<> retry(std::string_view jid);

  struct Listing {
    std::vector<JobView> jobs;
    std::optional<Key> next;  // where the next page begins
  };
  // `set`: "scheduled", "retrying", "dead", "running", or "waiting" with its queue.
  [[nodiscard]] Result<Listing> list(std::string_view set, std::string_view queue, const Key& after,
                                     std::size_t limit);
  // How many were meant.
  [[nodiscard]] Result<std::uint64_t> sweep(std::string_view set, std::string_view queue,
                                            Board::Act act, const Board::Filter& filter);

  [[nodiscard]] Result<> add_batch(const Batch& batch);
  [[nodiscard]] Result<> commit_batch(std::string_view bid);
  // Errc::not_found.
  [[nodiscard]] Result<Batch> batch(std::string_view bid);
  // The first kPage.
  [[nodiscard]] Result<std::vector<Batch>> batches();
  [[nodiscard]] Result<> set_paused(const std::string& queue, bool paused);
  [[nodiscard]] Result<> order(const std::string& wid, const std::string& state);
  [[nodiscard]] Result<BoardStatus> status();
  [[nodiscard]] Result<std::vector<std::pair<std::string, double>>> latencies();
  [[nodiscard]] Result<QueueTimes> times(std::string_view queue);

  [[nodiscard]] Result<std::vector<Board::ScheduleStatus>> schedules();
  [[nodiscard]] Result<> put_schedule(const Schedule& schedule);
  [[nodiscard]] Result<> remove_schedule(const std::string& name);

  static constexpr Key kBegin{std::numeric_limits<std::int64_t>::min(), 0};

 private:
  [[nodiscard]] Result<std::vector<LaneId>> lanes_of(std::string_view set, std::string_view queue);
  [[nodiscard]] Result<StoredPage> page_of(LaneId lane, Key after, std::size_t limit);
  [[nodiscard]] Result<std::uint64_t> sweep_lane(LaneId lane, Board::Act act,
                                                 const Board::Filter& filter);
  [[nodiscard]] Result<JobView> trace_of(std::string_view jid);
  [[nodiscard]] Result<> act_on(std::string_view jid, Board::Act act);

  Engine& engine_;
  const TasksOptions& options_;
};

}  // namespace headroom::tasks
