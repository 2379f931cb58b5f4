#include "headroom/tasks/engine.h"

#include <algorithm>
#include <cmath>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/tasks/board_parts.h"
#include "headroom/tasks/metrics.h"

namespace headroom::tasks {
namespace {

constexpr Duration kAfterFailure = 1s;
constexpr Duration kComplainEvery = 10s;
// After so many the workers that share this core go first: what they bring shares the next commit. On the bench's one core 19 jobs do, else 15.
constexpr std::size_t kSeveral = 4;
constexpr Duration kPause = 500ms;    // so late is no ordinary delay
constexpr Duration kSlowDisk = 600s;  // a round that is slow again within this is no pause

std::uint64_t fresh_seed() {
  return hash64(std::to_string(wall_now()),
                static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()));
}

}  // namespace

Engine::Engine(net::Workers& workers, metrics::Registry& registry, std::unique_ptr<Store> store,
               const TasksOptions& options, link::Spans* spans)
    : workers_(workers),
      options_(options),
      store_(std::move(store)),
      searches_(*store_),
      leaving_(workers.size()),
      traced_(spans),
      answers_(workers.size()),
      commits_(registry.counter(kCommits)),
      failed_commits_(registry.counter(kFailedCommits)),
      changes_(registry.counter(kChanges)),
      refused_(registry.counter(kRefused)),
      pushed_(registry.counter(kPushed)),
      done_(registry.counter(kDone)),
      failed_(registry.counter(kFailed)),
      run_time_(registry.histogram(kRunTime)),
      wait_time_(registry.histogram(kWaitTime)),
      wait_recorder_(wait_time_.at(workers.size())),
      run_recorder_(run_time_.at(workers.size())) {
  board_.emplace(*store_, options_, fresh_seed());
}

Engine::~Engine() { stop(); }

Result<> Engine::start() {
  if (auto loaded = board_->load(Now::real()); !loaded) return loaded;
  running_ = true;
  thread_ = std::thread([this] { run(); });
  return {};
}

void Engine::stop_waiting() {
  no_waiting_ = true;
  const std::lock_guard lock(mutex_);
  arrived_.notify_one();
}

void Engine::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (!running_) return;
    ending_ = true;
    arrived_.notify_one();
  }
  thread_.join();
  board_.reset();
  store_.reset();
}

net::Task<> Engine::ask(net::Worker& worker, Request& request) {
  request.worker = &worker;
  auto begin = [this, &request](auto handler) {
    request.resume = std::move(handler);
    submit(&request);
  };
  co_await net::asio::async_initiate<const net::asio::deferred_t, void()>(std::move(begin),
                                                                          net::asio::deferred);
}

void Engine::ask(Request& request) {
  std::latch done(1);
  request.resume = [&done] { done.count_down(); };
  submit(&request);
  done.wait();
}

// The post comes after all that this round of the worker's events brings.
void Engine::submit(Request* request) {
  if (request->worker == nullptr) return hand_over(std::span(&request, 1));
  std::vector<Request*>& leaving = leaving_[request->worker->index()];
  leaving.push_back(request);
  if (leaving.size() > 1) return;
  request->worker->post([this, &leaving] {
    hand_over(leaving);
    leaving.clear();
  });
}

void Engine::hand_over(std::span<Request* const> requests) {
  std::size_t room = 0;
  bool first = false;
  bool running = false;
  {
    const std::lock_guard lock(mutex_);
    running = running_;
    const std::size_t waiting = waiting_.load(std::memory_order_relaxed);
    if (running && waiting < kMostWaiting) room = std::min(requests.size(), kMostWaiting - waiting);
    waiting_.fetch_add(room, std::memory_order_relaxed);
    first = room > 0 && inbox_.empty();
    inbox_.insert(inbox_.end(), requests.begin(),
                  requests.begin() + static_cast<std::ptrdiff_t>(room));
  }
  if (first) arrived_.notify_one();
  for (Request* request : requests.subspan(room)) {
    running ? refuse(request, Errc::overloaded, "too many requests wait for the task server")
            : refuse(request, Errc::unavailable, "the task server has stopped");
  }
}

void Engine::refuse(Request* request, Errc code, std::string_view why) {
  request->result = fail(code, std::string(why));
  refused_.add_shared();
  if (request->worker != nullptr) {
    request->worker->post([request] { resume(request); });
  } else {
    resume(request);
  }
}

net::Task<Result<>> Engine::write(net::Worker& worker, Change change) {
  Request request{.kind = Kind::write, .change = std::move(change)};
  co_await ask(worker, request);
  co_return std::move(request.result);
}

net::Task<Result<>> Engine::write_alone(net::Worker& worker, Change change) {
  Request request{.kind = Kind::alone, .change = std::move(change)};
  co_await ask(worker, request);
  co_return std::move(request.result);
}

net::Task<Result<>> Engine::read(net::Worker& worker, Look look) {
  Request request{.kind = Kind::read, .look = std::move(look)};
  co_await ask(worker, request);
  co_return std::move(request.result);
}

net::Task<Engine::Take> Engine::fetch(net::Worker& worker, const std::vector<std::string>& queues,
                                      std::string_view wid, TimePoint until) {
  Request request{.kind = Kind::fetch, .queues = &queues, .wid = wid, .until = until};
  co_await ask(worker, request);
  if (!request.result) co_return pass(request.result);
  co_return std::move(request.job);
}

net::Task<Result<Track>> Engine::outcome(net::Worker& worker, std::string jid, TimePoint until) {
  Request request{.kind = Kind::outcome, .wid = jid, .until = until};
  co_await ask(worker, request);
  if (!request.result) co_return pass(request.result);
  co_return std::move(request.track);
}

net::Task<Engine::Located> Engine::locate(net::Worker& worker, Searches::Sought sought) {
  Request request{.kind = Kind::locate, .sought = std::move(sought)};
  co_await ask(worker, request);
  if (!request.result) co_return pass(request.result);
  co_return request.place;
}

void Engine::tell(Look look) {
  const std::lock_guard lock(mutex_);
  if (!running_ || ending_) return;
  told_.push_back(std::move(look));
  arrived_.notify_one();
}

Result<> Engine::run_write(Change change) {
  Request request{.kind = Kind::write, .change = std::move(change)};
  ask(request);
  return std::move(request.result);
}

Result<> Engine::run_write_alone(Change change) {
  Request request{.kind = Kind::alone, .change = std::move(change)};
  ask(request);
  return std::move(request.result);
}

Result<> Engine::run_read(Look look) {
  Request request{.kind = Kind::read, .look = std::move(look)};
  ask(request);
  return std::move(request.result);
}

// Whether this process has stood still (SIGSTOP, a machine that was moved): workers went on, and what they said lies in the sockets. That time must
// count neither as their silence nor against their leases.
void Engine::look_for_pause(TimePoint expected) {
  const TimePoint now = Clock::now();
  const TimePoint before = std::exchange(looked_at_, now);
  if (before == TimePoint{} || now <= std::max(expected, before) + kPause) return;
  log::warn("tasks", "stood still for {} ms: workers and leases have that much more time",
            std::chrono::duration_cast<std::chrono::milliseconds>(now - before).count());
  board_->excuse(now - before);
}

// What was slow may be the disk: that is slow again and again.
void Engine::look_after_round() {
  const TimePoint began = looked_at_;
  const bool slow = began != TimePoint{} && Clock::now() > began + kPause;
  const bool again = slow_at_ != TimePoint{} && began < slow_at_ + kSlowDisk;
  if (slow) slow_at_ = began;
  if (slow && !again) return look_for_pause(began);
  looked_at_ = Clock::now();
}

void Engine::run() {
  std::vector<Request*> batch;
  std::vector<Look> told;
  for (bool ending = false; !ending;) {
    look_after_round();
    const Now now = Now::real();
    TimePoint due = searches_.empty() ? std::max(board_->next_due(now), upkeep_from_) : now.steady;
    for (const Request* waiter : waiters_) due = std::min(due, waiter->until);
    for (const auto& [jid, waiter] : awaited_) due = std::min(due, waiter->until);
    {
      std::unique_lock lock(mutex_);
      arrived_.wait_until(lock, due, [&] {
        return !inbox_.empty() || !told_.empty() || ending_ ||
               (no_waiting_ && (!waiters_.empty() || !awaited_.empty() || !searches_.empty()));
      });
      batch.swap(inbox_);
      told.swap(told_);
      ending = ending_;
      if (ending) running_ = false;  // what is submitted from now on is refused
    }
    look_for_pause(due);
    round(batch, told);
    if (batch.size() >= kSeveral) std::this_thread::yield();
    batch.clear();
    told.clear();
  }
  no_waiting_ = true;
  end_waiters(Now::real());
  search();
  flush();
  const Now now = Now::real();
  auto begun = store_->begin();
  auto parked = begun ? board_->park(now) : std::move(begun);
  if (parked) parked = store_->commit();
  if (!parked) {
    store_->roll_back();
    log::warn("tasks", "leases could not be written down, their jobs will be handed out again: {}",
              parked.error().message);
  }
}

void Engine::round(std::span<Request* const> batch, std::vector<Look>& told) {
  const Now now = Now::real();
  for (Look& look : told) look(*board_, now);
  // Parted before anybody is answered: a request ends with its answer.
  std::vector<Request*> looks;
  std::vector<Request*> writes;
  std::vector<Request*> alone;
  for (Request* request : batch) {
    (request->kind == Kind::write   ? writes
     : request->kind == Kind::alone ? alone
                                    : looks)
        .push_back(request);
  }
  look_and_fetch(looks, now);
  flush();
  bool upkeep = now.steady >= upkeep_from_;
  if (auto prepared = board_->prepare(now); !prepared) {
    note_trouble(prepared.error());
    upkeep_from_ = now.steady + kAfterFailure;
    upkeep = false;
  }
  upkeep = upkeep && board_->needs_upkeep(now);
  write_batch(writes, upkeep, now);
  for (Request* const& request : alone) write_batch(std::span(&request, 1), false, now);
  serve_waiters(now);
  serve_outcomes(now);
  end_waiters(now);
  flush();
  search();
  refresh_status(now);
}

void Engine::refresh_status(const Now& now) {
  if (now.steady < next_status_) return;
  next_status_ = now.steady + 1s;
  BoardStatus status = board_->status(now);
  measure_pace(status, now);
  const std::lock_guard lock(shown_mutex_);
  status_ = std::move(status);
}

// Halves the weight of the past every seven seconds or so.
void Engine::measure_pace(BoardStatus& status, const Now& now) {
  const double time = seconds(elapsed(paced_, now.steady));
  const bool first = paced_ == TimePoint{};
  paced_ = now.steady;
  const double weight = 1 - std::exp(-time / 10);
  for (QueueStatus& queue : status.queues) {
    const auto [at, fresh] = paces_.try_emplace(queue.name, Pace{queue.pushed, queue.done});
    Pace& pace = at->second;
    if (!first && !fresh && time > 0) {
      pace.pushed_per_s +=
          weight * (static_cast<double>(queue.pushed - pace.pushed) / time - pace.pushed_per_s);
      pace.done_per_s +=
          weight * (static_cast<double>(queue.done - pace.done) / time - pace.done_per_s);
    }
    pace.pushed = queue.pushed;
    pace.done = queue.done;
    queue.pushed_per_s = pace.pushed_per_s;
    queue.done_per_s = pace.done_per_s;
  }
  if (paces_.size() == status.queues.size()) return;
  std::erase_if(paces_, [&](const auto& pace) {
    return !std::ranges::binary_search(status.queues, pace.first, {}, &QueueStatus::name);
  });
}

BoardStatus Engine::last_status() const {
  const std::lock_guard lock(shown_mutex_);
  return status_;
}

void Engine::write_batch(std::span<Request* const> writes, bool upkeep, const Now& now) {
  if (writes.empty() && !upkeep) return;
  changes_.add_shared(writes.size());
  if (!try_transaction(writes, upkeep, now) && (writes.size() + (upkeep ? 1 : 0)) > 1) {
    for (Request* const& request : writes)
      (void)try_transaction(std::span(&request, 1), false, now);
    if (upkeep) (void)try_transaction({}, true, now);
  }
  for (Request* request : writes) answer(request);
}

bool Engine::try_transaction(std::span<Request* const> writes, bool upkeep, const Now& now) {
  Result<> done = store_->begin();
  for (Request* request : writes) {
    if (!done) break;
    request->result = request->change(*board_, now);
    if (const auto& broken = board_->store_error()) done = std::unexpected(*broken);
  }
  if (done && upkeep) done = board_->upkeep(now);
  if (done) done = store_->commit();
  if (done) {
    const Board::Outcome outcome = board_->committed(now);
    pushed_.add_shared(outcome.pushed);
    done_.add_shared(outcome.done);
    failed_.add_shared(outcome.failed);
    for (const Duration run : outcome.runs) run_recorder_.record(run);
    for (const auto& ended : outcome.ended) traced_.ended(ended, now.steady);
    commits_.add_shared();
    note_success();
    return true;
  }
  store_->roll_back();
  board_->rolled_back();
  failed_commits_.add_shared();
  note_trouble(done.error());
  if (upkeep) upkeep_from_ = now.steady + kAfterFailure;
  for (Request* request : writes)
    request->result = fail(done.error().code, "the job store: " + done.error().message);
  return false;
}

// The request ends with the coroutine or thread that goes on now.
void Engine::resume(Request* request) {
  auto go_on = std::move(request->resume);
  go_on();
}

void Engine::answer(Request* request) {
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  if (request->worker == nullptr) {
    resume(request);
  } else {
    answers_[request->worker->index()].push_back(request);
  }
}

// One post for all answers to a worker.
void Engine::flush() {
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    if (answers_[i].empty()) continue;
    workers_[i].post([requests = std::exchange(answers_[i], {})] {
      for (Request* request : requests) resume(request);
    });
  }
}

void Engine::note_trouble(const Error& error) {
  {
    const std::lock_guard lock(shown_mutex_);
    trouble_ = error.message;
  }
  const TimePoint now = Clock::now();
  if (now < next_complaint_) return;
  next_complaint_ = now + kComplainEvery;
  log::error("tasks", "the store cannot be written to: {}", error.message);
}

void Engine::note_success() {
  if (next_complaint_ == TimePoint{}) return;
  next_complaint_ = {};
  {
    const std::lock_guard lock(shown_mutex_);
    trouble_.reset();
  }
  log::info("tasks", "the store can be written to again");
}

std::optional<std::string> Engine::trouble() const {
  const std::lock_guard lock(shown_mutex_);
  return trouble_;
}

}  // namespace headroom::tasks
