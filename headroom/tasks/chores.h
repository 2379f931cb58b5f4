// headroom/tasks/chores.h - Headroom's own maintenance, as ordinary recurring tasks: shown, paused, moved and removed like any other.
//
// Each chore has a schedule `headroom-<name>`, made once: what an operator changes or removes stays so. Its jobs, of type `headroom-<name>` in
// the queue `headroom`, are run here; what it did is the job's result.
//
// Owns: a Runner, a thread for what blocks. Borrows: the engine, the workers.
// Worker and threads: made, started and stopped from main's thread; chores run on the thread, one at a time.
// Limits: one chore at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "headroom/net/offload.h"
#include "headroom/tasks/runner.h"

namespace headroom::tasks {

struct Chore {
  std::string name;
  std::string cron;
  std::function<Result<std::string>()> work;  // may block; a sentence that says what it did
};

class Chores {
 public:
  static constexpr std::string_view kPrefix = "headroom-";
  static constexpr std::string_view kQueue = "headroom";

  Chores(Engine& engine, net::Workers& workers, std::vector<Chore> chores);

  // Errc as Engine::run_write. A schedule that cannot be made now is made by the next start.
  [[nodiscard]] Result<> start();
  void stop() { runner_.stop(); }

 private:
  [[nodiscard]] net::Task<Result<>> run(const Chore& chore, Work& work);

  Engine& engine_;
  const std::vector<Chore> chores_;
  net::Offload thread_{"chores", 1};
  Runner runner_;
};

// What the task server does for itself: reads every page of its store, and lets SQLite look at its statistics.
[[nodiscard]] Chore check_of_store(std::string path);

}  // namespace headroom::tasks
