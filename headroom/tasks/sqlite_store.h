// headroom/tasks/sqlite_store.h - the embedded store: one SQLite file.
//
// Two tables: `jobs` by number, written at its end and never sorted anew, and `places`, small rows in the order of lanes. So a job that moves
// from a set to its queue rewrites twenty bytes, and a restart counts lanes without reading a job. A place has a tag of its job's name too: a job
// is found by name by going through these rows. An index by name would cost each push and each acknowledgement a page somewhere else.
//
// Owns: the database. Threads: one (store.h). Invariants and limits: those of sqlite::Database; the log is copied into the file every
// 10,000 pages, which keeps the slowest commits 3.6 times shorter than SQLite's own 1,000.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "headroom/sqlite/checkpointer.h"
#include "headroom/sqlite/database.h"
#include "headroom/tasks/store.h"

namespace headroom::tasks {

class SqliteStore final : public Store {
 public:
  // Who copies the write-ahead log into the file: a thread beside it, or the commit that finds it long.
  enum class Copies : std::uint8_t { beside, within };
  [[nodiscard]] static Result<std::unique_ptr<SqliteStore>> open(const std::filesystem::path& path,
                                                                 Copies copies = Copies::within);

  [[nodiscard]] Result<> begin() override;
  [[nodiscard]] Result<> commit() override;
  void roll_back() override;
  [[nodiscard]] Result<> add(const Job& job, const Place& place) override;
  [[nodiscard]] Result<> move(std::string_view jid, const Place& from, const Place& to) override;
  [[nodiscard]] Result<> rewrite(const Job& job) override;
  [[nodiscard]] Result<> remove(const Place& place) override;
  [[nodiscard]] Result<> put_queue(const StoredQueue& queue) override;
  [[nodiscard]] Result<> remove_queue(LaneId lane) override;
  [[nodiscard]] Result<> put_share(const StoredShare& share) override;
  [[nodiscard]] Result<> remove_share(LaneId lane) override;
  [[nodiscard]] Result<> put_lock(const StoredLock& lock) override;
  [[nodiscard]] Result<> remove_lock(std::string_view key) override;
  [[nodiscard]] Result<> remove_old_locks(WallTime now) override;
  [[nodiscard]] Result<> put_note(const Note& note) override;
  [[nodiscard]] Result<> remove_note(std::string_view name) override;
  [[nodiscard]] Result<> clear() override;
  [[nodiscard]] Result<std::vector<LaneCount>> counts() override;
  [[nodiscard]] Result<QueueCounts> counts_by_queue(LaneId lane, const Key& after,
                                                    std::size_t rows) override;
  [[nodiscard]] Result<std::uint64_t> last_seq() override;
  [[nodiscard]] Result<std::vector<StoredQueue>> queues() override;
  [[nodiscard]] Result<std::vector<StoredShare>> shares() override;
  [[nodiscard]] Result<std::vector<StoredLock>> locks() override;
  [[nodiscard]] Result<std::optional<std::string>> note(std::string_view name) override;
  [[nodiscard]] Result<std::vector<Note>> notes(std::string_view prefix) override;
  using Store::read;
  [[nodiscard]] Result<StoredPage> read(LaneId lane, const Key& after, std::size_t limit,
                                        std::size_t bytes) override;
  [[nodiscard]] Result<std::string> body(std::uint64_t seq) override;
  [[nodiscard]] Result<Search> search(const std::unordered_set<std::string>& jids,
                                      const Place& after, std::size_t rows) override;

 private:
  SqliteStore(std::unique_ptr<sqlite::Database> database,
              std::unique_ptr<sqlite::Checkpointer> checkpointer)
      : database_(std::move(database)), checkpointer_(std::move(checkpointer)) {}
  [[nodiscard]] Result<> place(std::string_view jid, const Place& place);
  [[nodiscard]] Result<> unplace(const Place& place);

  std::unique_ptr<sqlite::Database> database_;
  std::unique_ptr<sqlite::Checkpointer> checkpointer_;  // ends before it; null: commits do it
  std::optional<sqlite::Transaction> transaction_;
};

}  // namespace headroom::tasks
