// headroom/tasks/desk.h - what people and the HTTP door ask of the task server.
//
// Owns: nothing. Borrows: the engine, the group of who asks. Worker: the group's; every call may suspend.
// Invariants: (1) a long backlog is gone through in steps, so that pushes and fetches go on meanwhile; (2) changes of single jobs share their
//   fsync with what else arrives, but for jobs that lie on the disk alone; (3) what takes many steps ends when the group is stopped
//   (Errc::cancelled).
// Limits: kPage jobs a listing; kStep jobs a step.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/net/task_group.h"
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
  // `spans`: where those of traced jobs go; may be null.
  Enqueueing(const std::vector<std::string>& texts, Bytes limit, link::Spans* spans);
  [[nodiscard]] Result<> write(Board& board, const Now& now);
  // The change is on disk, or is not.
  void ended(bool written);
  [[nodiscard]] const Enqueued& done() const { return done_; }

 private:
  Enqueued done_;
  std::vector<std::pair<std::size_t, Job>> jobs_;
  std::vector<std::pair<std::size_t, Pushing>> traced_;
  std::size_t unread_ = 0;
};

class Desk {
 public:
  static constexpr std::size_t kPage = 1000;
  static constexpr std::size_t kStep = 500;

  Desk(Engine& engine, net::TaskGroup& group)
      : engine_(engine), group_(group), worker_(group.worker()) {}

  [[nodiscard]] net::Task<Result<Enqueued>> enqueue(const std::vector<std::string>& jobs);

  // Errc::not_found.
  [[nodiscard]] net::Task<Result<JobView>> find(std::string_view jid);
  // Waiting, running or in a set: it is gone. Its worker hears of it when it acknowledges.
  [[nodiscard]] net::Task<Result<>> cancel(std::string_view jid);
  // From a set into its queue, now. Errc::conflict when it waits or runs already.
  [[nodiscard]] net::Task<Result<>> retry(std::string_view jid);

  struct Listing {
    std::vector<JobView> jobs;
    std::optional<Key> next;  // where the next page begins
  };
  // `set`: "scheduled", "retrying", "dead", "running", or "waiting" with its queue.
  [[nodiscard]] net::Task<Result<Listing>> list(std::string_view set, std::string_view queue,
                                                const Key& after, std::size_t limit);
  struct Sums {
    std::uint64_t matched = 0;  // and so it was done
    std::uint64_t left = 0;     // matched too, but their queue is gone, and there is no room for it
  };
  [[nodiscard]] net::Task<Result<Sums>> sweep(std::string_view set, std::string_view queue,
                                              Board::Act act, const Board::Filter& filter);

  [[nodiscard]] net::Task<Result<>> add_batch(const Batch& batch);
  [[nodiscard]] net::Task<Result<>> commit_batch(std::string_view bid);
  // Errc::not_found.
  [[nodiscard]] net::Task<Result<Batch>> batch(std::string_view bid);
  // The first kPage.
  [[nodiscard]] net::Task<Result<std::vector<std::string>>> batches();
  [[nodiscard]] net::Task<Result<>> set_paused(std::string_view queue, bool paused);
  [[nodiscard]] net::Task<Result<>> order(std::string_view wid, std::string_view state);
  struct Overview {
    std::shared_ptr<const Board::Overview> shown;
    struct Pace {
      double pushed_per_s = 0, done_per_s = 0;
    };
    std::vector<Pace> paces{};  // of its queues
    TimesShown wait{}, run{};
  };
  [[nodiscard]] net::Task<Result<Overview>> overview();

  // Behind `after`, by name, up to kSchedulesBytes of them.
  static constexpr std::size_t kSchedulesBytes = std::size_t{1} << 20U;
  [[nodiscard]] net::Task<Result<Board::Schedules>> schedules(std::string_view after);
  [[nodiscard]] net::Task<Result<>> put_schedule(const Schedule& schedule);
  [[nodiscard]] net::Task<Result<>> remove_schedule(std::string_view name);

  [[nodiscard]] Engine& engine() const { return engine_; }

  static constexpr Key kBegin{std::numeric_limits<std::int64_t>::min(), 0};

 private:
  [[nodiscard]] net::Task<Result<std::vector<LaneId>>> lanes_of(std::string_view set,
                                                                std::string_view queue);
  [[nodiscard]] net::Task<Result<StoredPage>> page_of(LaneId lane, Key& after, std::size_t limit);
  [[nodiscard]] net::Task<Result<Sums>> sweep_lane(LaneId lane, Board::Act act,
                                                   const Board::Filter& filter);
  [[nodiscard]] net::Task<Result<JobView>> trace_of(std::string_view jid);
  [[nodiscard]] net::Task<Result<>> act_on(std::string_view jid, Board::Act act);
  [[nodiscard]] net::Task<Result<>> act_on_disk(std::string_view jid, const Place& place,
                                                Board::Act act);

  template <class F>
  [[nodiscard]] net::Task<Result<>> look(F look);

  Engine& engine_;
  net::TaskGroup& group_;
  net::Worker& worker_;
};

}  // namespace headroom::tasks
