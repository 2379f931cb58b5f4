// headroom/sqlite/transaction.h - all or nothing: rolled back unless committed.
//
//   auto transaction = Transaction::begin(db);
//   ... statements ...
//   return transaction->commit();
//
// Owns: the write lock of the file, from begin() to commit() or its end.
// Worker and threads: those of its Database, which it must not outlive; each call may block.
// Invariants: (1) after a commit() that answered {} the change is on disk (fsync); (2) after anything
//   else nothing of it is.
// Limits: no nesting (begin() in a transaction is a bug); statements used inside must have ended, or
//   reached their last row, before commit().
#pragma once

#include "headroom/base/error.h"

namespace headroom::sqlite {

class Database;

class Transaction {
 public:
  // Takes the write lock at once (BEGIN IMMEDIATE), so that a later statement cannot fail as busy.
  // Waits up to the database's busy_timeout for another writer, then Errc::unavailable.
  [[nodiscard]] static Result<Transaction> begin(Database& database);

  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  ~Transaction() { roll_back(); }

  [[nodiscard]] Result<> commit();
  void roll_back();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;  // null once ended
};

}  // namespace headroom::sqlite
