#include "headroom/postgres/pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"

namespace headroom::postgres {
namespace {

constexpr Duration kUnfair =
    10ms;  // so much longer may another worker's client wait before a connection moves to it
constexpr Duration kRetry = 250ms;      // between tries to connect, while a server is away
constexpr Duration kPing = 5s;          // for an answer to a sign of life
constexpr Duration kCheckEvery = 10s;   // an idle connection is asked for a sign of life
constexpr Duration kTurn = 200ms;       // then a connection's place may be another pool's
constexpr Duration kLook = 20ms;        // at a limit that others share, by who waits longest
constexpr std::uint64_t kNear = 8;      // places of the queue that look as often
constexpr std::uint64_t kRarest = 25;   // times as rarely those far behind
constexpr Duration kOverflowRest = 1s;  // how long a connection beyond `size` stays idle

// What may be better in a moment: the server starts, stops or is full.
bool passes(const Error& error, const pgwire::Report& refusal) {
  return error.code == Errc::unavailable || refusal.sqlstate.starts_with("57P") ||
         refusal.sqlstate == "53300";
}

}  // namespace

Pool::Pool(net::Workers& workers, Means means, Route route, Credentials who, std::string database,
           PoolOptions options, ConnectionLimits limits)
    : workers_(workers),
      means_(means),
      route_(std::move(route)),
      who_(std::move(who)),
      database_(std::move(database)),
      options_(options),
      limits_(std::move(limits)),
      parts_(workers.size()),
      made_(workers.size()) {}

Pool::~Pool() = default;

Pool::Part& Pool::part(net::Worker& worker) {
  auto& mine = parts_[worker.index()];
  if (!mine) {
    mine = std::make_unique<Part>(worker);
    made_[worker.index()].store(true);
  }
  return *mine;
}

Credentials Pool::credentials() const {
  const std::scoped_lock lock(mutex_);
  return who_;
}

void Pool::learn(const ScramKeys& keys) {
  const std::scoped_lock lock(mutex_);
  if (who_.password.empty()) who_.keys = keys;
}

bool Pool::worn_out(const Server& server, TimePoint now) const {
  return server.epoch != epoch_.load(std::memory_order_relaxed) || now >= server.retire_at ||
         stopping_.load(std::memory_order_relaxed);
}

std::unique_ptr<Server> Pool::take_now(net::Worker& worker) {
  if (waiting_.load(std::memory_order_relaxed) > 0 || paused_.load(std::memory_order_relaxed))
    return nullptr;
  Part& mine = part(worker);
  while (!mine.idle.empty()) {
    std::unique_ptr<Server>& last = mine.idle.back();
    const TimePoint now = Clock::now();
    if (now - last->idle_since >= options_.ping_after) return nullptr;  // take() asks it
    auto server = std::move(last);
    mine.idle.pop_back();
    idle_.fetch_sub(1, std::memory_order_relaxed);
    if (server->stream->silent() && !worn_out(*server, now)) {
      takes_.fetch_add(1, std::memory_order_relaxed);
      return server;
    }
    close(worker, std::move(server));
  }
  return nullptr;
}

net::Task<bool> Pool::alive(Server& server) {
  const TimePoint deadline = Clock::now() + kPing;
  auto answered = co_await ask(server, "", deadline);
  co_return answered.has_value();
}

net::Task<Result<std::unique_ptr<Server>>> Pool::take(net::Worker& worker, net::Event& event,
                                                      std::function<bool()> wanted,
                                                      pgwire::Report* refusal) {
  const TimePoint deadline = Clock::now() + options_.wait;
  while (!paused_.load() && waiting_.load() == 0) {
    if (auto server = take_now(worker)) co_return server;
    Part& mine = part(worker);
    if (mine.idle.empty()) break;
    auto rested = std::move(mine.idle.back());
    mine.idle.pop_back();
    idle_.fetch_sub(1, std::memory_order_relaxed);
    const bool fit = rested->stream->silent() && !worn_out(*rested, Clock::now());
    if (fit && co_await alive(*rested)) {
      takes_.fetch_add(1, std::memory_order_relaxed);
      co_return rested;
    }
    const Closing why = fit ? Closing::unanswered : reason_of(*rested);
    end(worker, std::move(rested), why);
  }
  takes_.fetch_add(1, std::memory_order_relaxed);
  if (try_open()) co_return co_await open(worker, refusal, wanted, deadline);
  auto waited = co_await wait_for(worker, event, wanted, deadline);
  if (!waited) co_return pass(waited);
  if (*waited && (!(*waited)->stream->silent() || worn_out(*(*waited), Clock::now()))) {
    watch_.closed(reason_of(**waited), (*waited)->pid, elapsed((*waited)->born, Clock::now()));
    waited->reset();  // its right to be open is ours
    closes_.fetch_add(1, std::memory_order_relaxed);
  }
  if (*waited) co_return waited;
  co_return co_await open(worker, refusal, wanted, deadline);
}

// The right to open one more.
bool Pool::try_open() {
  const std::scoped_lock lock(mutex_);
  return !paused_.load() && queue_.empty() && take_right();
}

// Under the mutex; of every limit, or of none.
bool Pool::take_right() {
  if (open_ >= options_.size + options_.overflow) return false;
  for (std::size_t i = 0; i < limits_.size(); ++i) {
    if (limits_[i]->take(this)) continue;
    limited_by_ = limits_[i]->name();
    while (i-- > 0) limits_[i]->give();
    return false;
  }
  limited_by_.clear();
  ++open_;
  return true;
}

void Pool::drop_right() {
  --open_;
  for (const auto& limit : limits_) limit->give();
}

// Nobody tells when a place of a shared limit has become free: who waits longest looks.
bool Pool::claim(std::uint64_t ticket) {
  const std::scoped_lock lock(mutex_);
  if (paused_.load() || queue_.empty() || queue_.front().ticket != ticket || !take_right())
    return false;
  queue_.pop_front();
  waiting_.store(queue_.size());
  return true;
}

// Most of two thousand who wait need not look: by then they are nearer, or have been served.
Duration Pool::next_look(std::uint64_t ticket) const {
  const std::scoped_lock lock(mutex_);
  if (queue_.empty() || ticket <= queue_.front().ticket) return kLook;
  const std::uint64_t rarely = 1 + (ticket - queue_.front().ticket) / kNear;
  return kLook * static_cast<int>(std::min(rarely, kRarest));
}

bool Pool::is_wanted_elsewhere(TimePoint now) const {
  return std::ranges::any_of(limits_, [&](const auto& each) { return each->is_wanted(this, now); });
}

bool Pool::enqueue(std::uint64_t ticket, std::size_t worker, bool& may_open) {
  const std::scoped_lock lock(mutex_);
  may_open = false;
  if (!paused_.load() && queue_.empty() && take_right()) {
    may_open = true;
    return true;
  }
  if (queue_.size() >= options_.max_waiting) return false;
  queue_.push_back({ticket, worker, Clock::now()});
  waiting_.store(queue_.size());
  return true;
}

// Who gives up; what was on its way to it goes to the next one.
void Pool::dequeue(net::Worker& worker, std::uint64_t ticket, Waiter& waiter) {
  {
    const std::scoped_lock lock(mutex_);
    std::erase_if(queue_, [&](const Place& place) { return place.ticket == ticket; });
    waiting_.store(queue_.size());
  }
  part(worker).waiters.erase(ticket);
  if (waiter.server)
    give(worker, std::move(waiter.server));
  else if (waiter.may_open)
    release_right(worker);
}

// A connection, or (null) the right to open one.
net::Task<Result<std::unique_ptr<Server>>> Pool::wait_for(net::Worker& worker, net::Event& event,
                                                          const std::function<bool()>& wanted,
                                                          TimePoint deadline) {
  const std::uint64_t ticket = next_ticket_.fetch_add(1);
  const TimePoint since = Clock::now();
  Waiter waiter{.event = event};
  bool may_open = false;
  part(worker).waiters[ticket] = &waiter;
  if (!enqueue(ticket, worker.index(), may_open)) {
    part(worker).waiters.erase(ticket);
    co_return fail(Errc::overloaded,
                   fmt::format("{} clients already wait for a connection to the server",
                               options_.max_waiting));
  }
  if (may_open) {
    part(worker).waiters.erase(ticket);
    co_return nullptr;
  }
  waits_.fetch_add(1, std::memory_order_relaxed);
  nudge(worker);
  while (!waiter.delivered) {
    const TimePoint look =
        limits_.empty() ? deadline : std::min(deadline, Clock::now() + next_look(ticket));
    auto woken = co_await event.wait(look);
    if (waiter.delivered) break;
    if (!limits_.empty() && claim(ticket)) break;
    if (!woken && woken.error().code == Errc::timeout && Clock::now() < deadline && wanted())
      continue;
    const bool still = wanted();
    if (woken && still) continue;
    dequeue(worker, ticket, waiter);
    if (!still || woken.error().code == Errc::cancelled)
      co_return fail(Errc::cancelled, "nobody waits any more");
    timeouts_.fetch_add(1, std::memory_order_relaxed);
    const PoolStatus now = status();
    watch_.note("wait_timeout",
                fmt::format("{} of {} in use, {} wait", now.open - std::min(now.idle, now.open),
                            now.limit, now.waiting));
    co_return fail(
        Errc::timeout,
        fmt::format(
            "no server connection became free within {} ms: {} of {} are in use, {} clients wait{}",
            std::chrono::duration_cast<std::chrono::milliseconds>(options_.wait).count(),
            now.open - std::min(now.idle, now.open), now.limit, now.waiting, limited()));
  }
  waited_ns_.fetch_add(static_cast<std::uint64_t>(elapsed(since, Clock::now()).count()),
                       std::memory_order_relaxed);
  part(worker).waiters.erase(ticket);
  co_return std::move(waiter.server);
}

// With the right to do so, which is given back when it fails.
net::Task<Result<std::unique_ptr<Server>>> Pool::open(net::Worker& worker, pgwire::Report* refusal,
                                                      const std::function<bool()>& wanted,
                                                      TimePoint deadline) {
  const TimePoint give_up = std::min(deadline, Clock::now() + options_.connect);
  Part& mine = part(worker);
  const std::uint64_t epoch = epoch_.load();
  for (;;) {
    pgwire::Report said;
    const TimePoint began = Clock::now();
    auto made =
        co_await log_in(mine.group, means_, route_, credentials(), database_, give_up, &said);
    if (made) {
      connects_.fetch_add(1, std::memory_order_relaxed);
      Server& server = **made;
      server.epoch = epoch;
      // Up to a tenth less, so that connections made together do not end together.
      const auto jitter = static_cast<std::int64_t>(0.1 * worker.random().unit() *
                                                    static_cast<double>(options_.lifetime.count()));
      if (options_.lifetime > Duration::zero())
        server.retire_at = server.born + options_.lifetime - Duration(jitter);
      watch_.note("connected", fmt::format("server process {}, in {:.1f} ms", server.pid,
                                           milliseconds(elapsed(began, Clock::now()))));
      const std::scoped_lock lock(mutex_);
      last_error_.clear();
      co_return made;
    }
    failures_.fetch_add(1, std::memory_order_relaxed);
    {
      const std::scoped_lock lock(mutex_);
      if (last_error_ != made.error().message) {
        log::warn("postgres", "{}/{}: {}", database_, who_.user, made.error().message);
        watch_.note("failed", made.error().message);
      }
      last_error_ = made.error().message;
    }
    if (!passes(made.error(), said) || Clock::now() + kRetry >= give_up || !wanted() ||
        mine.group.stopped()) {
      release_right(worker);
      if (refusal != nullptr) *refusal = std::move(said);
      // Errc::timeout is a wait for a place in the pool.
      if (made.error().code == Errc::timeout)
        co_return fail(Errc::unavailable, made.error().message);
      co_return pass(made);
    }
    (void)co_await net::sleep(mine.group, kRetry);
  }
}

// Of one that is closed by who used it, or did not pass the look at it.
Closing Pool::reason_of(Server& server) const {
  if (stopping_.load()) return Closing::shutdown;
  if (server.epoch != epoch_.load()) return Closing::renewed;
  if (!server.stream->is_open() || !server.stream->silent()) return Closing::lost;
  return Clock::now() >= server.retire_at ? Closing::lifetime : Closing::unfit;
}

void Pool::close(net::Worker& worker, std::unique_ptr<Server> server) {
  const Closing why = reason_of(*server);
  end(worker, std::move(server), why);
}

void Pool::end(net::Worker& worker, std::unique_ptr<Server> server, Closing why) {
  watch_.closed(why, server->pid, elapsed(server->born, Clock::now()));
  closes_.fetch_add(1, std::memory_order_relaxed);
  if (server->stream->is_open()) {
    std::string bye;
    pgwire::append_empty(bye, pgwire::from_client::kTerminate);
    net::Gather data;
    data.add(bye);
    (void)server->stream->try_write(data);
  }
  server.reset();
  release_right(worker);
}

void Pool::release_right(net::Worker& worker) {
  std::optional<Place> next;
  {
    const std::scoped_lock lock(mutex_);
    // While another process takes over, who waits looks for itself: its share is as good.
    if (queue_.empty() || paused_.load() || (draining_.load() && !limits_.empty()) ||
        is_wanted_elsewhere(Clock::now()))
      return drop_right();
    next = queue_.front();
    queue_.pop_front();
    waiting_.store(queue_.size());
  }
  deliver(worker, *next, nullptr);
}

std::optional<Pool::Place> Pool::next_for(std::size_t worker) {
  const std::scoped_lock lock(mutex_);
  if (queue_.empty() || paused_.load()) return std::nullopt;
  auto chosen = queue_.begin();
  const auto own = std::ranges::find(queue_, worker, &Place::worker);
  if (own != queue_.end() && own->since - chosen->since <= kUnfair) chosen = own;
  const Place place = *chosen;
  queue_.erase(chosen);
  waiting_.store(queue_.size());
  return place;
}

void Pool::give(net::Worker& worker, std::unique_ptr<Server> server) {
  const TimePoint now = Clock::now();
  if (!server->stream->is_open() || worn_out(*server, now)) return close(worker, std::move(server));
  server->idle_since = now;
  if (elapsed(server->born, now) > kTurn && is_wanted_elsewhere(now))
    return close(worker, std::move(server));
  if (waiting_.load() > 0) {
    if (const auto next = next_for(worker.index()))
      return deliver(worker, *next, std::move(server));
  }
  if (is_wanted_elsewhere(now)) return close(worker, std::move(server));
  part(worker).idle.push_back(std::move(server));
  idle_.fetch_add(1);
  // Who began to wait in between has counted the idle ones before this one lay there.
  if (waiting_.load() > 0) serve_waiting(worker);
}

// A connection, or (null) the right to open one, to who waits on any worker.
void Pool::deliver(net::Worker& from, Place to, std::unique_ptr<Server> server) {
  if (to.worker == from.index()) return arrive(from, to.ticket, std::move(server));
  net::Worker& there = workers_[to.worker];
  net::Stream::Moved moved;
  if (server) {
    moved = server->stream->move_out();
    server->stream.reset();
  }
  there.post([this, &there, ticket = to.ticket, moved, carried = std::move(server)]() mutable {
    if (carried) carried->stream = std::make_unique<net::Stream>(part(there).group, moved);
    arrive(there, ticket, std::move(carried));
  });
}

void Pool::arrive(net::Worker& worker, std::uint64_t ticket, std::unique_ptr<Server> server) {
  auto& waiters = part(worker).waiters;
  const auto found = waiters.find(ticket);
  if (found == waiters.end()) {  // gave up meanwhile
    if (server)
      give(worker, std::move(server));
    else
      release_right(worker);
    return;
  }
  Waiter& waiter = *found->second;
  waiter.may_open = server == nullptr;
  waiter.server = std::move(server);
  waiter.delivered = true;
  waiter.event.set();
}

// Idle connections of other workers are for who waits, too.
void Pool::nudge(net::Worker& from) {
  if (idle_.load() == 0) return;
  for (auto& worker : workers_) {
    if (!made_[worker->index()].load()) continue;
    if (worker->index() == from.index())
      serve_waiting(from);
    else
      worker->post([this, &there = *worker] { serve_waiting(there); });
  }
}

void Pool::serve_waiting(net::Worker& worker) {
  auto& idle = part(worker).idle;
  while (!idle.empty()) {
    const auto next = next_for(worker.index());
    if (!next) return;
    auto server = std::move(idle.back());
    idle.pop_back();
    idle_.fetch_sub(1, std::memory_order_relaxed);
    deliver(worker, *next, std::move(server));
  }
}

void Pool::pause() {
  if (!paused_.exchange(true)) watch_.note("paused", "");
}

void Pool::resume() {
  if (paused_.exchange(false)) watch_.note("resumed", "");
  for (auto& worker : workers_) {
    worker->post([this, &there = *worker] {
      serve_waiting(there);
      // The rights that were given back meanwhile.
      for (;;) {
        std::optional<Place> next;
        {
          const std::scoped_lock lock(mutex_);
          if (paused_.load() || queue_.empty() || !take_right()) return;
          next = queue_.front();
          queue_.pop_front();
          waiting_.store(queue_.size());
        }
        deliver(there, *next, nullptr);
      }
    });
  }
}

void Pool::reconnect() {
  epoch_.fetch_add(1);
  watch_.note("renewed", "all connections, as they become free");
}

void Pool::drain() {
  draining_.store(true);
  reconnect();
  for (auto& worker : workers_) {
    if (made_[worker->index()].load()) worker->post([this, &there = *worker] { upkeep(there); });
  }
}

std::string Pool::limited() const {
  const std::scoped_lock lock(mutex_);
  return limited_by_.empty() ? "" : fmt::format("; all connections of {} are taken", limited_by_);
}

PoolStatus Pool::status() const {
  const std::scoped_lock lock(mutex_);
  PoolStatus now{.open = open_,
                 .idle = idle_.load(),
                 .waiting = queue_.size(),
                 .limit = options_.size + options_.overflow,
                 .connects = connects_.load(),
                 .failures = failures_.load(),
                 .takes = takes_.load(),
                 .waits = waits_.load(),
                 .timeouts = timeouts_.load(),
                 .closes = closes_.load(),
                 .waited = Duration(waited_ns_.load()),
                 .paused = paused_.load(),
                 .last_error = last_error_};
  if (!queue_.empty()) now.longest_wait = elapsed(queue_.front().since, Clock::now());
  return now;
}

// Keeps one more ready.
net::Task<> Pool::open_one(net::Worker& worker) {
  const std::function<bool()> wanted = [] { return false; };  // one try
  const TimePoint deadline = Clock::now() + options_.connect;
  auto made = co_await open(worker, nullptr, wanted, deadline);
  if (made) give(worker, std::move(*made));
}

// Whether one may go and `least` stay: other workers decide at the same time. Who was told so says gone() when it has ended.
bool Pool::may_go(std::size_t least) {
  const std::scoped_lock lock(mutex_);
  if (open_ <= least + going_) return false;
  ++going_;
  return true;
}

void Pool::gone() {
  const std::scoped_lock lock(mutex_);
  --going_;
}

void Pool::upkeep(net::Worker& worker) {
  Part& mine = part(worker);
  const TimePoint now = Clock::now();
  std::erase_if(mine.idle, [&](std::unique_ptr<Server>& server) {
    const Duration rested = elapsed(server->idle_since, now);
    const bool fit = !worn_out(*server, now) && server->stream->silent();
    const bool stays = fit && !is_wanted_elsewhere(now);
    const bool surplus = stays && ((rested >= kOverflowRest && may_go(options_.size)) ||
                                   (rested >= options_.idle && may_go(options_.min)));
    if (stays && !surplus) return false;
    idle_.fetch_sub(1, std::memory_order_relaxed);
    const Closing why = fit ? Closing::idle : reason_of(*server);
    end(worker, std::move(server), why);
    if (surplus) gone();
    return true;
  });
  check_one(worker, now);
  if (worker.index() == 0) {
    const PoolStatus its = status();
    watch_.use(its.open - std::min(its.open, its.idle), its.limit);
  }
  if (worker.index() != 0 || options_.min <= status().open || paused_.load() || stopping_.load() ||
      draining_.load())
    return;
  if (try_open() && !mine.group.spawn([this, &worker] { return open_one(worker); }))
    release_right(worker);
}

// The one that has been idle for longest; on whichever worker comes first.
void Pool::check_one(net::Worker& worker, TimePoint now) {
  Part& mine = part(worker);
  auto due = next_check_.load();
  const auto next = (now + kCheckEvery).time_since_epoch().count();
  if (mine.idle.empty() || paused_.load() || stopping_.load() ||
      now.time_since_epoch().count() < due || !next_check_.compare_exchange_strong(due, next))
    return;
  auto server = std::move(mine.idle.front());
  mine.idle.erase(mine.idle.begin());
  idle_.fetch_sub(1, std::memory_order_relaxed);
  auto run = [this, &worker, held = std::move(server)]() mutable {
    return check(worker, std::move(held));
  };
  if (!mine.group.spawn(std::move(run))) release_right(worker);
}

net::Task<> Pool::check(net::Worker& worker, std::unique_ptr<Server> server) {
  const TimePoint began = Clock::now();
  const TimePoint rested_since = server->idle_since;
  const bool answered = co_await alive(*server);
  const TimePoint now = Clock::now();
  watch_.checked(answered ? std::optional(elapsed(began, now)) : std::nullopt, now);
  if (!answered) {
    end(worker, std::move(server), Closing::unanswered);
    co_return;
  }
  if (waiting_.load() > 0 || worn_out(*server, now)) {
    give(worker, std::move(server));
    co_return;
  }
  server->idle_since = rested_since;  // nobody has used it
  Part& mine = part(worker);
  mine.idle.insert(mine.idle.begin(), std::move(server));
  idle_.fetch_add(1, std::memory_order_relaxed);
}

void Pool::stop() {
  stopping_.store(true);
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (made_[i].load()) parts_[i]->group.stop_and_join();
  }
  workers_.each([this](net::Worker& worker) {
    if (!made_[worker.index()].load()) return;
    Part& mine = part(worker);
    for (auto& server : mine.idle) {
      closes_.fetch_add(1);
      server.reset();
    }
    mine.idle.clear();
    parts_[worker.index()].reset();
    made_[worker.index()].store(false);
  });
}

}  // namespace headroom::postgres
