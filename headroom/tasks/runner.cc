#include "headroom/tasks/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"

namespace headroom::tasks {
namespace {

constexpr Duration kFetchWait = 1s;
constexpr Duration kBeat = 1s;
constexpr Duration kPause = 100ms;  // after an error, or a fetch that was cut short

}  // namespace

net::Task<Result<std::string>> enqueue(Engine& engine, net::Worker& worker, NewJob job) {
  std::string jid = job.jid.empty() ? text::random_hex(12) : job.jid;
  std::string text;
  json::Writer out(text);
  out.begin_object()
      .field("jid", jid)
      .field("jobtype", job.jobtype)
      .field("queue", job.queue)
      .key("args")
      .raw(job.args);
  out.field("priority", job.priority).field("retry", job.retry);
  if (job.at != 0) out.field("at", format_time(job.at));
  if (!job.custom.empty()) out.key("custom").raw(job.custom);
  out.end_object();
  auto read = read_job(text, wall_now(), {.bytes = engine.job_limit()});
  if (!read) co_return pass(read);
  auto change = [&read](Board& board, const Now& now) { return board.offer(*read, now); };
  auto pushed = co_await engine.write(worker, std::move(change));
  if (!pushed) co_return pass(pushed);
  co_return jid;
}

Work::Work(Engine& engine, net::Worker& worker, Leased leased)
    : engine_(engine), leased_(std::move(leased)), group_(worker) {
  const auto document =
      json::parse(leased_.body, {.bytes = Bytes{leased_.body.size()}, .depth = 64});
  if (!document) return;  // it was good when it came
  const auto word = [&](std::string_view name) {
    const auto member = document->root().find(name);
    return std::string(member ? member->string().value_or("") : "");
  };
  jid_ = word("jid");
  jobtype_ = word("jobtype");
  const auto failure = document->root().find("failure");
  const auto count = failure ? failure->find("retry_count") : std::nullopt;
  failures_ = count ? count->integer().value_or(-1) + 1 : 0;
}

net::Task<Result<>> Work::progress(std::int64_t percent, std::string desc, Duration lease) {
  Board::Progress said{.jid = jid_, .percent = percent, .desc = std::move(desc)};
  if (lease > Duration{})
    said.reserve_until =
        wall_now() + std::chrono::duration_cast<std::chrono::microseconds>(lease).count();
  auto change = [&said](Board& board, const Now& now) { return board.note_progress(said, now); };
  co_return co_await engine_.write(worker(), std::move(change));
}

struct Runner::Part {
  explicit Part(net::Worker& worker) : group(worker), finishing(worker) {}
  net::TaskGroup group;  // stopped at the end
  net::TaskGroup
      finishing;  // the tasks: joined, never stopped, so that what is done is written down
  std::list<Work*> works;
};

Runner::Runner(Engine& engine, net::Workers& workers, RunnerOptions options)
    : engine_(engine),
      workers_(workers),
      options_(std::move(options)),
      wid_(fmt::format("{}-{}", options_.name, text::random_hex(6))) {}

Runner::~Runner() { stop(); }

void Runner::on(std::string jobtype, Handler handler) {
  HR_ASSERT(parts_.empty());
  handlers_.insert_or_assign(std::move(jobtype), std::move(handler));
}

void Runner::start() {
  HR_ASSERT(parts_.empty());
  engine_.tell(
      [identity =
           WorkerIdentity{
               .wid = wid_, .hostname = "headroom", .labels = {options_.name}, .own = true}](
          Board& board, const Now& now) { board.connect(identity, now); });
  parts_.resize(workers_.size());
  workers_.each([this](net::Worker& worker) {
    Part& part = *(parts_[worker.index()] = std::make_unique<Part>(worker));
    // Places are dealt out in turn.
    for (std::size_t place = worker.index(); place < options_.at_once; place += workers_.size()) {
      HR_ASSERT(part.finishing.spawn([this, &part] { return fetch_and_run(part); }));
    }
    if (worker.index() == 0) HR_ASSERT(part.finishing.spawn([this, &part] { return beat(part); }));
  });
}

void Runner::stop() {
  if (parts_.empty()) return;
  for (const auto& part : parts_) {
    part->group.worker().run_and_wait([&part] {
      part->group.stop();
      for (Work* work : part->works) work->group_.stop();
    });
  }
  for (const auto& part : parts_) part->finishing.stop_and_join();
  for (auto& part : parts_) part->group.worker().run_and_wait([&part] { part.reset(); });
  parts_.clear();
  engine_.tell([wid = wid_](Board& board, const Now& now) { board.disconnect(wid, now); });
}

net::Task<> Runner::fetch_and_run(Part& part) {
  net::Worker& worker = part.group.worker();
  while (!part.group.stopped()) {
    if (!fetches_) {  // it may again
      (void)co_await net::sleep(part.group, kPause);
      continue;
    }
    const TimePoint until = Clock::now() + kFetchWait;
    auto taken = co_await engine_.fetch(worker, options_.queues, wid_, until);
    if (taken && *taken && !fetches_) {
      give_back((*taken)->lease());
    } else if (taken && *taken) {
      Leased leased = std::move(**taken);
      ++running_;
      co_await run(part, std::move(leased));
      --running_;
    } else if (!taken || Clock::now() < until) {
      (void)co_await net::sleep(part.group, kPause);
    }
  }
}

net::Task<> Runner::run(Part& part, Leased leased) {
  if (const TimePoint end = leased.begun + options_.lease; leased.end < end)
    engine_.tell(
        [lease = leased.lease(), end](Board& board, const Now&) { board.lengthen(lease, end); });
  Work work(engine_, part.group.worker(), std::move(leased));
  const auto place = part.works.insert(part.works.end(), &work);
  if (part.group.stopped()) work.group_.stop();
  Result<> outcome = co_await call(work);
  part.works.erase(place);
  co_await settle(part, work, std::move(outcome));
  work.group_.stop();
  co_await work.group_.join();
}

net::Task<Result<>> Runner::call(Work& work) {
  auto handler = handlers_.find(work.jobtype_);
  if (handler == handlers_.end()) handler = handlers_.find(std::string_view("*"));
  if (handler == handlers_.end())
    co_return fail(Errc::not_found, fmt::format("there is no handler for '{}'", work.jobtype_));
  try {
    co_return co_await handler->second(work);
  } catch (const std::exception& thrown) {
    co_return fail(Errc::internal, thrown.what());
  }
}

net::Task<> Runner::settle(Part& part, Work& work, Result<> outcome) {
  if (work.cancelled_) co_return;
  if (!outcome && part.group.stopped()) {
    give_back(work.leased_.lease());
    co_return;
  }
  Failure failure;
  if (!outcome)
    failure = {
        std::string(to_string(outcome.error().code)), outcome.error().message, {}, work.retry_at_};
  for (;;) {
    auto change = [&](Board& board, const Now& now) {
      return outcome ? board.acknowledge(work.jid_, wid_, now, work.result_)
                     : board.fail_job(work.jid_, wid_, failure, now);
    };
    const Result<> done = co_await engine_.write(work.worker(), std::move(change));
    if (done || done.error().code == Errc::not_found || part.group.stopped()) co_return;
    const Result<> waited = co_await net::sleep(part.group, 1s);
    if (!waited) co_return;
  }
}

void Runner::give_back(const Lease& lease) {
  engine_.tell([lease](Board& board, const Now&) { board.give_back(lease); });
}

// Keeps the leases, and hears of jobs that were cancelled.
net::Task<> Runner::beat(Part& part) {
  while (!part.group.stopped()) {
    std::vector<std::string> cancelled;
    auto look = [&](Board& board, const Now& now) {
      (void)board.beat(wid_, "", 0, now);
      cancelled = board.take_cancelled(wid_);
    };
    (void)co_await engine_.read(part.group.worker(), std::move(look));
    for (const std::string& jid : cancelled) cancel(jid);
    (void)co_await net::sleep(part.group, kBeat);
  }
}

void Runner::cancel(const std::string& jid) {
  for (const auto& part : parts_) {
    Part* its = part.get();
    its->group.worker().post([its, jid] {
      for (Work* work : its->works) {
        if (work->jid_ != jid) continue;
        work->cancelled_ = true;
        work->group_.stop();
      }
    });
  }
}

}  // namespace headroom::tasks
