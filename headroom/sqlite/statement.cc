#include "headroom/sqlite/statement.h"

#include <utility>

#include "headroom/base/assert.h"
#include "headroom/sqlite/database.h"

namespace headroom::sqlite {

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      handle_(std::exchange(other.handle_, nullptr)),
      bind_status_(other.bind_status_),
      finished_(other.finished_) {}

Statement::~Statement() {
  if (handle_ == nullptr) return;
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
  database_->give_back(handle_);
}

void Statement::begin_binding(std::size_t count) {
  HR_ASSERT(static_cast<std::size_t>(sqlite3_bind_parameter_count(handle_)) == count);
  sqlite3_reset(handle_);
  bind_status_ = SQLITE_OK;
  finished_ = false;
}

void Statement::note(int status) {
  HR_ASSERT(status != SQLITE_RANGE);
  if (bind_status_ == SQLITE_OK) bind_status_ = status;
}

sqlite3_destructor_type Statement::lifetime() const {
  return keeps_ == Keeps::copies ? SQLITE_TRANSIENT : SQLITE_STATIC;
}

void Statement::bind_null(int index) { note(sqlite3_bind_null(handle_, index)); }
void Statement::bind_integer(int index, std::int64_t value) {
  note(sqlite3_bind_int64(handle_, index, value));
}
void Statement::bind_real(int index, double value) {
  note(sqlite3_bind_double(handle_, index, value));
}
void Statement::bind_text(int index, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();  // a null pointer would bind NULL
  note(sqlite3_bind_text64(handle_, index, data, value.size(), lifetime(), SQLITE_UTF8));
}
void Statement::bind_blob(int index, ByteView value) {
  const void* data = value.data() == nullptr ? static_cast<const void*>("") : value.data();
  note(sqlite3_bind_blob64(handle_, index, data, value.size(), lifetime()));
}

Result<bool> Statement::step() {
  HR_ASSERT(!finished_);  // SQLite would silently run it again
  if (bind_status_ != SQLITE_OK) return std::unexpected(database_->error(bind_status_, "bind"));
  const int status = sqlite3_step(handle_);
  if (status == SQLITE_ROW) return true;
  finished_ = true;
  if (status == SQLITE_DONE) return false;
  Error error = database_->error(status, sqlite3_sql(handle_));
  sqlite3_reset(handle_);  // frees its locks now, not when the loan ends
  return std::unexpected(std::move(error));
}

Result<> Statement::run() {
  for (;;) {
    auto more = step();
    if (!more) return pass(more);
    if (!*more) return {};
  }
}

bool Statement::is_null(int index) const {
  HR_ASSERT(index < sqlite3_column_count(handle_));
  return sqlite3_column_type(handle_, index) == SQLITE_NULL;
}
std::int64_t Statement::integer(int index) const {
  HR_ASSERT(index < sqlite3_column_count(handle_));
  return sqlite3_column_int64(handle_, index);
}
double Statement::real(int index) const {
  HR_ASSERT(index < sqlite3_column_count(handle_));
  return sqlite3_column_double(handle_, index);
}
std::string_view Statement::text(int index) const {
  HR_ASSERT(index < sqlite3_column_count(handle_));
  const void* data = sqlite3_column_type(handle_, index) == SQLITE_BLOB
                         ? sqlite3_column_blob(handle_, index)
                         : sqlite3_column_text(handle_, index);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data),
          static_cast<std::size_t>(sqlite3_column_bytes(handle_, index))};
}

}  // namespace headroom::sqlite
