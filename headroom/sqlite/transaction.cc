#include "headroom/sqlite/transaction.h"

#include <sqlite3.h>

#include <utility>

#include "headroom/base/assert.h"
#include "headroom/sqlite/database.h"

namespace headroom::sqlite {

Result<Transaction> Transaction::begin(Database& database) {
  HR_ASSERT(!database.in_transaction());
  if (auto begun = database.run("BEGIN IMMEDIATE"); !begun) return pass(begun);
  database.make_room_in_wal();
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Result<> Transaction::commit() {
  HR_ASSERT(database_ != nullptr);
  auto done = database_->run("COMMIT");
  if (!done) {
    roll_back();
    return done;
  }
  database_ = nullptr;
  return {};
}

void Transaction::roll_back() {
  if (database_ == nullptr) return;
  // A full disk or a failed read has SQLite roll back by itself. A rollback has nothing left to
  // fail that the caller could act on.
  if (database_->in_transaction()) {
    [[maybe_unused]] const auto ignored = database_->execute("ROLLBACK");
  }
  database_ = nullptr;
}

}  // namespace headroom::sqlite
