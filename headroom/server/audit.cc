#include "headroom/server/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <string_view>
#include <tuple>
#include <utility>

#include "headroom/base/clock.h"
#include "headroom/base/log.h"
#include "headroom/sqlite/transaction.h"

namespace headroom::server {
namespace {

constexpr std::array<std::string_view, 3> kSchema{
    R"(
CREATE TABLE entries(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, role TEXT NOT NULL, source TEXT NOT NULL,
  method TEXT NOT NULL, path TEXT NOT NULL, status INTEGER NOT NULL);
CREATE INDEX refused ON entries(id) WHERE status >= 400;
CREATE INDEX done ON entries(id) WHERE status < 400;
)",
    R"(
DROP INDEX done;
CREATE INDEX done ON entries(id) WHERE status < 400 AND path <> '/api/v1/session';
CREATE INDEX sign_ins ON entries(id) WHERE status < 400 AND path = '/api/v1/session';
DROP INDEX refused;
CREATE INDEX refused ON entries(id) WHERE status >= 400 AND path <> '/api/v1/session';
CREATE INDEX failed_sign_ins ON entries(id) WHERE status >= 400 AND path = '/api/v1/session';
)",
    R"(
ALTER TABLE entries ADD COLUMN times INTEGER NOT NULL DEFAULT 1;
CREATE INDEX refused_of ON entries(who, at) WHERE status >= 400 AND path <> '/api/v1/session';
)"};

// A kind of entries, kept by itself: as the indexes have them, so that the oldest is found at once.
struct KindRow {
  std::string_view condition;
  std::int64_t most;
};
constexpr std::array kKindRows{
    KindRow{"status < 400 AND path <> '/api/v1/session'", Audit::kDone},
    KindRow{"status < 400 AND path = '/api/v1/session'", Audit::kSignIns},
    KindRow{"status >= 400 AND path <> '/api/v1/session'", Audit::kRefused},
    KindRow{"status >= 400 AND path = '/api/v1/session'", Audit::kSignIns},
};

std::string bounded(std::string text) {
  if (text.size() > Audit::kLongest) text.resize(Audit::kLongest);
  return text;
}

Result<> trim(sqlite::Database& database) {
  for (const KindRow& kind : kKindRows) {
    auto done = database.run(
        fmt::format("DELETE FROM entries WHERE {0} AND id <= (SELECT id FROM entries WHERE {0} "
                    "ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    kind.condition),
        kind.most);
    if (!done) return done;
  }
  return {};
}

Result<> insert(sqlite::Database& database, const AuditEntry& entry) {
  return database.run(
      "INSERT INTO entries(at, who, role, source, method, path, status, times) VALUES "
      "(?,?,?,?,?,?,?,?)",
      entry.at, entry.who, entry.role, entry.from, entry.method, entry.path,
      static_cast<std::int64_t>(entry.status), entry.times);
}

bool is_refusal(const AuditEntry& entry) {
  return entry.status >= 400 && entry.path != "/api/v1/session";
}

bool same(const AuditEntry& a, const AuditEntry& b) {
  const auto key = [](const AuditEntry& of) {
    return std::tie(of.status, of.method, of.path, of.who, of.from);
  };
  return key(a) == key(b);
}

// True when the same was refused to them lately, and is a count on that.
Result<bool> count_again(sqlite::Database& database, const AuditEntry& entry) {
  auto done = database.run(
      "UPDATE entries SET times = times + ? WHERE id = (SELECT id FROM entries WHERE "
      "status >= 400 AND path <> '/api/v1/session' AND who = ? AND at > ? AND method = ? AND "
      "path = ? AND status = ? AND source = ? LIMIT 1)",
      entry.times, entry.who, entry.at - Audit::kRepeated, entry.method, entry.path,
      static_cast<std::int64_t>(entry.status), entry.from);
  if (!done) return pass(done);
  return database.changes() > 0;
}

Result<bool> has_enough(sqlite::Database& database, const AuditEntry& entry) {
  auto rows = database.prepare(
      "SELECT count(*) FROM entries WHERE status >= 400 AND path <> '/api/v1/session' AND who = ? "
      "AND at > ?");
  if (!rows) return pass(rows);
  rows->bind(entry.who, entry.at - Audit::kRepeated);
  auto row = rows->step();
  if (!row) return pass(row);
  return rows->column<std::int64_t>(0) >= Audit::kRefusedOfOne;
}

}  // namespace

std::filesystem::path audit_path(const std::filesystem::path& state_dir) {
  return state_dir / "audit.db";
}

Result<> Audit::open() {
  if (database_) return {};
  auto database = sqlite::Database::open(file_);
  if (!database) return pass(database);
  if (auto ready = (*database)->migrate(kSchema); !ready) return ready;
  database_ = std::move(*database);
  return {};
}

std::size_t Audit::kind_of(const AuditEntry& entry) {
  const std::size_t of_session = entry.path == "/api/v1/session" ? 1 : 0;
  return entry.status >= 400 ? 2 + of_session : of_session;
}

void Audit::note(AuditEntry entry) {
  (void)note_later(std::move(entry));
  write_waiting();
}

Audit::Write Audit::note_later(AuditEntry entry) {
  if (entry.at == 0) entry.at = unix_seconds();
  for (std::string* text : {&entry.who, &entry.role, &entry.from, &entry.method, &entry.path})
    *text = bounded(std::move(*text));
  const std::size_t kind = kind_of(entry);
  const std::scoped_lock lock(waiting_mutex_);
  if (!waiting_.empty() && is_refusal(entry) && same(waiting_.back(), entry)) {
    waiting_.back().times += entry.times;
    return std::exchange(write_asked_, true) ? Write::is_asked_for : Write::ask_for_it;
  }
  if (waiting_of_[kind] >= kWaiting) drop_oldest(kind);
  waiting_.push_back(std::move(entry));
  ++waiting_of_[kind];
  return std::exchange(write_asked_, true) ? Write::is_asked_for : Write::ask_for_it;
}

void Audit::drop_oldest(std::size_t kind) {
  waiting_.erase(std::ranges::find(waiting_, kind, kind_of));
  --waiting_of_[kind];
  ++lost_unsaid_;
  lost_.fetch_add(1, std::memory_order_relaxed);
}

void Audit::write_waiting() {
  const std::scoped_lock one_writer(file_mutex_);
  std::deque<AuditEntry> entries;
  std::uint64_t lost = 0;
  {
    const std::scoped_lock lock(waiting_mutex_);
    write_asked_ = false;
    entries.swap(waiting_);
    waiting_of_ = {};
    lost = std::exchange(lost_unsaid_, 0);
  }
  if (entries.empty() && lost == 0) return;
  if (const auto written = write(entries, lost); !written) {
    put_back(std::move(entries), lost);
    if (!failing_.exchange(true))
      log::error("server", "the audit log cannot be written, trying again: {}",
                 written.error().message);
    return;
  }
  if (failing_.exchange(false)) log::info("server", "the audit log is written again");
  if (lost > 0) log::warn("server", "{} entries of the audit log were lost: too many waited", lost);
}

// In front of what has come meanwhile; beyond the limit the oldest are lost.
void Audit::put_back(std::deque<AuditEntry> entries, std::uint64_t lost) {
  const std::scoped_lock lock(waiting_mutex_);
  lost_unsaid_ += lost;
  waiting_.insert(waiting_.begin(), std::move_iterator(entries.begin()),
                  std::move_iterator(entries.end()));
  waiting_of_ = {};
  for (const AuditEntry& each : waiting_) ++waiting_of_[kind_of(each)];
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    while (waiting_of_[kind] > kWaiting) drop_oldest(kind);
  }
}

Result<> Audit::store(const AuditEntry& entry) {
  if (!is_refusal(entry)) return insert(*database_, entry);
  auto counted = count_again(*database_, entry);
  if (!counted) return pass(counted);
  if (*counted) return {};
  auto enough = has_enough(*database_, entry);
  if (!enough) return pass(enough);
  if (!*enough) return insert(*database_, entry);
  AuditEntry further = entry;
  further.method = "";
  further.path = "further refusals";
  counted = count_again(*database_, further);
  if (!counted) return pass(counted);
  return *counted ? Result<>{} : insert(*database_, further);
}

Result<> Audit::write(const std::deque<AuditEntry>& entries, std::uint64_t lost) {
  if (auto opened = open(); !opened) return opened;
  auto transaction = sqlite::Transaction::begin(*database_);
  if (!transaction) return pass(transaction);
  for (const AuditEntry& each : entries) {
    if (auto stored = store(each); !stored) return stored;
  }
  if (lost > 0) {
    const AuditEntry said{
        .at = unix_seconds(),
        .who = "headroom",
        .path = fmt::format("{} lost",
                            lost == 1 ? "1 entry was" : fmt::format("{} entries were", lost)),
        .status = 500};
    if (auto stored = insert(*database_, said); !stored) return stored;
  }
  if (auto trimmed = trim(*database_); !trimmed) return trimmed;
  return transaction->commit();
}

Result<std::vector<AuditEntry>> Audit::newest(std::size_t most, std::int64_t before) {
  const std::scoped_lock lock(file_mutex_);
  if (auto opened = open(); !opened) return fail(Errc::unavailable, opened.error().message);
  auto rows = database_->prepare(
      "SELECT id, at, who, role, source, method, path, status, times FROM entries WHERE id < ? "
      "ORDER BY id DESC LIMIT ?");
  if (!rows) return pass(rows);
  rows->bind(before > 0 ? before : std::numeric_limits<std::int64_t>::max(),
             static_cast<std::int64_t>(most));
  std::vector<AuditEntry> all;
  for (;;) {
    auto row = rows->step();
    if (!row) return pass(row);
    if (!*row) return all;
    all.push_back({.id = rows->column<std::int64_t>(0),
                   .at = rows->column<std::int64_t>(1),
                   .who = rows->column<std::string>(2),
                   .role = rows->column<std::string>(3),
                   .from = rows->column<std::string>(4),
                   .method = rows->column<std::string>(5),
                   .path = rows->column<std::string>(6),
                   .status = static_cast<unsigned>(rows->column<std::int64_t>(7)),
                   .times = rows->column<std::int64_t>(8)});
  }
}

std::vector<net::HealthReport> Audit::health() const {
  using State = net::HealthReport::State;
  if (!failing_.load()) return {};
  return {{"server", State::degraded, "the audit log cannot be written"}};
}

}  // namespace headroom::server
