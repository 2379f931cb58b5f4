#include "headroom/tasks/sqlite_store.h"

#include <array>

#include "headroom/base/assert.h"

namespace headroom::tasks {
namespace {

constexpr std::array<std::string_view, 3> kSchema{R"(
CREATE TABLE jobs(
  seq INTEGER PRIMARY KEY, jid TEXT NOT NULL, queue TEXT NOT NULL, priority INTEGER NOT NULL, reserve INTEGER NOT NULL,
  expires INTEGER NOT NULL, lost INTEGER NOT NULL, unique_key TEXT NOT NULL, unique_until INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE places(lane INTEGER NOT NULL, rank INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(lane, rank, seq)) WITHOUT ROWID;
CREATE TABLE queues(lane INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, paused INTEGER NOT NULL);
CREATE TABLE locks(key TEXT PRIMARY KEY, jid TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE notes(name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
)",
                                                  R"(
ALTER TABLE jobs ADD COLUMN jobtype TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN share TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN bid TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN called_by TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
CREATE TABLE shares(lane INTEGER PRIMARY KEY, queue TEXT NOT NULL, share TEXT NOT NULL, UNIQUE(queue, share));
)",
                                                  R"(
ALTER TABLE places ADD COLUMN tag INTEGER NOT NULL DEFAULT 0;
)"};

constexpr int kCopyWithin = 1000;  // pages
constexpr std::uint32_t kLogStep = 256;
constexpr int kCache = 2048;  // KiB: jobs come and go all over the file

// What a job is besides, in one column.
enum Flag : std::uint32_t {
  kTracked = 1,
  kChained = 2,
  kFailed = 4,
  kCalledComplete = 8,
  kCalledSuccess = 16
};

std::uint32_t flags_of(const Job& job) {
  return (job.tracked ? kTracked : 0U) | (job.chained ? kChained : 0U) |
         (job.failed ? kFailed : 0U) | (job.callback == Callback::complete ? kCalledComplete : 0U) |
         (job.callback == Callback::success ? kCalledSuccess : 0U);
}

void set_flags(Job& job, std::uint32_t flags) {
  job.tracked = (flags & kTracked) != 0;
  job.chained = (flags & kChained) != 0;
  job.failed = (flags & kFailed) != 0;
  job.callback = (flags & kCalledComplete) != 0  ? Callback::complete
                 : (flags & kCalledSuccess) != 0 ? Callback::success
                                                 : Callback::none;
}

// SQLite's whole numbers are signed.
std::int64_t number(std::uint64_t seq) { return static_cast<std::int64_t>(seq); }

// Of a job's name, in its place; 0: it was placed before there were tags.
std::uint32_t tag_of(std::string_view jid) {
  return static_cast<std::uint32_t>(hash64(jid) >> 33U) | 1U;
}

// A row of SqliteStore::read().
StoredJob stored_in(const sqlite::Statement& row, LaneId lane) {
  StoredJob found;
  Job& job = found.job;
  job.seq = row.column<std::uint64_t>(1);
  found.place = {lane, {row.column<std::int64_t>(0), job.seq}};
  job.jid = row.column<std::string>(2);
  job.queue = row.column<std::string>(3);
  job.priority = row.column<std::int32_t>(4);
  job.reserve_s = row.column<std::uint32_t>(5);
  job.expires = row.column<WallTime>(6);
  job.lost = row.column<std::uint32_t>(7);
  job.unique_key = row.column<std::string>(8);
  job.unique_until = static_cast<UniqueUntil>(row.column<std::uint8_t>(9));
  job.body = row.column<std::string>(10);
  job.jobtype = row.column<std::string>(11);
  job.key = row.column<std::string>(12);
  job.bid = row.column<std::string>(13);
  job.called_by = row.column<std::string>(14);
  set_flags(job, row.column<std::uint32_t>(15));
  return found;
}

// Calls `take(statement)` for each row of a query.
template <class Take, class... Values>
Result<> each(sqlite::Database& database, std::string_view sql, const Take& take,
              const Values&... values) {
  auto statement = database.prepare(sql);
  if (!statement) return pass(statement);
  statement->bind(values...);
  for (;;) {
    auto row = statement->step();
    if (!row) return pass(row);
    if (!*row) return {};
    take(*statement);
  }
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::filesystem::path& path,
                                                       Copies copies) {
  const int within = copies == Copies::within ? kCopyWithin : 0;
  auto database = sqlite::Database::open(
      path, {.wal_autocheckpoint_pages = within, .wal_step_pages = kLogStep, .cache_kib = kCache});
  if (!database) return pass(database);
  if (auto ready = (*database)->migrate(kSchema); !ready) return pass(ready);
  std::unique_ptr<sqlite::Checkpointer> checkpointer;
  if (copies == Copies::beside) {
    auto opened = sqlite::Checkpointer::open(path);
    if (!opened) return pass(opened);
    checkpointer = std::move(*opened);
  }
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(std::move(*database), std::move(checkpointer)));
}

Result<> SqliteStore::begin() {
  HR_ASSERT(!transaction_.has_value());
  auto begun = sqlite::Transaction::begin(*database_);
  if (!begun) return pass(begun);
  transaction_.emplace(std::move(*begun));
  return {};
}

Result<> SqliteStore::commit() {
  auto done = transaction_->commit();
  if (!done) return done;
  transaction_.reset();
  if (checkpointer_) checkpointer_->committed(*database_);
  return done;
}

void SqliteStore::roll_back() { transaction_.reset(); }

Result<> SqliteStore::place(std::string_view jid, const Place& place) {
  return database_->run("INSERT INTO places(lane, rank, seq, tag) VALUES (?, ?, ?, ?)", place.lane,
                        place.key.rank, number(place.key.seq), tag_of(jid));
}

Result<> SqliteStore::unplace(const Place& place) {
  return database_->run("DELETE FROM places WHERE lane = ? AND rank = ? AND seq = ?", place.lane,
                        place.key.rank, number(place.key.seq));
}

Result<> SqliteStore::add(const Job& job, const Place& at) {
  auto added = database_->run(
      "INSERT INTO jobs(seq, jid, queue, priority, reserve, expires, lost, unique_key, "
      "unique_until, body, jobtype, share, bid, called_by, flags) "
      "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
      number(job.seq), job.jid, job.queue, job.priority, job.reserve_s, job.expires, job.lost,
      job.unique_key, static_cast<int>(job.unique_until), job.body, job.jobtype, job.key, job.bid,
      job.called_by, flags_of(job));
  if (!added) return added;
  return place(job.jid, at);
}

Result<> SqliteStore::move(std::string_view jid, const Place& from, const Place& to) {
  if (auto gone = unplace(from); !gone) return gone;
  return place(jid, to);
}

Result<> SqliteStore::rewrite(const Job& job) {
  return database_->run(
      "UPDATE jobs SET lost = ?, unique_key = ?, body = ?, flags = ? WHERE seq = ?", job.lost,
      job.unique_key, job.body, flags_of(job), number(job.seq));
}

Result<> SqliteStore::remove(const Place& place) {
  if (auto gone = unplace(place); !gone) return gone;
  return database_->run("DELETE FROM jobs WHERE seq = ?", number(place.key.seq));
}

Result<> SqliteStore::put_queue(const StoredQueue& queue) {
  return database_->run("INSERT OR REPLACE INTO queues(lane, name, paused) VALUES (?, ?, ?)",
                        queue.lane, queue.name, queue.paused);
}

Result<> SqliteStore::remove_queue(LaneId lane) {
  return database_->run("DELETE FROM queues WHERE lane = ?", lane);
}

Result<> SqliteStore::put_lock(const StoredLock& lock) {
  return database_->run("INSERT OR REPLACE INTO locks(key, jid, until) VALUES (?, ?, ?)", lock.key,
                        lock.jid, lock.until);
}

Result<> SqliteStore::remove_lock(std::string_view key) {
  return database_->run("DELETE FROM locks WHERE key = ?", key);
}

Result<> SqliteStore::remove_old_locks(WallTime now) {
  return database_->run("DELETE FROM locks WHERE until <= ?", now);
}

Result<> SqliteStore::put_note(const Note& note) {
  return database_->run("INSERT OR REPLACE INTO notes(name, text) VALUES (?, ?)", note.name,
                        note.text);
}

Result<> SqliteStore::remove_note(std::string_view name) {
  return database_->run("DELETE FROM notes WHERE name = ?", name);
}

Result<> SqliteStore::clear() {
  return database_->execute(
      "DELETE FROM places; DELETE FROM jobs; DELETE FROM locks; DELETE FROM notes WHERE name GLOB "
      "'batch/*' OR name GLOB 'track/*' OR name GLOB 'result/*';");
}

Result<std::vector<LaneCount>> SqliteStore::counts() {
  std::vector<LaneCount> counts;
  auto done = each(*database_, "SELECT lane, count(*) FROM places GROUP BY lane",
                   [&](const sqlite::Statement& row) {
                     counts.push_back({row.column<LaneId>(0), row.column<std::uint64_t>(1)});
                   });
  if (!done) return pass(done);
  return counts;
}

Result<Store::QueueCounts> SqliteStore::counts_by_queue(LaneId lane, const Key& after,
                                                        std::size_t rows) {
  QueueCounts counts{.jobs = {}, .last = after};
  std::size_t read = 0;
  auto done = each(
      *database_,
      "SELECT p.rank, p.seq, j.queue FROM places p CROSS JOIN jobs j ON j.seq = p.seq "
      "WHERE p.lane = ? AND (p.rank, p.seq) > (?, ?) ORDER BY p.rank, p.seq LIMIT ?",
      [&](const sqlite::Statement& row) {
        ++read;
        counts.last = {row.column<std::int64_t>(0), row.column<std::uint64_t>(1)};
        ++counts.jobs[row.column<std::string>(2)];
      },
      lane, after.rank, number(after.seq), static_cast<std::int64_t>(rows));
  if (!done) return pass(done);
  counts.end = read < rows;
  return counts;
}

Result<std::uint64_t> SqliteStore::last_seq() {
  std::uint64_t last = 0;
  auto done = each(*database_, "SELECT max(seq) FROM jobs", [&](const sqlite::Statement& row) {
    last = row.column<std::optional<std::uint64_t>>(0).value_or(0);
  });
  if (!done) return pass(done);
  return last;
}

Result<std::vector<StoredQueue>> SqliteStore::queues() {
  std::vector<StoredQueue> queues;
  auto done = each(
      *database_, "SELECT lane, name, paused FROM queues ORDER BY lane",
      [&](const sqlite::Statement& row) {
        queues.push_back({row.column<LaneId>(0), row.column<std::string>(1), row.column<bool>(2)});
      });
  if (!done) return pass(done);
  return queues;
}

Result<> SqliteStore::put_share(const StoredShare& share) {
  return database_->run("INSERT OR REPLACE INTO shares(lane, queue, share) VALUES (?, ?, ?)",
                        share.lane, share.queue, share.key);
}

Result<> SqliteStore::remove_share(LaneId lane) {
  return database_->run("DELETE FROM shares WHERE lane = ?", lane);
}

Result<std::vector<StoredShare>> SqliteStore::shares() {
  std::vector<StoredShare> shares;
  auto done = each(*database_, "SELECT lane, queue, share FROM shares ORDER BY lane",
                   [&](const sqlite::Statement& row) {
                     shares.push_back({row.column<LaneId>(0), row.column<std::string>(1),
                                       row.column<std::string>(2)});
                   });
  if (!done) return pass(done);
  return shares;
}

Result<std::vector<StoredLock>> SqliteStore::locks() {
  std::vector<StoredLock> locks;
  auto done =
      each(*database_, "SELECT key, jid, until FROM locks", [&](const sqlite::Statement& row) {
        locks.push_back(
            {row.column<std::string>(0), row.column<std::string>(1), row.column<WallTime>(2)});
      });
  if (!done) return pass(done);
  return locks;
}

Result<std::optional<std::string>> SqliteStore::note(std::string_view name) {
  std::optional<std::string> text;
  auto done = each(
      *database_, "SELECT text FROM notes WHERE name = ?",
      [&](const sqlite::Statement& row) { text = row.column<std::string>(0); }, name);
  if (!done) return pass(done);
  return text;
}

Result<std::vector<Note>> SqliteStore::notes(std::string_view prefix) {
  std::vector<Note> notes;
  const auto take = [&](const sqlite::Statement& row) {
    notes.push_back({row.column<std::string>(0), row.column<std::string>(1)});
  };
  HR_ASSERT(!prefix.empty());
  std::string end(prefix);  // the first name behind those that begin so
  ++end.back();
  auto done =
      each(*database_, "SELECT name, text FROM notes WHERE name >= ? AND name < ? ORDER BY name",
           take, prefix, end);
  if (!done) return pass(done);
  return notes;
}

Result<StoredPage> SqliteStore::read(LaneId lane, const Key& after, std::size_t limit,
                                     std::size_t bytes) {
  auto rows = database_->prepare(
      "SELECT p.rank, p.seq, j.jid, j.queue, j.priority, j.reserve, j.expires, j.lost, "
      "j.unique_key, j.unique_until, j.body, j.jobtype, j.share, j.bid, j.called_by, j.flags "
      "FROM places p CROSS JOIN jobs j ON j.seq = p.seq "
      "WHERE p.lane = ? AND (p.rank, p.seq) > (?, ?) ORDER BY p.rank, p.seq LIMIT ?");
  if (!rows) return pass(rows);
  rows->bind(lane, after.rank, number(after.seq), static_cast<std::int64_t>(limit));
  StoredPage page;
  for (std::size_t read = 0; read < bytes || page.jobs.empty();) {
    auto row = rows->step();
    if (!row) return pass(row);
    if (!*row) {
      page.end = page.jobs.size() < limit;
      return page;
    }
    page.jobs.push_back(stored_in(*rows, lane));
    read += page.jobs.back().job.body.size();
  }
  page.end = false;
  return page;
}

Result<std::string> SqliteStore::body(std::uint64_t seq) {
  std::optional<std::string> body;
  auto done = each(
      *database_, "SELECT body FROM jobs WHERE seq = ?",
      [&](const sqlite::Statement& row) { body = row.column<std::string>(0); }, number(seq));
  if (!done) return pass(done);
  if (!body) return fail(Errc::not_found, "no such job");
  return std::move(*body);
}

Result<Store::Search> SqliteStore::search(const std::unordered_set<std::string>& jids,
                                          const Place& after, std::size_t rows) {
  std::unordered_set<std::uint32_t> tags{0};
  for (const std::string& jid : jids) tags.insert(tag_of(jid));
  auto places = database_->prepare(
      "SELECT lane, rank, seq, tag FROM places WHERE (lane, rank, seq) > (?, ?, ?) "
      "ORDER BY lane, rank, seq LIMIT ?");
  if (!places) return pass(places);
  places->bind(after.lane, after.key.rank, number(after.key.seq), static_cast<std::int64_t>(rows));
  Search search{.found = {}, .looked_to = after};
  std::vector<Place> likely;
  for (std::size_t looked_at = 0;; ++looked_at) {
    auto row = places->step();
    if (!row) return pass(row);
    search.end = !*row && looked_at < rows;
    if (!*row) break;
    const Place place{places->column<LaneId>(0),
                      {places->column<std::int64_t>(1), places->column<std::uint64_t>(2)}};
    search.looked_to = place;
    const bool waits = place.lane >= kFirstQueue || place.lane == kRetries;
    if (waits && (search.first_seq == 0 || place.key.seq < search.first_seq))
      search.first_seq = place.key.seq;
    if (tags.contains(places->column<std::uint32_t>(3))) likely.push_back(place);
  }
  for (const Place& place : likely) {
    const auto take = [&](const sqlite::Statement& row) {
      std::string jid = row.column<std::string>(0);
      if (jids.contains(jid)) search.found.push_back({std::move(jid), place});
    };
    auto done = each(*database_, "SELECT jid FROM jobs WHERE seq = ?", take, number(place.key.seq));
    if (!done) return pass(done);
  }
  return search;
}

}  // namespace headroom::tasks
