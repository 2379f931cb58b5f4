// headroom/tasks/runner.h - a pool of workers within this process: coroutines that fetch jobs, run a handler and acknowledge.
//
//   Runner runner(engine, workers, {.name = "mail", .queues = {"mail"}, .at_once = 20});
//   runner.on("SendMail", [](Work& work) -> net::Task<Result<>> { ...; co_return Result<>{}; });
//   runner.start();                    // from main's thread, once the engine has started
//   co_await enqueue(engine, worker, {.jobtype = "SendMail", .args = R"(["someone"])"});
//
// To the scheduler it is one worker process like any other: with a heartbeat, leases, and jobs that return if it ends without a word.
//
// Owns: its tasks. Borrows: the engine, the workers.
// Worker and threads: made, started and stopped from main's thread; handlers run on the workers, `at_once` of them in all.
// Invariants: (1) a handler's error is the job's failure, its {} the acknowledgement, on disk before the next fetch; (2) a job that was
//   cancelled, and every job at stop(), has its group stopped: its waits answer Errc::cancelled; what stop() cut short goes back to its place;
//   (3) a lease lasts as long as RunnerOptions::lease.
// Limits: RunnerOptions::at_once.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/net/task_group.h"
#include "headroom/tasks/engine.h"

namespace headroom::tasks {

// A job to be put in; members as docs/tasks.md has them. `args` and `custom` are JSON.
struct NewJob {
  std::string jobtype;
  std::string args = "[]";
  std::string jid{};  // made when empty
  std::string queue = "default";
  int priority = 5;
  int retry = 25;
  WallTime at = 0;
  std::string custom{};
};
// On disk when it answers; its jid. Errc::invalid, conflict (not unique), overloaded, unavailable.
[[nodiscard]] net::Task<Result<std::string>> enqueue(Engine& engine, net::Worker& worker,
                                                     NewJob job);

// A job in its handler's hands.
class Work {
 public:
  Work(Engine& engine, net::Worker& worker, Leased leased);
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  [[nodiscard]] const std::string& jid() const { return jid_; }
  [[nodiscard]] const std::string& jobtype() const { return jobtype_; }
  // The whole job, JSON.
  [[nodiscard]] const std::string& body() const { return leased_.body; }
  // Tries before this one.
  [[nodiscard]] std::int64_t failures() const { return failures_; }
  [[nodiscard]] net::Worker& worker() const { return group_.worker(); }
  // For streams, sleeps and tasks of the handler; join what is spawned into it.
  [[nodiscard]] net::TaskGroup& group() { return group_; }
  [[nodiscard]] bool cancelled() const { return cancelled_; }

  // Of a tracked job; `lease` keeps it for so long from now.
  [[nodiscard]] net::Task<Result<>> progress(std::int64_t percent, std::string desc,
                                             Duration lease = {});
  // JSON, kept of a tracked job that succeeds.
  void set_result(std::string json) { result_ = std::move(json); }
  // If it fails: not before.
  void retry_at(WallTime at) { retry_at_ = at; }

 private:
  friend class Runner;
  Engine& engine_;
  Leased leased_;
  net::TaskGroup group_;
  std::string jid_;
  std::string jobtype_;
  std::int64_t failures_ = 0;
  std::string result_;
  WallTime retry_at_ = 0;
  bool cancelled_ = false;
};

struct RunnerOptions {
  std::string name = "headroom";
  std::vector<std::string> queues{"default"};
  std::size_t at_once = 10;
  Duration lease{};  // of a job at least, whatever its reserve_for
};

class Runner {
 public:
  using Handler = std::function<net::Task<Result<>>(Work&)>;

  Runner(Engine& engine, net::Workers& workers, RunnerOptions options);
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner();

  // Before start(). "*": of every type that has none of its own.
  void on(std::string jobtype, Handler handler);
  void start();
  // From now on it takes no further job; what runs goes on.
  void fetch_no_more() { fetches_ = false; }
  void fetch_again() { fetches_ = true; }
  // Jobs in handlers' hands, or on their way from there to the disk.
  [[nodiscard]] std::size_t running() const { return running_; }
  // Cuts off what still runs. After Engine::stop_waiting(), or it takes up to a second.
  void stop();

  [[nodiscard]] const std::string& wid() const { return wid_; }

 private:
  struct Part;
  [[nodiscard]] net::Task<> fetch_and_run(Part& part);
  [[nodiscard]] net::Task<> run(Part& part, Leased leased);
  [[nodiscard]] net::Task<Result<>> call(Work& work);
  // Until it is on disk, or the runner ends.
  [[nodiscard]] net::Task<> settle(Part& part, Work& work, Result<> outcome);
  [[nodiscard]] net::Task<> beat(Part& part);
  void cancel(const std::string& jid);
  void give_back(const Lease& lease);

  Engine& engine_;
  net::Workers& workers_;
  const RunnerOptions options_;
  const std::string wid_;
  std::atomic<bool> fetches_{true};
  std::atomic<std::size_t> running_{0};
  std::map<std::string, Handler, std::less<>> handlers_;
  std::vector<std::unique_ptr<Part>> parts_;  // by worker
};

}  // namespace headroom::tasks
