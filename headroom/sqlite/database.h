// headroom/sqlite/database.h - one connection to one SQLite file: committed means on disk.
//
// Owns: the connection and its cache of compiled statements. Creates the file (mode 0600) and its
//   missing parents (0700).
// Worker and threads: EVERY call may block (disk, fsync, another process's lock): never on a worker,
//   always on a thread made for it. A connection belongs to one thread at a time; two threads open
//   two. Several processes may have the file open at once (`headroom token create` beside a running
//   server): one writes at a time, readers never wait for a writer.
// Invariants: (1) WAL with synchronous=FULL: what a commit answered {} for survives a power cut;
//   (2) foreign keys are enforced; (3) nobody but the owner can read the file, and what root makes
//   belongs to the owner of its directory; (4) a file of a newer
//   schema is never written to; (5) no descriptor of an existing database file is opened and closed
//   beside SQLite's own: that would drop SQLite's locks (POSIX).
// Limits: 64 cached statements; cache_kib of pages (more while one transaction has changed more, until it spills); local file systems only (WAL needs shared memory); lock waits end
//   after busy_timeout.
//
// Codes: full disk or no memory -> overloaded; busy, I/O -> unavailable; damaged or not a database ->
// internal; constraint -> conflict; no permission -> unauthorized; wrong SQL -> internal. Messages
// begin with the path.
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/sqlite/statement.h"
#include "headroom/sqlite/transaction.h"

namespace headroom::sqlite {

struct Options {
  // How long a call waits for another connection's lock before it answers Errc::unavailable.
  std::chrono::milliseconds busy_timeout{5000};
  // Pages in the log before a commit also copies them into the file; 0: never (a Checkpointer does).
  int wal_autocheckpoint_pages = 1000;
  // Of so many pages the log's file grows at once, by zeros: a commit then syncs what it wrote alone, not the file's new length and blocks too, which
  // takes twice as long (ext4). 0: by what each commit writes; so it is on a disk that has no room for it.
  std::uint32_t wal_step_pages = 0;
  // Pages of the file that this connection keeps in memory, at most. Left alone it takes 2 MB for each connection, bit by bit as files grow, which
  // looks like a leak for a day.
  int cache_kib = 256;
  // Refuse a missing file (Errc::not_found) instead of creating it.
  bool must_exist = false;
};

class Database {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path,
                                                              const Options& options = {});
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // Lends the compiled statement of `sql` (one statement), compiled on first use.
  [[nodiscard]] Result<Statement> prepare(std::string_view sql);
  // Runs a script of statements without parameters; rows are ignored.
  [[nodiscard]] Result<> execute(std::string_view script);
  // prepare, bind, run.
  template <class... Values>
  [[nodiscard]] Result<> run(std::string_view sql, const Values&... values) {
    auto statement = prepare(sql);
    if (!statement) return pass(statement);
    return statement->lend(values...).run();
  }

  // Rows changed by the last INSERT, UPDATE or DELETE.
  [[nodiscard]] std::int64_t changes() const { return sqlite3_changes64(handle_); }
  [[nodiscard]] std::int64_t last_insert_id() const { return sqlite3_last_insert_rowid(handle_); }
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }
  // A number that changes when ANOTHER connection has committed; cheap enough to poll
  // (microseconds).
  [[nodiscard]] Result<std::int64_t> data_version();

  // Of its file, in memory.
  [[nodiscard]] std::int64_t cached_bytes() const;
  // Pages in the write-ahead log after this connection's last commit.
  [[nodiscard]] std::uint32_t wal_pages() const { return wal_pages_; }
  // Copies what it can of the log into the file, without waiting for anybody; how many of its pages
  // are there then. Errc::unavailable: another one does.
  [[nodiscard]] Result<std::uint32_t> checkpoint();

  // Brings the schema up to `steps`: step i leads from version i (PRAGMA user_version) to i + 1,
  // each in its own transaction, so that a stopped upgrade goes on where it stopped. A file newer
  // than steps.size() is refused with Errc::conflict. Steps, once released, never change. Two
  // processes may upgrade at once.
  [[nodiscard]] Result<> migrate(std::span<const std::string_view> steps);
  [[nodiscard]] Result<std::int64_t> schema_version();

  // Writes a consistent copy as one plain file (0600), checked, then moved into place whole;
  // writers go on meanwhile. To restore: stop Headroom, put the copy in place of the file, remove
  // the file's -wal and -shm.
  [[nodiscard]] Result<> backup_to(const std::filesystem::path& target);

  // Reads every page (PRAGMA integrity_check). Errc::internal with the first finding.
  [[nodiscard]] Result<> check_integrity();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  friend class Statement;
  friend class Transaction;
  struct Cached {
    std::string sql;
    sqlite3_stmt* handle = nullptr;
    bool lent = false;
  };

  Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  [[nodiscard]] Result<> set_up(const Options& options);
  [[nodiscard]] Result<> enter_wal(const Options& options);
  void watch_wal();
  // In a transaction, so that nobody else writes to the log. What fails is left to the commit.
  void make_room_in_wal();
  [[nodiscard]] Result<bool> migrate_once(std::span<const std::string_view> steps);
  [[nodiscard]] Result<std::int64_t> number_of(std::string_view pragma);
  [[nodiscard]] Result<std::string> text_of_first(std::string_view sql);
  [[nodiscard]] Result<sqlite3_stmt*> compile(std::string_view sql);
  [[nodiscard]] Result<> copy_into(const std::filesystem::path& part);
  void give_back(sqlite3_stmt* handle);
  [[nodiscard]] Error error(int status, std::string_view doing) const;

  sqlite3* handle_;
  std::string path_;
  std::list<Cached> cache_;  // most recently used first
  std::uint32_t wal_pages_ = 0;
  int wal_autocheckpoint_pages_ = 0;
  std::uint32_t wal_step_pages_ = 0;
  sqlite3_int64 wal_room_ = 0;  // the least length of its file, in bytes
};

}  // namespace headroom::sqlite
