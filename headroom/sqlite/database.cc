#include "headroom/sqlite/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <thread>
#include <utility>

#include "headroom/base/assert.h"
#include "headroom/base/clock.h"

namespace headroom::sqlite {
namespace {

constexpr std::size_t kCachedStatements = 64;
constexpr std::size_t kShownSql = 80;
constexpr std::int64_t kWalHeader = 32;
constexpr std::int64_t kWalPage = 4096 + 24;  // with its header
constexpr std::int64_t kWalAhead = 64;        // pages: most commits write less
constexpr std::array<char, 64 * 1024> kZeros{};

Errc code_of(int status, int system_errno) {
  switch (status & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM: return Errc::overloaded;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return system_errno == 0 ? Errc::unavailable : system_error("", system_errno).code;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: return Errc::unavailable;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY: return Errc::unauthorized;
    case SQLITE_CONSTRAINT: return Errc::conflict;
    case SQLITE_INTERRUPT: return Errc::cancelled;
    case SQLITE_TOOBIG: return Errc::invalid;
    default: return Errc::internal;
  }
}

// What the operator can do about it, where SQLite's own words do not say.
std::string_view advice(int status) {
  switch (status & 0xff) {
    case SQLITE_FULL: return "; free space on its disk";
    case SQLITE_BUSY: return "; another process or connection holds it";
    case SQLITE_NOTADB:
      return "; it is something else or damaged: move it away or restore a backup";
    case SQLITE_CORRUPT: return "; it is damaged: restore a backup";
    default: return "";
  }
}

Result<> make_private_parents(const std::filesystem::path& directory) {
  if (directory.empty()) return {};
  struct stat found{};
  if (::stat(directory.c_str(), &found) == 0) return {};
  if (auto parent = make_private_parents(directory.parent_path()); !parent) return parent;
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return std::unexpected(
        system_error(fmt::format("create directory {}", directory.string()), errno));
  return {};
}

// What root makes beside a server of another user must stay that server's to open (-wal and -shm follow the file).
void give_to_owner_of(const std::filesystem::path& directory, int fd) {
  struct stat owner{};
  if (::geteuid() != 0 || ::stat(directory.empty() ? "." : directory.c_str(), &owner) != 0) return;
  if (owner.st_uid == 0 || (owner.st_mode & S_ISVTX) != 0) return;
  [[maybe_unused]] const int given = ::fchown(fd, owner.st_uid, owner.st_gid);
}

// Creates the file if it is missing, so that its mode is right before SQLite writes to it (-wal and
// -shm take its mode). O_EXCL: an existing file may be open in this process, and closing a second
// descriptor of it would drop its locks.
Result<> make_private_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) {
    give_to_owner_of(path.parent_path(), fd);
    ::close(fd);
    return {};
  }
  if (errno != EEXIST)
    return std::unexpected(system_error(fmt::format("create {}", path.string()), errno));
  return {};
}

Result<> make_existing_private(const std::filesystem::path& path) {
  struct stat found{};
  if (::stat(path.c_str(), &found) != 0)
    return std::unexpected(system_error(fmt::format("open {}", path.string()), errno));
  if (!S_ISREG(found.st_mode))
    return fail(Errc::invalid, fmt::format("{}: not a file", path.string()));
  if ((found.st_mode & 0077U) != 0 && ::chmod(path.c_str(), 0600) != 0)
    return std::unexpected(system_error(fmt::format("make {} private", path.string()), errno));
  return {};
}

void sync_directory_of(const std::filesystem::path& path) {
  const auto directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path,
                                                 const Options& options) {
  // Else each piece of memory that SQLite takes or gives back is counted under one lock of the process.
  [[maybe_unused]] static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  if (!options.must_exist) {
    if (auto made = make_private_parents(path.parent_path()); !made) return pass(made);
    if (auto made = make_private_file(path); !made) return pass(made);
  }
  if (auto kept = make_existing_private(path); !kept) return pass(kept);
  sqlite3* handle = nullptr;
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int status = sqlite3_open_v2(path.c_str(), &handle, kFlags, nullptr);
  if (handle == nullptr)
    return fail(Errc::overloaded, fmt::format("{}: out of memory", path.string()));
  std::unique_ptr<Database> database(new Database(handle, path.string()));
  if (status != SQLITE_OK) return std::unexpected(database->error(status, "open"));
  if (auto ready = database->set_up(options); !ready) return pass(ready);
  return database;
}

Database::~Database() {
  for (const Cached& cached : cache_) {
    HR_ASSERT(!cached.lent);
    sqlite3_finalize(cached.handle);
  }
  sqlite3_close(handle_);
}

Result<> Database::set_up(const Options& options) {
  sqlite3_busy_timeout(handle_, static_cast<int>(options.busy_timeout.count()));
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  if (auto set = execute("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF"); !set) return set;
  if (auto entered = enter_wal(options); !entered) return entered;
  const std::string cache = fmt::format("PRAGMA cache_size = -{}", options.cache_kib);
  if (auto set = execute("PRAGMA synchronous = FULL;" + cache); !set) return set;
  wal_autocheckpoint_pages_ = options.wal_autocheckpoint_pages;
  wal_step_pages_ = options.wal_step_pages;
  watch_wal();
  // Reads the schema now: a damaged file is refused here, not at some later statement.
  if (auto tables = text_of_first("SELECT count(*) FROM sqlite_schema"); !tables)
    return pass(tables);
  return {};
}

// Two processes that make one file at once can both be refused the switch without a wait; so it is
// tried again.
Result<> Database::enter_wal(const Options& options) {
  const TimePoint end = Clock::now() + options.busy_timeout;
  for (;;) {
    auto mode = text_of_first("PRAGMA journal_mode = WAL");
    if (mode && *mode == "wal") return {};
    if (mode)
      return fail(
          Errc::unavailable,
          fmt::format("{}: its file system cannot keep a write-ahead log (journal is '{}'); "
                      "use a local disk",
                      path_, *mode));
    if (mode.error().code != Errc::unavailable || Clock::now() >= end) return pass(mode);
    std::this_thread::sleep_for(10ms);
  }
}

// SQLite has one such hook, and keeps its own checkpoints by it: they are done here.
void Database::watch_wal() {
  const auto note = [](void* database, sqlite3* handle, const char* name, int pages) {
    Database& self = *static_cast<Database*>(database);
    self.wal_pages_ = static_cast<std::uint32_t>(pages);
    const int limit = self.wal_autocheckpoint_pages_;
    if (limit > 0 && pages >= limit) (void)sqlite3_wal_checkpoint(handle, name);
    return SQLITE_OK;
  };
  sqlite3_wal_hook(handle_, note, this);
}

// SQLite reads a log to the first page that does not belong to it: zeros end it.
void Database::make_room_in_wal() {
  const std::int64_t wanted = kWalHeader + (wal_pages_ + kWalAhead) * kWalPage;
  if (wal_step_pages_ == 0 || wanted <= wal_room_) return;
  sqlite3_file* log = nullptr;
  if (sqlite3_file_control(handle_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK ||
      log == nullptr || log->pMethods == nullptr)
    return;
  if (log->pMethods->xFileSize(log, &wal_room_) != SQLITE_OK || wanted <= wal_room_) return;
  const std::int64_t begin = wal_room_;
  const std::int64_t end = wanted + wal_step_pages_ * kWalPage;
  while (wal_room_ < end) {
    const auto size = std::min<sqlite3_int64>(end - wal_room_, kZeros.size());
    if (log->pMethods->xWrite(log, kZeros.data(), static_cast<int>(size), wal_room_) != SQLITE_OK) {
      // A full disk's last room is for what is written, not for zeros.
      (void)log->pMethods->xTruncate(log, begin);
      wal_step_pages_ = 0;
      return;
    }
    wal_room_ += size;
  }
}

Result<std::uint32_t> Database::checkpoint() {
  int copied = 0;
  const int status =
      sqlite3_wal_checkpoint_v2(handle_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, &copied);
  if (status != SQLITE_OK) return std::unexpected(error(status, "checkpoint"));
  return copied < 0 ? 0 : static_cast<std::uint32_t>(copied);
}

Result<sqlite3_stmt*> Database::compile(std::string_view sql) {
  sqlite3_stmt* handle = nullptr;
  const char* rest = nullptr;
  const int status = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &handle, &rest);
  if (status != SQLITE_OK) return std::unexpected(error(status, sql));
  HR_ASSERT(handle != nullptr);                // not an empty text
  HR_ASSERT(rest == sql.data() + sql.size());  // nor several statements: that is execute()
  return handle;
}

Result<Statement> Database::prepare(std::string_view sql) {
  const auto idle =
      std::ranges::find_if(cache_, [&](const Cached& c) { return !c.lent && c.sql == sql; });
  if (idle != cache_.end()) {
    cache_.splice(cache_.begin(), cache_, idle);
  } else {
    auto compiled = compile(sql);
    if (!compiled) return pass(compiled);
    cache_.push_front({.sql = std::string(sql), .handle = *compiled});
  }
  cache_.front().lent = true;
  return Statement(*this, cache_.front().handle);
}

void Database::give_back(sqlite3_stmt* handle) {
  const auto at = std::ranges::find(cache_, handle, &Cached::handle);
  HR_ASSERT((at != cache_.end() && at->lent));
  at->lent = false;
  if (cache_.size() <= kCachedStatements) return;
  auto oldest = std::prev(cache_.end());
  while (oldest->lent) --oldest;  // ends: the one just given back is idle
  sqlite3_finalize(oldest->handle);
  cache_.erase(oldest);
}

Result<> Database::execute(std::string_view script) {
  const int status = sqlite3_exec(handle_, std::string(script).c_str(), nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) return std::unexpected(error(status, script));
  return {};
}

Result<std::string> Database::text_of_first(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return pass(statement);
  auto row = statement->step();
  if (!row) return pass(row);
  return *row ? statement->column<std::string>(0) : std::string();
}

Result<std::int64_t> Database::number_of(std::string_view pragma) {
  auto statement = prepare(pragma);
  if (!statement) return pass(statement);
  auto row = statement->step();
  if (!row) return pass(row);
  return *row ? statement->column<std::int64_t>(0) : 0;
}

std::int64_t Database::cached_bytes() const {
  int now = 0, highest = 0;
  sqlite3_db_status(handle_, SQLITE_DBSTATUS_CACHE_USED, &now, &highest, 0);
  return now;
}

Result<std::int64_t> Database::data_version() { return number_of("PRAGMA data_version"); }
Result<std::int64_t> Database::schema_version() { return number_of("PRAGMA user_version"); }

Result<> Database::migrate(std::span<const std::string_view> steps) {
  for (;;) {
    auto version = schema_version();
    if (!version) return pass(version);
    const auto newest = static_cast<std::int64_t>(steps.size());
    if (*version == newest) return {};
    if (*version > newest)
      return fail(
          Errc::conflict,
          fmt::format("{}: written by a newer Headroom (schema version {}, this one knows {}); "
                      "run the newer one, or restore a backup from before the upgrade",
                      path_, *version, newest));
    if (auto stepped = migrate_once(steps); !stepped) return pass(stepped);
  }
}

// One step, decided again under the write lock: another process may have taken it meanwhile.
Result<bool> Database::migrate_once(std::span<const std::string_view> steps) {
  auto transaction = Transaction::begin(*this);
  if (!transaction) return pass(transaction);
  auto version = schema_version();
  if (!version) return pass(version);
  const auto at = static_cast<std::size_t>(*version);
  if (*version < 0 || at >= steps.size()) return false;
  const std::string context = fmt::format("upgrade to schema version {}", at + 1);
  if (auto done = execute(steps[at]); !done) return pass(done, context);
  if (auto done = execute(fmt::format("PRAGMA user_version = {}", at + 1)); !done)
    return pass(done, context);
  if (auto done = transaction->commit(); !done) return pass(done, context);
  return true;
}

Result<> Database::backup_to(const std::filesystem::path& target) {
  if (auto made = make_private_parents(target.parent_path()); !made) return made;
  std::filesystem::path part = target;
  part += ".part";
  std::error_code ignored;
  std::filesystem::remove(part, ignored);
  auto copied = copy_into(part);
  if (copied && ::rename(part.c_str(), target.c_str()) != 0)
    copied = std::unexpected(system_error(fmt::format("rename to {}", target.string()), errno));
  if (!copied) {
    std::filesystem::remove(part, ignored);
    return pass(copied, "backup");
  }
  sync_directory_of(target);
  return {};
}

Result<> Database::copy_into(const std::filesystem::path& part) {
  if (auto made = make_private_file(part); !made) return made;
  sqlite3* handle = nullptr;
  const int status = sqlite3_open_v2(part.c_str(), &handle,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, nullptr);
  if (handle == nullptr) return fail(Errc::overloaded, "out of memory");
  Database copy(handle, part.string());
  if (status != SQLITE_OK) return std::unexpected(copy.error(status, "open"));
  sqlite3_backup* backup = sqlite3_backup_init(copy.handle_, "main", handle_, "main");
  if (backup == nullptr) return std::unexpected(copy.error(sqlite3_errcode(copy.handle_), "begin"));
  const int stepped = sqlite3_backup_step(backup, -1);  // all pages of one snapshot
  const int finished = sqlite3_backup_finish(backup);
  if (stepped != SQLITE_DONE)
    return std::unexpected(copy.error(finished == SQLITE_OK ? stepped : finished, "copy"));
  // A plain file without a log beside it, so that copying it later copies all of it.
  if (auto mode = copy.text_of_first("PRAGMA journal_mode = DELETE"); !mode) return pass(mode);
  return copy.check_integrity();
}

Result<> Database::check_integrity() {
  auto finding = text_of_first("PRAGMA integrity_check(1)");
  if (!finding) return pass(finding);
  if (*finding == "ok") return {};
  return fail(Errc::internal, fmt::format("{}: {}{}", path_, *finding, advice(SQLITE_CORRUPT)));
}

Error Database::error(int status, std::string_view doing) const {
  const int full_status = (sqlite3_extended_errcode(handle_) & 0xff) == (status & 0xff)
                              ? sqlite3_extended_errcode(handle_)
                              : status;
  const std::string_view words = (sqlite3_errcode(handle_) & 0xff) == (status & 0xff)
                                     ? sqlite3_errmsg(handle_)
                                     : sqlite3_errstr(status);
  return Error{code_of(status, sqlite3_system_errno(handle_)),
               fmt::format("{}: {}{} (SQLite {}, in: {})", path_, words, advice(status),
                           full_status, doing.substr(0, kShownSql))};
}

}  // namespace headroom::sqlite
