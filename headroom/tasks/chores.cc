#include "headroom/tasks/chores.h"

#include <fmt/format.h>

#include "headroom/json/writer.h"
#include "headroom/sqlite/database.h"

namespace headroom::tasks {

Chores::Chores(Engine& engine, net::Workers& workers, std::vector<Chore> chores)
    : engine_(engine),
      chores_(std::move(chores)),
      runner_(engine, workers, {.name = "chores", .queues = {std::string(kQueue)}, .at_once = 1}) {
  for (const Chore& chore : chores_) {
    runner_.on(fmt::format("{}{}", kPrefix, chore.name),
               [this, its = &chore](Work& work) { return run(*its, work); });
  }
}

Result<> Chores::start() {
  for (const Chore& chore : chores_) {
    const std::string name = fmt::format("{}{}", kPrefix, chore.name);
    const std::string text = fmt::format(
        R"({{"cron":"{}","jitter_s":60,"job":{{"jobtype":"{}","queue":"{}","args":[],"retry":3,"custom":{{"track":1}}}}}})",
        chore.cron, name, kQueue);
    auto schedule = Schedule::read(name, text);
    if (!schedule) return pass(schedule, name);
    auto offered = engine_.run_write(
        [&](Board& board, const Now& now) { return board.offer_schedule(*schedule, now); });
    if (!offered) return offered;
  }
  runner_.start();
  return {};
}

net::Task<Result<>> Chores::run(const Chore& chore, Work& work) {
  auto act = [its = &chore] { return its->work(); };
  auto done = co_await thread_.run(work.worker(), std::move(act));
  if (!done) co_return pass(done);
  if (!*done) co_return pass(*done);
  std::string result;
  json::append_string(result, **done);
  work.set_result(std::move(result));
  co_return Result<>{};
}

Chore check_of_store(std::string path) {
  auto work = [path = std::move(path)]() -> Result<std::string> {
    auto database = sqlite::Database::open(path, {.must_exist = true});
    if (!database) return pass(database);
    if (auto good = (*database)->check_integrity(); !good) return pass(good);
    if (auto looked = (*database)->execute("PRAGMA analysis_limit = 1000; PRAGMA optimize;");
        !looked)
      return pass(looked);
    return "every page of the job store has been read, and is good";
  };
  return {.name = "store-check", .cron = "17 4 * * sun", .work = std::move(work)};
}

}  // namespace headroom::tasks
