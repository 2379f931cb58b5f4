// The commands of a Faktory client, after HELLO.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "headroom/fwp/reply.h"
#include "headroom/json/writer.h"
#include "headroom/tasks/acknowledging.h"
#include "headroom/tasks/filter.h"
#include "headroom/tasks/session.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kSweepStep = 500;
constexpr std::size_t kReadInTurn = 256;  // jobs of a PUSHB; then others have their turn

LaneId lane_of(fwp::Mutate::Target target) {
  switch (target) {
    case fwp::Mutate::Target::scheduled: return kScheduled;
    case fwp::Mutate::Target::retries: return kRetries;
    case fwp::Mutate::Target::dead: return kDead;
  }
  return kDead;
}

Board::Act act_of(fwp::Mutate::Act act) {
  switch (act) {
    case fwp::Mutate::Act::requeue: return Board::Act::requeue;
    case fwp::Mutate::Act::kill: return Board::Act::kill;
    case fwp::Mutate::Act::discard:
    case fwp::Mutate::Act::clear: return Board::Act::remove;
  }
  return Board::Act::none;
}

Result<Board::Filter> filter_of(fwp::Mutate mutate) {
  if (mutate.act == fwp::Mutate::Act::clear) return Board::Filter{};
  auto filter = JobFilter::make(
      {std::move(mutate.jids), std::move(mutate.jobtype), std::move(mutate.pattern)},
      JobFilter::Names::alone);
  if (!filter) return pass(filter);
  return Board::Filter(std::move(*filter));
}

// By what a refused job of a PUSHB is called in the answer.
std::string jid_in(std::string_view text, std::size_t index) {
  const auto document = json::parse(text, {.bytes = Bytes{text.size()}, .depth = fwp::kDepth});
  const auto jid = document ? document->root().find("jid") : std::nullopt;
  const auto name = jid ? jid->string() : std::nullopt;
  return name && !name->empty() && name->size() <= fwp::kWordLimit ? std::string(*name)
                                                                   : fmt::format("#{}", index);
}

void write_info(json::Writer& out, const BoardStatus& status, const Now& now, WallTime started,
                std::uint64_t commands) {
  out.begin_object()
      .field("now", format_time(now.wall))
      .field("server_utc_time", format_time(now.wall).substr(11, 8) + " UTC");
  out.key("faktory").begin_object();
  std::uint64_t enqueued = 0;
  std::uint64_t standard = 0;
  out.key("queues").begin_object();
  for (const QueueStatus& queue : status.queues) {
    out.field(queue.name, queue.waiting);
    enqueued += queue.waiting;
    if (queue.name == "default") standard = queue.waiting;
  }
  out.end_object();
  out.key("sets")
      .begin_object()
      .field("scheduled", status.scheduled)
      .field("retries", status.retries)
      .field("dead", status.dead);
  out.field("working", status.running).end_object();
  out.key("tasks").begin_object().end_object();
  out.field("default_size", standard)
      .field("total_enqueued", enqueued)
      .field("total_queues", status.queues.size());
  out.field("total_processed", status.done).field("total_failures", status.failed).end_object();
  std::uint64_t connections = 0;
  for (const WorkerStatus& worker : status.workers) connections += worker.connections;
  out.key("server")
      .begin_object()
      .field("description", "Headroom")
      .field("faktory_version", "1.9.0")
      .field("connections", connections);
  out.field("uptime", (now.wall - started) / kSecond)
      .field("command_count", commands)
      .field("used_memory_mb", status.bytes_held >> 20U)
      .end_object();
  out.end_object();
}

}  // namespace

void Session::refuse(const Error& error) {
  refused_ = true;
  fwp::append_error(out_, error.code == Errc::conflict ? "NOTUNIQUE" : "ERR", error.message);
}

void Session::accept_or_refuse(const Result<>& done) {
  if (!done) return refuse(done.error());
  out_ += fwp::kOk;
}

net::Task<> Session::obey(const fwp::Command& command) {
  const std::string_view text = command.arguments;
  switch (command.verb) {
    case fwp::Verb::push: return push(text);
    case fwp::Verb::pushb: return push_many(text);
    case fwp::Verb::fetch: return fetch(text);
    case fwp::Verb::ack: return acknowledge(text);
    case fwp::Verb::fail: return fail_job(text);
    case fwp::Verb::beat: return beat(text);
    case fwp::Verb::info: return info();
    case fwp::Verb::flush: return flush();
    case fwp::Verb::mutate: return mutate(text);
    case fwp::Verb::queue: return act_on_queues(text);
    case fwp::Verb::track: return track(text);
    case fwp::Verb::batch: return act_on_batch(text);
    case fwp::Verb::hello:
    case fwp::Verb::end:
    case fwp::Verb::unknown: return unknown(command.name);
  }
  return unknown(command.name);
}

net::Task<> Session::unknown(std::string_view name) {
  refuse({Errc::invalid, fmt::format("Unknown command {}", name.substr(0, 40))});
  co_return;
}

net::Task<> Session::push(std::string_view text) {
  auto job = read_job(text, wall_now(), {.bytes = shared_.options.job_limit});
  if (!job) {
    refuse(job.error());
    co_return;
  }
  Pushing pushing(shared_.engine.spans(), *job, Clock::now());
  auto change = [&job](Board& board, const Now& now) { return board.offer(*job, now); };
  const Result<> done = co_await shared_.engine.write(worker_, std::move(change));
  pushing.ended(done.has_value(), Clock::now());
  accept_or_refuse(done);
}

net::Task<> Session::push_many(std::string_view text) {
  const auto elements = fwp::elements_of(text);
  if (!elements) {
    refuse(elements.error());
    co_return;
  }
  std::vector<Job> jobs;
  std::vector<std::pair<std::string, std::string>> refusals;
  for (std::size_t i = 0; i < elements->size(); ++i) {
    if (i % kReadInTurn == kReadInTurn - 1) co_await worker_.yield();
    auto job = read_job((*elements)[i], wall_now(), {.bytes = shared_.options.job_limit});
    if (job) {
      jobs.push_back(std::move(*job));
    } else {
      refusals.emplace_back(jid_in((*elements)[i], i), job.error().message);
    }
  }
  const std::size_t unread = refusals.size();
  std::vector<Pushing> traced;
  for (const Job& job : jobs) {
    if (Pushing each(shared_.engine.spans(), job, Clock::now()); each)
      traced.push_back(std::move(each));
  }
  auto change = [&](Board& board, const Now& now) -> Result<> {
    refusals.resize(unread);  // it may be run again
    for (Job& job : jobs) {
      auto pushed = board.offer(job, now);
      if (board.store_error()) return pushed;
      if (!pushed) refusals.emplace_back(job.jid, pushed.error().message);
    }
    return {};
  };
  const Result<> done = co_await shared_.engine.write(worker_, std::move(change));
  for (Pushing& each : traced) {
    const bool refused = std::ranges::any_of(
        refusals, [&](const auto& refusal) { return refusal.first == each.jid(); });
    each.ended(done && !refused, Clock::now());
  }
  if (!done) {
    refuse(done.error());
    co_return;
  }
  std::string answer;
  json::Writer json(answer);
  json.begin_object();
  for (const auto& [jid, message] : refusals) json.field(jid, message);
  json.end_object();
  fwp::append_bulk(out_, answer);
}

net::Task<> Session::fetch(std::string_view text) {
  auto queues = fwp::parse_words(text);
  if (queues && queues->empty()) queues = fail(Errc::invalid, "FETCH: name one or more queues");
  if (!queues) {
    refuse(queues.error());
    co_return;
  }
  const TimePoint until = Clock::now() + shared_.options.fetch_wait;
  auto taken = co_await shared_.engine.fetch(worker_, *queues, wid_, until);
  if (!taken) {
    refuse(taken.error());
  } else if (!*taken) {
    out_ += fwp::kNull;
  } else {
    fetched_ = (*taken)->lease();
    fwp::append_bulk(out_, (*taken)->body);
  }
}

net::Task<> Session::acknowledge(std::string_view text) {
  const auto said = fwp::parse_ack(text);
  if (!said) {
    refuse(said.error());
    co_return;
  }
  if (said->result.size() > shared_.options.result_limit.count) {
    refuse({Errc::invalid, "the result is longer than tasks.result_limit"});
    co_return;
  }
  const Acknowledgement word{said->jid, wid_, said->result};
  const Result<> done = co_await tasks::acknowledge(shared_.engine, worker_, word);
  accept_or_refuse(done);
}

net::Task<> Session::fail_job(std::string_view text) {
  const auto said = fwp::parse_fail(text);
  if (!said) {
    refuse(said.error());
    co_return;
  }
  const Failure failure{said->errtype, said->message, said->backtrace};
  auto change = [&](Board& board, const Now& now) {
    return board.fail_job(said->jid, wid_, failure, now);
  };
  const Result<> done = co_await shared_.engine.write(worker_, std::move(change));
  accept_or_refuse(done);
}

net::Task<> Session::beat(std::string_view text) {
  const auto said = fwp::parse_beat(text);
  if (!said) {
    refuse(said.error());
    co_return;
  }
  Result<std::string> state;
  std::vector<std::string> cancelled;
  auto look = [&](Board& board, const Now& now) {
    state = board.beat(said->wid, said->state, said->rss_kb, now);
    if (said->cancels) cancelled = board.take_cancelled(said->wid);
  };
  const Result<> asked = co_await shared_.engine.read(worker_, std::move(look));
  if (!asked || !state) {
    refuse(asked ? state.error() : asked.error());
  } else if (state->empty() && cancelled.empty()) {
    out_ += fwp::kOk;
  } else {
    std::string answer;
    json::Writer json(answer);
    json.begin_object();
    if (!state->empty()) json.field("state", *state);
    if (!cancelled.empty()) json.field("cancelled", cancelled);
    json.end_object();
    fwp::append_bulk(out_, answer);
  }
}

net::Task<> Session::info() {
  std::string answer;
  auto look = [&](Board& board, const Now& now) {
    json::Writer out(answer);
    write_info(out, board.status(now), now, shared_.started,
               shared_.commands.load(std::memory_order_relaxed));
  };
  const Result<> done = co_await shared_.engine.read(worker_, std::move(look));
  if (!done) {
    refuse(done.error());
    co_return;
  }
  fwp::append_bulk(out_, answer);
}

net::Task<> Session::flush() {
  auto change = [](Board& board, const Now&) { return board.clear(); };
  const Result<> done = co_await shared_.engine.write_alone(worker_, std::move(change));
  accept_or_refuse(done);
}

// Step by step, so that others are served between.
net::Task<Result<>> Session::sweep(LaneId lane, Board::Act act, Board::Filter filter) {
  std::uint64_t left = 0;
  Key after{std::numeric_limits<std::int64_t>::min(), 0};
  for (bool end = false; !end;) {
    Result<Board::Swept> swept;
    auto change = [&](Board& board, const Now& now) -> Result<> {
      swept = board.sweep(lane, after, kSweepStep, act, filter, now);
      if (!swept) return fail(swept.error().code, swept.error().message);
      return {};
    };
    Result<> done = co_await shared_.engine.write_alone(worker_, std::move(change));
    if (!done) co_return done;
    after = swept->last;
    end = swept->end;
    left += swept->left;
  }
  if (left > 0)
    co_return fail(Errc::overloaded,
                   fmt::format("{} jobs were left where they are: {}", left, Board::kNoQueue));
  co_return Result<>{};
}

net::Task<> Session::mutate(std::string_view text) {
  auto mutate = fwp::parse_mutate(text);
  if (!mutate) {
    refuse(mutate.error());
    co_return;
  }
  const LaneId lane = lane_of(mutate->target);
  const Board::Act act = act_of(mutate->act);
  if (lane == kDead && act == Board::Act::kill) {
    out_ += fwp::kOk;
    co_return;
  }
  auto filter = filter_of(std::move(*mutate));
  if (!filter) {
    refuse(filter.error());
    co_return;
  }
  const Result<> done = co_await sweep(lane, act, std::move(*filter));
  accept_or_refuse(done);
}

net::Task<> Session::act_on_queues(std::string_view text) {
  const auto wanted = fwp::parse_queue_act(text);
  if (!wanted) {
    refuse(wanted.error());
    co_return;
  }
  using Act = fwp::QueueAct::Act;
  if (wanted->act == Act::pause || wanted->act == Act::resume) {
    auto change = [&](Board& board, const Now&) {
      return board.set_paused(wanted->queues, wanted->act == Act::pause);
    };
    const Result<> done = co_await shared_.engine.write(worker_, std::move(change));
    accept_or_refuse(done);
    co_return;
  }
  std::vector<LaneId> lanes;
  std::string latencies;
  auto look = [&](Board& board, const Now& now) {
    const bool all = std::ranges::find(wanted->queues, "*") != wanted->queues.end();
    json::Writer out(latencies);
    out.begin_object();
    for (const std::string& name : all ? board.queue_names() : wanted->queues) {
      for (const LaneId lane : board.lanes_of(name)) lanes.push_back(lane);
      out.field(name, board.latency_s(name, now));
    }
    out.end_object();
  };
  Result<> done = co_await shared_.engine.read(worker_, std::move(look));
  for (const LaneId lane : lanes) {
    if (!done || wanted->act != Act::remove) break;
    done = co_await sweep(lane, Board::Act::remove, {});
  }
  for (Result<bool> known = false; done && wanted->act == Act::remove && known && !*known;) {
    auto count = [&](Board& board, const Now&) { known = board.count_step(); };
    done = co_await shared_.engine.read(worker_, std::move(count));
    if (done && !known) done = pass(known);
  }
  if (done && wanted->act == Act::remove) {
    auto change = [&](Board& board, const Now&) -> Result<> {
      const bool all = std::ranges::find(wanted->queues, "*") != wanted->queues.end();
      for (const std::string& name : all ? board.queue_names() : wanted->queues) {
        if (auto removed = board.remove_queue(name); !removed) return removed;
      }
      return {};
    };
    done = co_await shared_.engine.write_alone(worker_, std::move(change));
  }
  if (done && wanted->act == Act::latency) {
    fwp::append_bulk(out_, latencies);
  } else {
    accept_or_refuse(done);
  }
}

}  // namespace headroom::tasks
