#include "headroom/server/audit.h"

#include <array>
#include <limits>
#include <string_view>

#include "headroom/base/clock.h"
#include "headroom/base/log.h"
#include "headroom/sqlite/transaction.h"

namespace headroom::server {
namespace {

constexpr std::array<std::string_view, 1> kSchema{R"(
CREATE TABLE entries(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, role TEXT NOT NULL, source TEXT NOT NULL,
  method TEXT NOT NULL, path TEXT NOT NULL, status INTEGER NOT NULL);
CREATE INDEX refused ON entries(id) WHERE status >= 400;
CREATE INDEX done ON entries(id) WHERE status < 400;
)"};

std::string bounded(std::string text) {
  if (text.size() > Audit::kLongest) text.resize(Audit::kLongest);
  return text;
}

Result<> trim(sqlite::Database& database) {
  auto done = database.run(
      "DELETE FROM entries WHERE status < 400 AND id <= (SELECT id FROM entries WHERE status < 400 "
      "ORDER BY id DESC LIMIT 1 OFFSET ?)",
      Audit::kDone);
  if (!done) return done;
  return database.run(
      "DELETE FROM entries WHERE status >= 400 AND id <= (SELECT id FROM entries WHERE status >= "
      "400 ORDER BY id DESC LIMIT 1 OFFSET ?)",
      Audit::kRefused);
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

void Audit::note(AuditEntry entry) {
  if (entry.at == 0) entry.at = unix_seconds();
  for (std::string* text : {&entry.who, &entry.role, &entry.from, &entry.method, &entry.path})
    *text = bounded(std::move(*text));
  const std::scoped_lock lock(mutex_);
  waiting_.push_back(std::move(entry));
  if (waiting_.size() > kWaiting) {
    waiting_.pop_front();
    ++lost_;
  }
  write_or_say();
}

void Audit::retry() {
  if (!failing_.load(std::memory_order_relaxed)) return;
  const std::scoped_lock lock(mutex_);
  if (!waiting_.empty()) write_or_say();
}

void Audit::write_or_say() {
  const auto written = write();
  if (written) {
    waiting_.clear();
    if (failing_.exchange(false))
      log::info("server", "the audit log is written again ({} entries were lost)", lost_);
    return;
  }
  if (!failing_.exchange(true))
    log::error("server", "the audit log cannot be written, trying again: {}",
               written.error().message);
}

Result<> Audit::write() {
  if (auto opened = open(); !opened) return opened;
  auto transaction = sqlite::Transaction::begin(*database_);
  if (!transaction) return pass(transaction);
  for (const AuditEntry& each : waiting_) {
    auto stored = database_->run(
        "INSERT INTO entries(at, who, role, source, method, path, status) VALUES (?,?,?,?,?,?,?)",
        each.at, each.who, each.role, each.from, each.method, each.path,
        static_cast<std::int64_t>(each.status));
    if (!stored) return stored;
  }
  if (auto trimmed = trim(*database_); !trimmed) return trimmed;
  return transaction->commit();
}

Result<std::vector<AuditEntry>> Audit::newest(std::size_t most, std::int64_t before) {
  const std::scoped_lock lock(mutex_);
  if (auto opened = open(); !opened) return fail(Errc::unavailable, opened.error().message);
  auto rows = database_->prepare(
      "SELECT id, at, who, role, source, method, path, status FROM entries WHERE id < ? ORDER BY "
      "id DESC LIMIT ?");
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
                   .status = static_cast<unsigned>(rows->column<std::int64_t>(7))});
  }
}

std::vector<net::HealthReport> Audit::health() const {
  using State = net::HealthReport::State;
  if (!failing_.load()) return {};
  return {{"server", State::degraded, "the audit log cannot be written"}};
}

}  // namespace headroom::server
