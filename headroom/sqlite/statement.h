// headroom/sqlite/statement.h - a prepared statement on loan from its Database, typed in and out.
//
//   auto add = db.prepare("INSERT INTO notes(body, at) VALUES (?, ?)");
//   if (!add) return pass(add);
//   if (auto done = add->bind(body, seconds).run(); !done) return pass(done);
//
// Owns: the loan of one compiled statement; its end resets it, clears what was bound and gives it back
//   to the cache.
// Worker and threads: those of its Database, which it must not outlive. Every call may block on the
//   disk or on another writer.
// Invariants: (1) a parameter index or type that does not fit the text is a bug (HR_ASSERT); (2) the
//   first failed bind is told by the next step() or run(); (3) what column() gave as a view is dead
//   after the next step.
// Limits: SQLite's: 1 GB a value, 32766 parameters.
#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/bytes.h"
#include "headroom/base/error.h"

namespace headroom::sqlite {

class Database;

class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  Statement(const Statement&) = delete;
  ~Statement();

  // Binds all parameters in order, after a reset. Whole numbers, bool, double, text, ByteView (a
  // blob), nullptr, and optionals of these. Values are copied.
  template <class... Values>
  Statement& bind(const Values&... values) {
    begin_binding(sizeof...(Values));
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }

  // The same without copies of texts and blobs: they must stay until the statement has run.
  template <class... Values>
  Statement& lend(const Values&... values) {
    keeps_ = Keeps::views;
    bind(values...);
    keeps_ = Keeps::copies;
    return *this;
  }

  // One step: true when there is a row to read with column().
  [[nodiscard]] Result<bool> step();
  // Steps to the end, rows ignored.
  [[nodiscard]] Result<> run();

  // Column `index` (from 0) of the current row as T: whole numbers, bool, double, std::string,
  // std::string_view (valid until the next step), or std::optional of these for columns that may be
  // NULL. Text and blobs are both read as strings.
  template <class T>
  [[nodiscard]] T column(int index) const;

 private:
  friend class Database;
  Statement(Database& database, sqlite3_stmt* handle) : database_(&database), handle_(handle) {}

  template <class T>
  static constexpr bool kOptional = false;
  template <class T>
  static constexpr bool kOptional<std::optional<T>> = true;

  template <class T>
  void bind_one(int index, const T& value) {
    if constexpr (kOptional<T>) {
      value ? bind_one(index, *value) : bind_null(index);
    } else if constexpr (std::same_as<T, std::nullptr_t>) {
      bind_null(index);
    } else if constexpr (std::integral<T>) {
      bind_integer(index, static_cast<std::int64_t>(value));
    } else if constexpr (std::floating_point<T>) {
      bind_real(index, value);
    } else if constexpr (std::convertible_to<T, std::string_view>) {
      bind_text(index, value);
    } else {
      bind_blob(index, value);
    }
  }
  void begin_binding(std::size_t count);
  void bind_null(int index);
  void bind_integer(int index, std::int64_t value);
  void bind_real(int index, double value);
  void bind_text(int index, std::string_view value);
  void bind_blob(int index, ByteView value);
  void note(int status);
  [[nodiscard]] sqlite3_destructor_type lifetime() const;

  [[nodiscard]] bool is_null(int index) const;
  [[nodiscard]] std::int64_t integer(int index) const;
  [[nodiscard]] double real(int index) const;
  [[nodiscard]] std::string_view text(int index) const;

  Database* database_;
  sqlite3_stmt* handle_;
  int bind_status_ = SQLITE_OK;
  bool finished_ = false;  // the last step reached the end
  enum class Keeps : std::uint8_t { copies, views };
  Keeps keeps_ = Keeps::copies;  // of what is bound
};

template <class T>
T Statement::column(int index) const {
  if constexpr (kOptional<T>) {
    if (is_null(index)) return std::nullopt;
    return column<typename T::value_type>(index);
  } else if constexpr (std::same_as<T, bool>) {
    return integer(index) != 0;
  } else if constexpr (std::integral<T>) {
    return static_cast<T>(integer(index));
  } else if constexpr (std::floating_point<T>) {
    return static_cast<T>(real(index));
  } else {
    return T(text(index));
  }
}

}  // namespace headroom::sqlite
