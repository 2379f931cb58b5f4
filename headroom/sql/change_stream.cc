#include "headroom/sql/change_stream.h"

#include <fmt/format.h>

#include "headroom/base/log.h"
#include "headroom/base/text.h"

namespace headroom::sql {

using net::Task;
using postgres::Decoded;
using postgres::Decoding;

namespace {

constexpr std::string_view kPrefix = "headroom";
constexpr Duration kAgain = 1s;      // after a failure
constexpr Duration kAnswer = 5s;     // for a question
constexpr Duration kOpening = 600s;  // for open transactions to end
constexpr Duration kInDemand = 10s;  // since a look-up
constexpr Duration kAtRest = 1s;     // how often it is looked when nobody asks
constexpr Duration kLookAtCatalogue = 1s;
constexpr Duration kPatience =
    15ms;                        // for the log's position, before a message of ours goes behind it
constexpr Duration kLost = 10s;  // nothing was passed for so long: the stream is made anew

std::int64_t stamp(TimePoint at) { return at.time_since_epoch().count(); }
TimePoint time_of(std::int64_t stamp) { return TimePoint(Duration(stamp)); }

void raise(std::atomic<std::int64_t>& value, std::int64_t to) {
  std::int64_t now = value.load(std::memory_order_relaxed);
  while (now < to && !value.compare_exchange_weak(now, to, std::memory_order_acq_rel)) {
  }
}

void make_unique(std::vector<Oid>& tables) {
  std::ranges::sort(tables);
  tables.erase(std::ranges::unique(tables).begin(), tables.end());
}

Error malformed() { return {Errc::protocol, "the server does not answer what it was asked"}; }

}  // namespace

ChangeStream::ChangeStream(net::Workers& workers, const postgres::Means& means,
                           const Database& database, postgres::Credentials who, cache::Cache& cache,
                           DatabaseCounts& counts, link::TagsOut* tags_out, Duration behind,
                           bool may_be_blind, Sessions sessions)
    : worker_(workers[0]),
      means_(means),
      database_(database),
      who_(std::move(who)),
      cache_(cache),
      counts_(counts),
      tags_out_(tags_out),
      behind_(behind),
      may_be_blind_(may_be_blind),
      sessions_(std::move(sessions)),
      tag_("sql:" + database.name),
      instance_(text::random_hex(8)) {}

void ChangeStream::start() {
  worker_.run_and_wait([this] {
    group_ = std::make_unique<net::TaskGroup>(worker_);
    wake_ = std::make_unique<net::Event>(*group_);
    if (!group_->spawn([this] { return run(); })) say("stopping");
  });
}

void ChangeStream::stop() {
  if (!group_) return;
  ready_ = false;
  group_->stop_and_join();
  worker_.run_and_wait([this] {
    wake_.reset();
    group_.reset();
  });
}

std::string ChangeStream::tag(Oid table) const { return fmt::format("{}:{}", tag_, table); }

bool ChangeStream::current(TimePoint now) {
  wanted_.store(stamp(now), std::memory_order_relaxed);
  const std::int64_t verified = verified_.load(std::memory_order_acquire);
  const bool is = ready_.load(std::memory_order_acquire) && follows_primary() &&
                  !catalogue_stale_.load(std::memory_order_acquire) &&
                  verified > doubted_.load(std::memory_order_acquire) &&
                  elapsed(time_of(verified), now) <= behind_;
  note_current(is, now);
  const bool ageing = elapsed(time_of(verified), now) > behind_ / 3;
  const bool due = !is || ageing || settling_.load(std::memory_order_relaxed);
  if (due && stamp(now) >= next_probe_.load(std::memory_order_relaxed) &&
      ready_.load(std::memory_order_relaxed) &&
      !kicked_.exchange(true, std::memory_order_acq_rel)) {
    worker_.post([this] {
      if (wake_) wake_->set();
    });
  }
  return is;
}

void ChangeStream::doubt() {
  if (blind_) flush();
  raise(doubted_, stamp(Clock::now()));
}

void ChangeStream::changed(std::span<const Oid> tables) {
  if (!database_.cluster->alone()) positions_.dropped(tables, Clock::now());
  drop(tables, DropBy::proxy);
}

// From the first who asked in vain to the first who did not.
void ChangeStream::note_current(bool is, TimePoint now) {
  std::int64_t since = bypassed_since_.load(std::memory_order_relaxed);
  if (!is && since == 0)
    bypassed_since_.compare_exchange_strong(since, stamp(now), std::memory_order_relaxed);
  if (is && since != 0 &&
      bypassed_since_.compare_exchange_strong(since, 0, std::memory_order_relaxed))
    counts_.bypassed(elapsed(time_of(since), now));
}

void ChangeStream::drop(std::span<const Oid> tables, DropBy by) {
  for (const Oid table : tables) {
    drops_[table % drops_.size()].fetch_add(1, std::memory_order_relaxed);
    const std::string name = tag(table);
    cache_.memory().invalidate_tag(name, cache::Hardness::hard);
    tell_cdn(name);
  }
  counts_.dropped(by);
}

std::uint64_t ChangeStream::drops_of(std::span<const Oid> tables) const {
  std::uint64_t sum = 0;
  for (const Oid table : tables)
    sum += drops_[table % drops_.size()].load(std::memory_order_relaxed);
  return sum;
}

void ChangeStream::look_anew() {
  catalogue_doubts_.fetch_add(1, std::memory_order_acq_rel);
  catalogue_stale_.store(true, std::memory_order_release);
}

void ChangeStream::schema_changed() {
  look_anew();
  doubt();
}

void ChangeStream::flush() {
  if (!database_.cluster->alone()) positions_.dropped_all(Clock::now());
  invalidate_all();
}

void ChangeStream::invalidate_all() {
  flushes_.fetch_add(1, std::memory_order_relaxed);
  counts_.dropped(DropBy::flush);
  cache_.memory().invalidate_tag(tag_, cache::Hardness::hard);
  if (!flushed_.exchange(true) && tags_out_ != nullptr)
    cache_.tell(
        {.what = cache::Invalidation::What::tag, .space = cache::Space::http, .name = tag_});
  else
    tell_cdn(tag_);
}

// Of a write only where a page that has read the table may be there: CDNs take few calls.
void ChangeStream::tell_cdn(const std::string& tag) {
  if (tags_out_ != nullptr && tags_out_->take(tag))
    cache_.tell({.what = cache::Invalidation::What::tag, .space = cache::Space::http, .name = tag});
}

CataloguePointer ChangeStream::catalogue() const {
  const std::scoped_lock lock(mutex_);
  return catalogue_;
}

void ChangeStream::say(std::string state) {
  const std::scoped_lock lock(mutex_);
  state_ = std::move(state);
}

StreamReport ChangeStream::report() const {
  StreamReport report{
      .commits = commits_.load(), .flushes = flushes_.load(), .catalogues = version_.load()};
  const TimePoint now = Clock::now();
  report.behind = elapsed(time_of(verified_.load()), now);
  report.bypassed = counts_.bypassed_time();
  if (const std::int64_t since = bypassed_since_.load(); since != 0)
    report.bypassed += elapsed(time_of(since), now);
  const std::scoped_lock lock(mutex_);
  report.tables = catalogue_ ? catalogue_->size() : 0;
  report.state = !ready_ || !follows_primary() ? state_
                 : catalogue_stale_            ? "reading the catalogue"
                 : verified_ <= doubted_       ? "waiting for a commit to pass"
                                               : "current";
  // At rest it is asked once a second only.
  const bool in_demand = elapsed(time_of(wanted_.load()), now) < kAtRest;
  if (report.state == "current" && report.behind > (in_demand ? behind_ : 2 * kAtRest))
    report.state = "behind";
  report.current = report.state == "current";
  return report;
}

// Follows the stream as long as it lasts, over and over.
Task<> ChangeStream::run() {
  std::string before;
  while (!group_->stopped()) {
    auto ended = co_await follow();
    ready_ = false;
    flush();
    if (group_->stopped()) break;
    const std::string why = ended ? "the stream ended" : ended.error().message;
    say(why);
    if (why != before) log::warn("sql", "{}: results are not cached: {}", database_.name, why);
    before = why;
    (void)co_await net::sleep(*group_, kAgain);
  }
}

// As the server's own URL says, or as that of the first one.
postgres::Credentials ChangeStream::credentials() const {
  const postgres::Target& target = database_.cluster->route(follows_).target;
  if (target.user.empty() || target.password.empty()) return who_;
  return {.user = target.user, .password = target.password, .md5 = {}, .keys = {}};
}

Task<Result<>> ChangeStream::follow() {
  follows_ = database_.cluster->primary();
  const postgres::Route route = database_.cluster->route(follows_);
  const std::string name = database_.route.target.database;
  const TimePoint deadline = Clock::now() + kAnswer;
  auto server =
      co_await postgres::log_in(*group_, means_, route, credentials(), name, deadline, nullptr);
  if (!server) co_return pass(server);
  auto level =
      co_await postgres::ask(**server, "SET synchronous_commit TO local; SHOW wal_level", deadline);
  if (!level) co_return pass(level);
  if (level->empty() || level->front().empty() || level->front()[0] != "logical")
    co_return co_await go_blind(**server);
  pgwire::Report refusal;
  auto decoding =
      co_await Decoding::connect(*group_, means_, route, credentials(), name, deadline, &refusal);
  if (!decoding) co_return pass(decoding, "decoding the log");

  bool opened = false;
  net::TaskGroup beside(worker_);
  say("making the slot");
  if (!beside.spawn([this, &its_server = **server, &its_decoding = **decoding, &opened] {
        return watch_opening(its_server, its_decoding, opened);
      }))
    co_return Result<>{};
  auto begun = co_await (*decoding)->open(Clock::now() + kOpening);
  opened = true;
  co_await beside.join();
  if (!begun) co_return pass(begun, "decoding the log");

  position_ = heartbeat_begun_ = 0;
  open_ = {};
  unsettled_.clear();
  settling_ = false;
  probe_.reset();
  probed_ = looked_ = {};
  fingerprint_ = {};
  stream_ended_ = false;
  look_anew();
  flush();
  verified_ = 0;
  raise(doubted_, stamp(Clock::now()));
  ready_ = true;
  log::info("sql", "{}: the stream of changes has begun", database_.name);

  Result<> of_stream;
  net::TaskGroup readers(worker_);
  auto read = [this, &its_decoding = **decoding, &of_stream]() -> Task<> {
    of_stream = co_await read_stream(its_decoding);
    stream_ended_ = true;
    if (wake_) wake_->set();
  };
  if (!readers.spawn(std::move(read))) co_return Result<>{};
  auto asked = co_await ask_server(**server);
  ready_ = false;
  (*decoding)->abort();
  co_await readers.join();
  co_return of_stream ? asked : of_stream;
}

// Without the log: what comes through the proxy drops what it changes, and results live for a short time.
Task<Result<>> ChangeStream::go_blind(postgres::Server& server) {
  constexpr std::string_view kWhy =
      "the server's wal_level is not logical (it needs a restart with wal_level = logical)";
  if (!may_be_blind_) co_return fail(Errc::conflict, std::string(kWhy));
  say(fmt::format("{}; results are kept for blind_ttl", kWhy));
  fingerprint_ = {};
  while (!group_->stopped() && follows_primary()) {
    auto looked = co_await look_at_catalogue(server);
    if (!looked) break;
    blind_ = true;
    (void)co_await net::sleep(*group_, kLookAtCatalogue);
  }
  blind_ = false;
  co_return fail(Errc::unavailable, "the connection was lost");
}

// While the server makes the slot it waits for transactions that are open: says for whom.
Task<> ChangeStream::watch_opening(postgres::Server& server, Decoding& decoding, bool& opened) {
  while (!opened && !group_->stopped()) {
    std::string query = fmt::format(
        "SELECT string_agg(pid::text, ', ') FROM unnest(pg_catalog.pg_blocking_pids({})) pid",
        decoding.pid());
    auto rows = co_await postgres::ask(server, std::move(query), Clock::now() + kAnswer);
    if (!rows) co_return;
    if (!rows->empty() && !rows->front().empty() && rows->front()[0])
      say("making the slot waits for a transaction that is open: pid " + *rows->front()[0]);
    for (int i = 0; i < 10 && !opened; ++i) (void)co_await net::sleep(*group_, 50ms);
  }
}

Task<Result<>> ChangeStream::read_stream(Decoding& decoding) {
  for (;;) {
    auto event = co_await decoding.next();
    if (!event) co_return pass(event);
    if (event->kind == Decoding::Event::Kind::line) take(event->decoded);
    position_ = decoding.position();
    settle();
  }
}

void ChangeStream::take(const Decoded& line) {
  switch (line.kind) {
    case Decoded::Kind::begin:
      open_ = {.xid = line.xid};
      heartbeat_begun_ = 0;
      has_content_ = false;
      break;
    case Decoded::Kind::change:
      has_content_ = true;
      take_change(line);
      break;
    case Decoded::Kind::message:
      has_content_ = true;
      if (line.prefix == kPrefix) heartbeat_begun_ = heartbeat_of(line.content);
      if (line.prefix == "headroom.schema") open_.schema = true;  // an event trigger's
      break;
    case Decoded::Kind::commit: commit(line.xid); break;
    case Decoded::Kind::other:
      has_content_ = true;
      open_.all = true;
      break;
  }
}

// Nobody knows what others write under our prefix. 0: not one of ours.
std::uint64_t ChangeStream::heartbeat_of(std::string_view content) const {
  if (content.size() <= instance_.size() || !content.starts_with(instance_) ||
      content[instance_.size()] != ':')
    return 0;
  const std::uint64_t number = text::to_u64(content.substr(instance_.size() + 1)).value_or(0);
  return number <= heartbeat_sent_ ? number : 0;
}

void ChangeStream::take_change(const Decoded& line) {
  for (const postgres::RelationName& name : line.tables) {
    const Table* table =
        catalogue_ ? catalogue_->find(name) : nullptr;  // only this worker's tasks write it
    if (table == nullptr)
      open_.all = true;
    else
      open_.tables.insert(open_.tables.end(), table->upwards.begin(), table->upwards.end());
  }
  if (open_.tables.size() >= 64) make_unique(open_.tables);
}

void ChangeStream::commit(std::uint32_t xid) {
  commits_.fetch_add(1, std::memory_order_relaxed);
  open_.xid = xid;
  if (!has_content_ || open_.all)
    open_.schema = true;  // DDL, privileges, REFRESH, ANALYZE; a row that is locked
  heartbeat_seen_ = std::max(heartbeat_seen_, heartbeat_begun_);
  if (!open_.schema && open_.tables.empty()) return;
  make_unique(open_.tables);  // each row has named its own
  drop(open_);
  if (unsettled_.size() >= kMostUnsettled) {
    unsettled_.clear();
    open_.all = open_.schema = true;
  }
  unsettled_.push_back(std::move(open_));
  settling_.store(true, std::memory_order_relaxed);
  open_ = {};
}

void ChangeStream::drop(const Commit& commit) {
  if (!database_.cluster->alone()) {
    if (commit.all)
      positions_.dropped_all(Clock::now());
    else
      positions_.dropped(commit.tables, Clock::now());
  }
  drop_again(commit);
}

// Also what was read between then and now: a fill may have begun before the commit could be seen.
void ChangeStream::drop_again(const Commit& commit) {
  if (commit.schema) {
    look_anew();
    wake_->set();
  }
  if (commit.all)
    invalidate_all();
  else
    drop(commit.tables, DropBy::stream);
}

// What the last question asked for has been passed: all that was seen then has been dropped, or is dropped now.
void ChangeStream::settle() {
  if (!probe_) return;
  const bool passed =
      probe_->heartbeat != 0 ? heartbeat_seen_ >= probe_->heartbeat : position_ >= probe_->position;
  if (!passed) return;
  Commit seen;
  std::erase_if(unsettled_, [&](const Commit& commit) {
    if (!probe_->snapshot.sees(commit.xid)) return false;
    seen.tables.insert(seen.tables.end(), commit.tables.begin(), commit.tables.end());
    seen.all = seen.all || commit.all;
    seen.schema = seen.schema || commit.schema;
    return true;
  });
  make_unique(seen.tables);  // many commits of few tables
  if (seen.all || seen.schema || !seen.tables.empty()) drop_again(seen);
  settling_.store(!unsettled_.empty(), std::memory_order_relaxed);
  raise(verified_, stamp(probe_->as_of));
  probe_.reset();
}

Task<Result<>> ChangeStream::ask_server(postgres::Server& server) {
  const TimePoint began = Clock::now();
  while (!stream_ended_ && !group_->stopped()) {
    if (!follows_primary()) co_return fail(Errc::conflict, "another server has become the primary");
    const TimePoint now = Clock::now();
    const bool asked_for = elapsed(time_of(wanted_.load()), now) < kInDemand;
    if (catalogue_stale_ || (asked_for && elapsed(looked_, now) >= kLookAtCatalogue)) {
      auto looked = co_await look_at_catalogue(server);
      if (!looked) co_return looked;
    }
    kicked_ = false;
    auto probed = co_await probe(server);
    if (!probed) co_return probed;
    const TimePoint verified = std::max(time_of(verified_.load()), began);
    if (elapsed(verified, Clock::now()) > kLost)
      co_return fail(Errc::timeout, "the stream of changes does not get on");
    const TimePoint next =
        Clock::now() +
        (asked_for || probe_ ? Duration::zero() : kAtRest);  // the wheel's next tick, or a kick
    auto woken = co_await wake_->wait(next);
    if (!woken && woken.error().code == Errc::cancelled) break;
    if (const Duration since = elapsed(probed_, Clock::now()); since < kShortest)
      co_await worker_.yield();
  }
  co_return Result<>{};
}

Task<Result<>> ChangeStream::probe(postgres::Server& server) {
  const TimePoint as_of = Clock::now();
  if (elapsed(probed_, as_of) < kShortest) co_return Result<>{};
  // What was confirmed to a client may not be in the log yet (synchronous_commit = off), and a position may lie within a record: then a message of
  // ours tells.
  const bool late = probe_ && elapsed(probe_->as_of, as_of) > kPatience;
  const bool doubted =
      doubted_.load(std::memory_order_acquire) >= verified_.load(std::memory_order_acquire);
  if (probe_ && !late && !doubted) co_return Result<>{};
  if (probe_ && probe_->heartbeat != 0) co_return Result<>{};  // it is on its way
  probed_ = as_of;
  next_probe_.store(stamp(as_of + kShortest), std::memory_order_relaxed);
  Probe made{.as_of = as_of, .position = 0, .heartbeat = 0, .snapshot = {}};
  if (late || doubted) {
    made.heartbeat = ++heartbeat_sent_;
    std::string message =
        fmt::format("SELECT pg_catalog.pg_logical_emit_message(true, '{}', '{}:{}')", kPrefix,
                    instance_, made.heartbeat);
    auto sent = co_await postgres::ask(server, std::move(message), Clock::now() + kAnswer);
    if (!sent) co_return pass(sent);
  }
  std::string query =
      "SELECT pg_catalog.pg_current_wal_flush_lsn(), pg_catalog.txid_current_snapshot(), "
      "pg_catalog.pg_current_wal_insert_lsn()";
  auto rows = co_await postgres::ask(server, std::move(query), Clock::now() + kAnswer);
  if (!rows) co_return pass(rows);
  if (rows->size() != 1 || rows->front().size() != 3 || !rows->front()[0] || !rows->front()[1] ||
      !rows->front()[2])
    co_return std::unexpected(malformed());
  made.position = postgres::parse_position(*rows->front()[0]);
  auto snapshot = Snapshot::parse(*rows->front()[1]);
  if (made.position == 0 || !snapshot) co_return std::unexpected(malformed());
  made.snapshot = std::move(*snapshot);
  if (const auto at = database_.cluster->position(follows_, *rows->front()[2]))
    positions_.asked(as_of, *at);
  probe_ = std::move(made);
  settle();
  co_return Result<>{};
}

bool ChangeStream::is_own(const std::string& role) const {
  return role.empty() || role == who_.user;
}

// Whether it says something else for anybody. What roles that nobody is here by say of themselves, of this database or in another, and what they may,
// drops nothing; who comes by one of them later waits for the lock, and begins by what is put here.
bool ChangeStream::put(std::shared_ptr<Catalogue> read, const std::vector<std::string>& concerned,
                       bool alike) {
  const std::scoped_lock lock(mutex_);
  const bool says = !alike || std::ranges::any_of(concerned, [this](const std::string& role) {
    return is_own(role) || sessions_.any(role);
  });
  if (!says) read->renumber(catalogue_->version());
  catalogue_ = std::move(read);
  return says;
}

// A new snapshot when the catalogue's fingerprint has changed; everything read by the one before is then dropped.
Task<Result<>> ChangeStream::look_at_catalogue(postgres::Server& server) {
  const std::uint64_t doubts = catalogue_doubts_.load(std::memory_order_acquire);
  looked_ = Clock::now();
  auto fingerprint = co_await read_fingerprint(server, looked_ + kAnswer);
  if (!fingerprint) co_return pass(fingerprint);
  const bool same = *fingerprint == fingerprint_;
  if (same && catalogue_doubts_.load(std::memory_order_acquire) == doubts) catalogue_stale_ = false;
  if (same) co_return Result<>{};
  catalogue_stale_ = true;
  const bool alike = catalogue_ && fingerprint->all == fingerprint_.all;
  const std::uint64_t next = version_.load() + 1;
  const TimePoint deadline = Clock::now() + kAnswer;
  Result<std::shared_ptr<Catalogue>> read;
  if (alike)
    read = co_await read_roles(server, *catalogue_, next, deadline);
  else
    read = co_await read_catalogue(server, next, deadline);
  if (!read) co_return pass(read, "reading the catalogue");
  fingerprint_ = std::move(*fingerprint);
  std::vector<std::string> otherwise;
  std::vector<std::string> concerned;
  if (catalogue_) {
    otherwise = (*read)->begin_otherwise(*catalogue_, Clock::now());
    concerned = (*read)->may_otherwise(*catalogue_);
    concerned.insert(concerned.end(), otherwise.begin(), otherwise.end());
  }
  if (!put(std::move(*read), concerned, alike)) {
    if (catalogue_doubts_.load(std::memory_order_acquire) == doubts) catalogue_stale_ = false;
    co_return Result<>{};
  }
  version_.fetch_add(1, std::memory_order_acq_rel);
  flush();
  for (const std::string& role : otherwise) sessions_.renew(role);
  if (std::ranges::any_of(otherwise, [this](const auto& role) {
        return is_own(role);
      })) {  // the connection that asks is renewed, too
    co_return fail(Errc::conflict,
                   "what sessions begin with has changed (ALTER ROLE, ALTER DATABASE, the "
                   "configuration)");
  }
  if (catalogue_doubts_.load(std::memory_order_acquire) == doubts) catalogue_stale_ = false;
  co_return Result<>{};
}

}  // namespace headroom::sql
