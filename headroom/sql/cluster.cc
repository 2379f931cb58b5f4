#include "headroom/sql/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "headroom/base/log.h"
#include "headroom/base/text.h"

namespace headroom::sql {
namespace {

constexpr Duration kAnswer = 1s;    // for a server's answer to its watch
constexpr Duration kRetry = 200ms;  // between tries to reach it
constexpr Duration kSamplesKept = 60s;
constexpr Duration kFunctionsKept = 60s;
constexpr Duration kFunctionsRest = 1s;  // between looks whether they have changed
constexpr std::uint64_t kPage = 8192;    // of the log
constexpr std::uint64_t kPageHeader = 24, kSegmentHeader = 40;

// In recovery: how far it has replayed, and the timeline it follows. received_tli may be hidden, then the control file's will do.
constexpr std::string_view kLook = R"(SELECT pg_catalog.pg_is_in_recovery(),
CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END,
CASE WHEN pg_catalog.pg_is_in_recovery() THEN GREATEST((SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver),
  (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()), (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))
ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::pg_catalog.bit(32)::pg_catalog.int4 END,
(SELECT system_identifier FROM pg_catalog.pg_control_system()))";

// Differs when what Functions::kQuery reads does; temporary relations, which come and go, do not count.
constexpr std::string_view kCatalogueState =
    R"(SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', number, newest), ',') FROM (
SELECT pg_catalog.count(*) AS number, pg_catalog.max(xmin::pg_catalog.text::pg_catalog.int8) AS newest FROM pg_catalog.pg_proc
UNION ALL SELECT pg_catalog.count(*), pg_catalog.max(xmin::pg_catalog.text::pg_catalog.int8) FROM pg_catalog.pg_operator
UNION ALL SELECT pg_catalog.count(*), pg_catalog.max(xmin::pg_catalog.text::pg_catalog.int8) FROM pg_catalog.pg_cast
UNION ALL SELECT pg_catalog.count(*), pg_catalog.max(xmin::pg_catalog.text::pg_catalog.int8) FROM pg_catalog.pg_policy
UNION ALL SELECT pg_catalog.count(*), pg_catalog.max(xmin::pg_catalog.text::pg_catalog.int8) FROM pg_catalog.pg_constraint WHERE contypid <> 0
UNION ALL SELECT pg_catalog.count(*), pg_catalog.max(r.xmin::pg_catalog.text::pg_catalog.int8) FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE c.relpersistence <> 't'
UNION ALL SELECT pg_catalog.count(*), pg_catalog.max(xmin::pg_catalog.text::pg_catalog.int8) FROM pg_catalog.pg_class
 WHERE relpersistence <> 't' AND (relkind IN ('S', 'v', 'm') OR relrowsecurity)) states)";

std::optional<std::uint64_t> parse_lsn(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash > 8 || text.size() - slash > 9) return std::nullopt;
  std::uint32_t high = 0;
  std::uint32_t low = 0;
  const auto a = std::from_chars(text.data(), text.data() + slash, high, 16);
  const auto b = std::from_chars(text.data() + slash + 1, text.data() + text.size(), low, 16);
  if (a.ec != std::errc() || a.ptr != text.data() + slash || b.ec != std::errc() ||
      b.ptr != text.data() + text.size())
    return std::nullopt;
  return std::uint64_t{high} << 32U | low;
}

// Where the next record begins lies behind a page's header when the last one filled its page; replayed is only as far as that record's end.
std::uint64_t end_of_record(std::uint64_t insert_lsn) {
  const std::uint64_t in_page = insert_lsn % kPage;
  return in_page == kPageHeader || in_page == kSegmentHeader ? insert_lsn - in_page : insert_lsn;
}

}  // namespace

Result<postgres::Target> replica_target(const std::string& text, const postgres::Target& primary) {
  if (!text.contains("://")) {
    auto target = postgres::parse_url("postgresql://any@" + text);
    if (!target) return target;
    postgres::Target its = primary;
    its.host = target->host;
    its.port = target->port;
    return its;
  }
  auto target = postgres::parse_url(text);
  if (target && target->password.empty() && target->user == primary.user)
    target->password = primary.password;
  return target;
}

Cluster::Cluster(net::Workers& workers, postgres::Means means, std::string name,
                 std::vector<postgres::Route> routes, ClusterOptions options)
    : workers_(workers),
      means_(means),
      name_(std::move(name)),
      options_(options),
      functions_(workers.size()) {
  for (postgres::Route& route : routes) {
    servers_.push_back(std::make_unique<One>());
    servers_.back()->route = std::move(route);
  }
  ready_ = alone();
}

Cluster::~Cluster() = default;

void Cluster::start(std::function<void()> changed) {
  if (alone()) return;
  workers_[0].run_and_wait([&] {
    changed_ = std::move(changed);
    group_.emplace(workers_[0]);
    for (std::size_t i = 0; i < servers_.size(); ++i)
      (void)group_->spawn([this, i] { return watch(i); });
  });
}

void Cluster::stop() {
  if (!group_) return;
  group_->stop_and_join();
  workers_[0].run_and_wait([this] { group_.reset(); });
}

// One server's watch: connected for as long as it answers.
net::Task<> Cluster::watch(std::size_t server) {
  One& one = *servers_[server];
  const postgres::Target& to = one.route.target;
  const postgres::Credentials who{.user = to.user, .password = to.password, .md5 = {}, .keys = {}};
  postgres::Rows catalogue;  // as its functions were read
  while (!group_->stopped()) {
    const TimePoint deadline = Clock::now() + kAnswer;
    auto connection =
        co_await postgres::log_in(*group_, means_, one.route, who, to.database, deadline, nullptr);
    Error why{Errc::unavailable, ""};
    if (!connection) why = connection.error();
    while (connection && !group_->stopped()) {
      auto looked = co_await look(server, **connection);
      if (!looked) {
        why = looked.error();
        break;
      }
      const Duration rested = Clock::now() - functions_read_;
      if (server == primary() && rested > kFunctionsRest &&
          (functions_as_of_ != schema_changes_.load() || rested > kFunctionsKept)) {
        const std::uint64_t as_of = schema_changes_.load();
        auto state = co_await postgres::ask(**connection, std::string(kCatalogueState),
                                            Clock::now() + kAnswer);
        if (state && *state == catalogue && functions_[0]) {
          functions_as_of_ = as_of;
          functions_read_ = Clock::now();
        } else {
          catalogue = state ? std::move(*state) : postgres::Rows();
          co_await read_functions(**connection);
        }
      }
      (void)co_await net::sleep(*group_, options_.check);
    }
    if (group_->stopped()) break;
    set_away(one, why);
    (void)co_await net::sleep(*group_, kRetry);
  }
}

net::Task<Result<>> Cluster::look(std::size_t server, postgres::Server& connection) {
  auto rows = co_await postgres::ask(connection, std::string(kLook), Clock::now() + kAnswer);
  if (!rows) co_return pass(rows);
  if (rows->size() != 1 || (*rows)[0].size() != 4)
    co_return fail(Errc::protocol, "the server's answer to a look at its log is malformed");
  const auto& row = (*rows)[0];
  const auto lsn = row[1] ? parse_lsn(*row[1]) : std::optional<std::uint64_t>(0);
  const auto timeline = row[2] ? text::to_u64(*row[2]) : std::nullopt;
  const auto system = row[3] ? text::to_u64(*row[3]) : std::nullopt;
  if (!row[0] || !lsn || !timeline || !system)
    co_return fail(Errc::protocol, "the server's answer to a look at its log is malformed");
  const std::uint64_t known = system_.load();
  if (known == 0 && server == 0) system_.store(*system);
  if (system_.load() != 0 && system_.load() != *system)
    co_return fail(Errc::invalid, fmt::format("it is another database system ({}, not {})", *system,
                                              system_.load()));
  note(*servers_[server], *row[0] == "t", *lsn, static_cast<std::uint32_t>(*timeline));
  co_return Result<>{};
}

net::Task<> Cluster::read_functions(postgres::Server& connection) {
  const std::uint64_t as_of = schema_changes_.load();
  auto rows = co_await postgres::ask(connection, Functions::kQuery, Clock::now() + 5 * kAnswer);
  if (!rows) {
    log::warn("sql",
              "{}: the functions cannot be read, reads that call some stay with the primary: {}",
              name_, rows.error().message);
    functions_read_ = Clock::now();
    functions_as_of_ = as_of;
    co_return;
  }
  auto made = std::make_shared<const Functions>(*rows);
  functions_as_of_ = as_of;
  functions_read_ = Clock::now();
  for (auto& worker : workers_)
    worker->post([this, index = worker->index(), made] { functions_[index] = made; });
}

// How old that is which the primary has when it is first seen is not known: a replica that lacks some of it may be behind by hours, and may lack what
// another process has confirmed.
void Cluster::note_primary(std::uint64_t lsn) {
  const TimePoint now = Clock::now();
  if (samples_.empty())
    samples_.push_back({now - kSamplesKept, lsn});
  else if (samples_.back().lsn < lsn)
    samples_.push_back({now, lsn});
  while (samples_.size() > 1 && now - samples_[1].when > kSamplesKept) samples_.pop_front();
}

// Since when the primary has had what a replica at `lsn` lacks.
Duration Cluster::lag_of(std::uint64_t lsn) const {
  const auto first =
      std::ranges::find_if(samples_, [lsn](const Sample& sample) { return sample.lsn > lsn; });
  return first == samples_.end() ? Duration::zero() : elapsed(first->when, Clock::now());
}

void Cluster::note(One& one, bool recovers, std::uint64_t lsn, std::uint32_t timeline) {
  const bool was_away = one.role.load() == Role::away;
  if (was_away) {
    const std::scoped_lock lock(one.mutex);
    one.error.clear();
  }
  if (one.timeline.load() != timeline)
    one.usable.store(false);  // its position is of another history from here on
  one.timeline.store(timeline);
  one.lsn.store(recovers ? lsn : end_of_record(lsn));
  set_role(one, recovers ? Role::replica : Role::primary);
  One& primary = *servers_[primary_.load()];
  if (&one == &primary && !recovers) {
    note_primary(one.lsn.load());
    one.usable.store(false);
    return;
  }
  const Duration lag = lag_of(lsn);
  one.lag_ns.store(lag.count());
  one.usable.store(recovers && lag <= options_.max_lag && timeline == primary.timeline.load());
}

void Cluster::set_role(One& one, Role role) {
  const std::uint32_t timeline = one.timeline.load();
  const bool newer = timeline > highest_;
  highest_ = std::max(highest_, timeline);
  const bool other_role = one.role.exchange(role) != role;
  if (other_role)
    log::info("sql", "{}: {} is a {} on timeline {}", name_, one.route.target.address(),
              name_of(role), timeline);
  if (other_role || newer) elect();
  look_whether_ready(one);
}

void Cluster::look_whether_ready(One& one) {
  one.looked = true;
  const bool is = std::ranges::all_of(servers_, [](const auto& each) { return each->looked; }) &&
                  !servers_[primary_.load()]->fenced.load();
  if (ready_.exchange(is) != is && changed_) changed_();
}

// Who says that it is a primary, and is not the one that all follow, or is not on the timeline that others have gone on to.
void Cluster::fence() {
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    One& one = *servers_[i];
    const bool is = one.role.load() == Role::primary &&
                    (i != primary_.load() || one.timeline.load() < highest_);
    if (one.fenced.exchange(is) == is) continue;
    if (is)
      log::warn(
          "sql",
          "{}: {} runs on as a primary on timeline {}, but the cluster is on timeline {}: it is "
          "fenced, and gets neither writes nor reads until it follows as a replica",
          name_, one.route.target.address(), one.timeline.load(), highest_);
    else
      log::info("sql", "{}: {} is no longer fenced", name_, one.route.target.address());
  }
}

void Cluster::set_away(One& one, const Error& why) {
  {
    const std::scoped_lock lock(one.mutex);
    if (one.error != why.message)
      log::warn("sql", "{}: {}: {}", name_, one.route.target.address(), why.message);
    one.error = why.message;
  }
  one.usable.store(false);
  const bool was_away = one.role.exchange(Role::away) == Role::away;
  if (!was_away) elect();
  look_whether_ready(one);
  if (!was_away && changed_) changed_();
}

void Cluster::elect() {
  const std::size_t before = primary_.load();
  std::size_t best = before;
  const auto rank = [this](std::size_t i) {
    const std::uint32_t timeline = servers_[i]->timeline.load();
    return servers_[i]->role.load() == Role::primary && timeline >= highest_ ? timeline : 0;
  };
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    if (rank(i) > rank(best)) best = i;
  }
  if (best == before) return fence();
  log::warn("sql", "{}: {} is the primary now, {} was", name_,
            servers_[best]->route.target.address(), servers_[before]->route.target.address());
  samples_.clear();
  for (const auto& each : servers_) each->usable.store(false);  // until it is known to follow
  primary_.store(best);
  fence();
  schema_changed();
  if (changed_) changed_();
}

Cluster::Choice Cluster::choose(const link::Position& needs, Random& random) const {
  Choice choice;
  if (needs && needs.timeline != servers_[primary()]->timeline.load(std::memory_order_relaxed))
    return choice;
  std::uint64_t fewest = 0;
  const std::size_t begin = random.below(servers_.size());  // of equals not always the same
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    const std::size_t at = (begin + i) % servers_.size();
    const One& one = *servers_[at];
    if (!one.usable.load(std::memory_order_acquire)) continue;
    if (needs && one.lsn.load(std::memory_order_relaxed) < needs.lsn) {
      choice.soon = choice.soon || one.lag_ns.load(std::memory_order_relaxed) < kPatience.count();
      continue;
    }
    const std::uint64_t busy = one.busy.load(std::memory_order_relaxed);
    if (choice.server && busy >= fewest) continue;
    choice.server = at;
    fewest = busy;
  }
  return choice;
}

bool Cluster::has(std::size_t server, const link::Position& needs) const {
  const One& one = *servers_[server];
  return !needs || (needs.timeline == one.timeline.load(std::memory_order_relaxed) &&
                    needs.lsn <= one.lsn.load(std::memory_order_relaxed));
}

bool Cluster::is_abreast(std::size_t server) const {
  const One& one = *servers_[server];
  const link::Position known = head();
  const bool written = written_timeline_.load() != known.timeline || written_.load() <= one.lsn;
  return known && has(server, known) && written;
}

void Cluster::wrote(const link::Position& position) {
  if (written_timeline_.load() < position.timeline) {
    written_.store(0);
    written_timeline_.store(position.timeline);
  }
  std::uint64_t before = written_.load();
  while (before < position.lsn && !written_.compare_exchange_weak(before, position.lsn)) {
  }
}

std::vector<std::string> Cluster::fenced() const {
  std::vector<std::string> all;
  for (const auto& one : servers_) {
    if (one->fenced.load()) all.push_back(one->route.target.address());
  }
  return all;
}

void Cluster::failed(std::size_t server) { servers_[server]->usable.store(false); }

link::Position Cluster::head() const {
  const One& one = *servers_[primary()];
  const std::uint32_t timeline = one.timeline.load();
  return timeline == 0 ? link::Position{} : link::Position{system(), timeline, one.lsn.load()};
}

std::optional<link::Position> Cluster::position(std::size_t server, std::string_view lsn) const {
  const auto at = parse_lsn(lsn);
  const std::uint32_t timeline = servers_[server]->timeline.load();
  if (!at || timeline == 0 || system() == 0) return std::nullopt;
  return link::Position{system(), timeline, end_of_record(*at)};
}

std::vector<ServerStatus> Cluster::status() const {
  std::vector<ServerStatus> all;
  const std::uint64_t head = servers_[primary()]->lsn.load();
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    const One& one = *servers_[i];
    ServerStatus status{.address = one.route.target.address(),
                        .role = one.role.load(),
                        .is_primary = i == primary(),
                        .usable = one.usable.load(),
                        .fenced = one.fenced.load(),
                        .lsn = one.lsn.load(),
                        .timeline = one.timeline.load(),
                        .lag = Duration(one.lag_ns.load()),
                        .busy = one.busy.load(),
                        .reads = one.reads.load()};
    status.lag_bytes = head > status.lsn ? head - status.lsn : 0;
    const std::scoped_lock lock(one.mutex);
    status.error = one.error;
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace headroom::sql
