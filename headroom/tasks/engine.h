// headroom/tasks/engine.h - the thread on which the board and its store live, and how everybody else asks it.
//
// What the coroutines of a worker ask in one round of its events is handed over at once, at the end of the round. What has arrived is taken as
// one batch: first what only reads and what fetches, then all changes in one transaction with one fsync, then
// their answers, then the fetches that wait get what has become ready. While one batch is on its way to the disk the next one gathers; when it
// is quiet a change waits for nothing but its own fsync.
//
// Owns: the store, the board, the thread. Borrows: the workers, to which it posts answers.
// Worker and threads: the coroutines on any worker; run() and its kin from threads that may block; never from the engine's own.
// Invariants: (1) a change that was answered {} is on disk; (2) when a batch cannot be written, each of its changes is tried by itself, so that
//   what needs no room is not refused with what does; (3) every request is answered, at the latest by stop(); (4) a failing store does not
//   make it spin: what time brings is tried again after a second.
// Limits: kMostWaiting requests at once, beyond which they answer Errc::overloaded.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <latch>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/net/worker.h"
#include "headroom/tasks/board.h"
#include "headroom/tasks/searches.h"
#include "headroom/tasks/traced.h"

namespace headroom::tasks {

class Engine {
 public:
  static constexpr std::size_t kMostWaiting = 200'000;

  using Change = std::move_only_function<Result<>(Board&, const Now&)>;
  using Look = std::move_only_function<void(Board&, const Now&)>;
  using Take = Result<std::optional<Leased>>;

  // `spans`: where those of traced jobs go; null: nowhere.
  Engine(net::Workers& workers, metrics::Registry& registry, std::unique_ptr<Store> store,
         const TasksOptions& options, link::Spans* spans = nullptr);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  // Takes up what the store holds, which may take seconds, and begins.
  [[nodiscard]] Result<> start();
  // Fetches answer at once from now on.
  void stop_waiting();
  // Writes leases and totals down, ends the thread, closes the store. What asks later is answered Errc::unavailable.
  void stop();

  // On disk when it answers {}. `change` is run on the engine's thread, again if its batch could not be written; it may use the caller's frame.
  [[nodiscard]] net::Task<Result<>> write(net::Worker& worker, Change change);
  // The same in a transaction of its own.
  [[nodiscard]] net::Task<Result<>> write_alone(net::Worker& worker, Change change);
  [[nodiscard]] net::Task<Result<>> read(net::Worker& worker, Look look);
  // Waits for a job until `until`; nothing when there was none.
  [[nodiscard]] net::Task<Take> fetch(net::Worker& worker, const std::vector<std::string>& queues,
                                      std::string_view wid, TimePoint until);
  // What became of a tracked job: waits for its end, or for it to be dead, until `until`; then as it is. Errc::not_found: it is not tracked,
  // or not any more.
  [[nodiscard]] net::Task<Result<Track>> outcome(net::Worker& worker, std::string jid,
                                                 TimePoint until);
  // Where a job lies in the store, if it does; what is in memory is found by Board::whereabouts(). Errc::cancelled: the engine ends.
  using Located = Result<std::optional<Place>>;
  [[nodiscard]] net::Task<Located> locate(net::Worker& worker, Searches::Sought sought);
  // Without an answer.
  void tell(Look look);

  // The same for threads that may block.
  [[nodiscard]] Result<> run_write(Change change);
  [[nodiscard]] Result<> run_write_alone(Change change);
  [[nodiscard]] Result<> run_read(Look look);

  [[nodiscard]] Bytes job_limit() const { return options_.job_limit; }
  // After stop_waiting().
  [[nodiscard]] bool ends() const { return no_waiting_; }
  // As the board was at most a second ago.
  [[nodiscard]] BoardStatus last_status() const;
  // Where spans of traced jobs go; null: nowhere.
  [[nodiscard]] link::Spans* spans() const { return traced_.spans(); }
  [[nodiscard]] metrics::HistogramValues run_times() const { return run_time_.values(); }
  [[nodiscard]] metrics::HistogramValues wait_times() const { return wait_time_.values(); }
  // Why the store cannot be written to now, if so.
  [[nodiscard]] std::optional<std::string> trouble() const;

 private:
  enum class Kind : std::uint8_t { read, fetch, write, alone, outcome, locate };

  // In the frame of who waits for it.
  struct Request {
    Kind kind = Kind::read;
    net::Worker* worker = nullptr;  // null: `resume` is called on the engine's thread
    Change change{};
    Look look{};
    const std::vector<std::string>* queues = nullptr;
    std::string_view wid{};  // outcome: the jid
    TimePoint until{};
    std::optional<Leased> job{};
    Track track{};
    Searches::Sought sought{};
    std::optional<Place> place{};
    Result<> result{};
    std::move_only_function<void()> resume{};
  };

  [[nodiscard]] net::Task<> ask(net::Worker& worker, Request& request);
  void ask(Request& request);
  void submit(Request* request);
  // Of one worker, or of a thread that waits.
  void hand_over(std::span<Request* const> requests);
  void refuse(Request* request, Errc code, std::string_view why);
  void run();
  void look_for_pause(TimePoint expected);
  void look_after_round();
  void round(std::span<Request* const> batch, std::vector<Look>& told);
  void look_and_fetch(std::span<Request* const> batch, const Now& now);
  void write_batch(std::span<Request* const> writes, bool upkeep, const Now& now);
  // False when the store failed: nothing of it is so.
  [[nodiscard]] bool try_transaction(std::span<Request* const> writes, bool upkeep, const Now& now);
  bool try_fetch(Request* fetch, const Now& now);
  void serve_waiters(const Now& now);
  void end_waiters(const Now& now);
  bool try_outcome(Request* request, const Now& now);
  void serve_outcomes(const Now& now);
  void locate(Request* request);
  void search();
  void answer(Request* request);
  static void resume(Request* request);
  void flush();
  void refresh_status(const Now& now);
  void measure_pace(BoardStatus& status, const Now& now);
  void note_trouble(const Error& error);
  void note_success();

  net::Workers& workers_;
  const TasksOptions options_;
  std::unique_ptr<Store> store_;
  std::optional<Board> board_;
  Searches searches_;  // the engine's thread
  std::thread thread_;

  std::mutex mutex_;  // the one way from workers to this thread
  std::condition_variable arrived_;
  std::vector<Request*> inbox_;
  std::vector<Look> told_;
  bool ending_ = false;
  bool running_ = false;
  std::atomic<bool> no_waiting_{false};

  std::vector<std::vector<Request*>> leaving_;  // by worker, each its own: gathered in this round
  std::list<Request*> waiters_;                 // the engine's thread
  TracedJobs traced_;                           // the same
  std::unordered_multimap<std::string, Request*> awaited_;  // by jid; the engine's thread
  std::vector<std::vector<Request*>> answers_;              // by worker
  TimePoint upkeep_from_{};                                 // not before
  TimePoint looked_at_{};                                   // the clock, last
  TimePoint slow_at_{};                                     // when a round was found slow, last
  TimePoint next_complaint_{};
  std::atomic<std::size_t> waiting_{0};
  metrics::Counter& commits_;
  metrics::Counter& failed_commits_;
  metrics::Counter& changes_;
  metrics::Counter& refused_;
  metrics::Counter& pushed_;
  metrics::Counter& done_;
  metrics::Counter& failed_;
  metrics::Histogram& run_time_;
  metrics::Histogram& wait_time_;
  metrics::Histogram::Recorder wait_recorder_;
  metrics::Histogram::Recorder
      run_recorder_;  // the engine's thread alone writes to the slot of other threads
  struct Pace {
    std::uint64_t pushed = 0, done = 0;
    double pushed_per_s = 0, done_per_s = 0;
  };
  std::map<std::string, Pace> paces_;  // by queue
  TimePoint paced_{};
  TimePoint next_status_{};
  mutable std::mutex shown_mutex_;  // written once a second, read by health and metrics
  std::optional<std::string> trouble_;
  BoardStatus status_;
};

}  // namespace headroom::tasks
