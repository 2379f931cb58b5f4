#include "headroom/sql/warmer.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/sql/admin.h"
#include "headroom/sql/effects.h"
#include "headroom/sql/metrics.h"

namespace headroom::sql {

using net::Task;

namespace {

constexpr Duration kPatience = 60s;  // for the stream of changes, at the start
constexpr Duration kLook = 100ms;
constexpr int kTries = 5;  // of one query that could be kept and was not

// Of a door for all addresses, the loopback.
postgres::Target target_of(const net::Endpoint& door, const Database& database) {
  const postgres::Target& server = database.route.target;
  postgres::Target made{
      .user = server.user, .password = server.password, .database = database.name};
  made.tls = postgres::TlsMode::prefer;
  made.port = door.port();
  const std::string text = door.to_string();
  if (door.is_unix()) {  // "unix:/run/x/.s.PGSQL.5432", as libpq would find it
    const std::size_t slash = text.rfind('/');
    made.host = text.substr(5, slash - 5);
    made.port = static_cast<std::uint16_t>(
        text::to_u64(text.substr(std::min(text.size(), text.rfind('.') + 1))).value_or(0));
  } else if (text.starts_with("[::]") || text.starts_with("0.0.0.0")) {
    made.host = "127.0.0.1";
  } else {
    made.host = text.substr(0, text.rfind(':'));
    if (made.host.starts_with('[')) made.host = made.host.substr(1, made.host.size() - 2);
  }
  return made;
}

}  // namespace

Warmer::Warmer(Room& room, net::Endpoint door)
    : room_(room), door_(std::move(door)), worker_(room.workers[0]) {
  constexpr std::array<std::string_view, 4> kOutcomes{"stored", "fresh", "not_stored", "failed"};
  for (std::size_t i = 0; i < kOutcomes.size(); ++i)
    outcomes_[i] = &room.registry.counter(kCacheWarm, {std::string(kOutcomes[i])});
  status_.total = room.options().warm.size();
}

void Warmer::start() {
  const TimePoint now = Clock::now();
  for (const WarmOptions& each : room_.options().warm) {
    due_.push_back(each.at_start ? now : each.every > Duration::zero() ? now + each.every : kNever);
    const Database* database = database_of(each);
    auto route = postgres::make_route(target_of(door_, *database), room_.workers.size());
    if (route) routes_.emplace(database, std::move(*route));
  }
  worker_.run_and_wait([this] {
    group_ = std::make_unique<net::TaskGroup>(worker_);
    wake_ = std::make_unique<net::Event>(*group_);
    if (!group_->spawn([this] { return run(); })) log::debug("sql", "nothing is warmed: stopping");
  });
}

void Warmer::stop() {
  if (!group_) return;
  group_->stop_and_join();
  worker_.run_and_wait([this] {
    wake_.reset();
    group_.reset();
  });
}

bool Warmer::begin() {
  if (status().running || asked_.exchange(true)) return false;
  worker_.post([this] {
    if (wake_) wake_->set();
  });
  return true;
}

CacheWarmStatus Warmer::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

void Warmer::show(const CacheWarmStatus& status) {
  const std::scoped_lock lock(mutex_);
  status_ = status;
}

const Database* Warmer::database_of(const WarmOptions& warm) const {
  if (!warm.database.empty()) return room_.database(warm.database);
  const std::string& url = room_.options().postgres;
  if (url.empty()) return &room_.databases().begin()->second;
  return room_.database(postgres::parse_url(url)->database);
}

bool Warmer::is_current() const {
  if (!room_.results) return true;  // nothing will be kept, which is said then
  for (const auto& [database, route] : routes_) {
    ChangeStream* stream = room_.results->stream(*database);
    if (stream != nullptr && !room_.results->usable(*stream, Clock::now())) return false;
  }
  return true;
}

Task<> Warmer::run() {
  const TimePoint give_up = Clock::now() + kPatience;
  while (!group_->stopped() && !is_current() && Clock::now() < give_up)
    (void)co_await net::sleep(*group_, kLook);
  while (!group_->stopped()) {
    const bool all = asked_.exchange(false);
    const TimePoint next = *std::ranges::min_element(due_);
    if (all || next <= Clock::now()) {
      co_await run_due(all);
      continue;
    }
    auto woken = co_await wake_->wait(next);
    if (!woken && woken.error().code == Errc::cancelled) break;
  }
}

Task<> Warmer::run_due(bool all) {
  const std::vector<WarmOptions>& listed = room_.options().warm;
  const TimePoint began = Clock::now();
  CacheWarmStatus now{
      .running = true, .runs = status_.runs + 1, .total = listed.size(), .began = unix_seconds()};
  show(now);
  for (std::size_t i = 0; i < listed.size() && !group_->stopped(); ++i) {
    if (!all && due_[i] > Clock::now()) continue;
    const Outcome outcome = co_await run_one(listed[i]);
    due_[i] = listed[i].every > Duration::zero() ? Clock::now() + listed[i].every : kNever;
    ++now.done;
    ++(now.*outcome.what);
    const std::size_t index = outcome.what == &CacheWarmStatus::stored       ? 0
                              : outcome.what == &CacheWarmStatus::fresh      ? 1
                              : outcome.what == &CacheWarmStatus::not_stored ? 2
                                                                             : 3;
    outcomes_[index]->add_shared();
    if (!outcome.why.empty() && now.problems.size() < kTold)
      now.problems.push_back({normalised(listed[i].query), outcome.why});
    now.took = elapsed(began, Clock::now());
    show(now);
  }
  now.running = false;
  show(now);
  log::info("sql",
            "warming: {} queries in {:.1f} s: {} stored, {} were there, {} not kept, {} failed",
            now.done, seconds(now.took), now.stored, now.fresh, now.not_stored, now.failed);
}

Task<Warmer::Outcome> Warmer::run_one(const WarmOptions& warm) {
  const Database& database = *database_of(warm);
  std::string why;
  for (int tries = 0; tries < kTries && !group_->stopped(); ++tries) {
    if (tries > 0) (void)co_await net::sleep(*group_, kLook);
    const CacheLine before = co_await line_of(warm, database);
    auto asked = co_await ask(warm, database);
    if (!asked) co_return Outcome{&CacheWarmStatus::failed, asked.error().message};
    const CacheLine after = co_await line_of(warm, database);
    if (after.stored > before.stored) co_return Outcome{&CacheWarmStatus::stored};
    if (after.hits > before.hits) co_return Outcome{&CacheWarmStatus::fresh};
    why = state_of(after);
    // Passed by, or overtaken by a write, even one before it that the stream passes only now.
    const bool may_be_kept = after.misses + after.passed_by > before.misses + before.passed_by;
    if (!may_be_kept || after.refused > before.refused) break;
  }
  if (why.empty()) why = "the cache of results is off, or it was written meanwhile";
  co_return Outcome{&CacheWarmStatus::not_stored, std::move(why)};
}

// A session of its own, as clients begin theirs.
Task<Result<>> Warmer::ask(const WarmOptions& warm, const Database& database) {
  const auto route = routes_.find(&database);
  if (route == routes_.end()) co_return fail(Errc::invalid, "the proxy's own door has no address");
  const TimePoint deadline = Clock::now() + warm.timeout;
  postgres::Parameters further(warm.settings.begin(), warm.settings.end());
  if (!warm.settings.contains("application_name"))
    further.emplace_back("application_name", "headroom warm");
  const postgres::Target& target = route->second.target;
  postgres::Credentials who{
      .user = target.user, .password = target.password, .md5 = {}, .keys = {}};
  const postgres::Means means = room_.means();
  pgwire::Report refusal;
  auto server = co_await postgres::log_in(*group_, means, route->second, std::move(who),
                                          database.name, deadline, &refusal, std::move(further));
  if (!server) co_return pass(server);
  auto rows = co_await postgres::ask(**server, warm.query, deadline);
  co_return rows ? Result<>{} : pass(rows);
}

Task<CacheLine> Warmer::line_of(const WarmOptions& warm, const Database& database) {
  auto gather = [this] { return all_cache_lines(room_); };
  auto lines = co_await room_.offload.run(worker_, std::move(gather));
  const std::string shown = normalised(warm.query);
  if (lines) {
    for (CacheLine& line : *lines) {
      if (line.database == database.name && line.query == shown) co_return std::move(line);
    }
  }
  co_return CacheLine{};
}

}  // namespace headroom::sql
