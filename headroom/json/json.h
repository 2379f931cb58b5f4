// headroom/json/json.h - reads JSON texts: parse() gives a Document, Values are views on its parts.
//
// Owns: a Document owns its tree; a Value borrows a part of it and must not outlive it. A thin face
// over Boost.JSON, whose
//   headers stay in the .cc files.
// Threads: a Document may be read by several threads.
// Invariants: (1) strict RFC 8259: one value, no comments, no trailing commas; (2) a name may stand
// once in an object: two
//   readers that pick different ones of a pair are a known way past a check, so a second one is
//   refused; (3) strings are valid UTF-8; (4) whole numbers of 64 bits are exact, all others are
//   doubles.
// Limits: Limits below. Values are read with reader.h, texts written with writer.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/bytes.h"
#include "headroom/base/error.h"

namespace boost::json {
class value;  // NOLINT(readability-identifier-naming): Boost's name
}

namespace headroom::json {

enum class Kind : std::uint8_t { null, boolean, number, string, array, object };

class Value {
 public:
  explicit Value(const boost::json::value& tree) : tree_(&tree) {}

  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is_null() const { return kind() == Kind::null; }

  // Each gives nothing when the value is of another kind or does not fit; a number that is whole
  // (3.0) fits an integer.
  [[nodiscard]] std::optional<bool> boolean() const;
  [[nodiscard]] std::optional<std::int64_t> integer() const;
  [[nodiscard]] std::optional<std::uint64_t> natural() const;
  [[nodiscard]] std::optional<double> number() const;
  [[nodiscard]] std::optional<std::string_view> string() const;

  // Members of an object, items of an array; 0 for all else.
  [[nodiscard]] std::size_t size() const;
  // The item of an array; `index` must be below size().
  [[nodiscard]] Value item(std::size_t index) const;
  // The member of an object, if this is an object that has it.
  [[nodiscard]] std::optional<Value> find(std::string_view name) const;
  // Every member of an object, in the order of the text.
  void each_member(const std::function<void(std::string_view name, Value member)>& visit) const;

  // The value as JSON text again, without spaces.
  [[nodiscard]] std::string text() const;

 private:
  const boost::json::value* tree_;
};

class Document {
 public:
  struct Tree;
  explicit Document(std::unique_ptr<const Tree> tree);
  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  ~Document();

  [[nodiscard]] Value root() const;

 private:
  std::unique_ptr<const Tree> tree_;
};

struct Limits {
  Bytes bytes = Bytes::mib(1);
  std::size_t depth = 32;  // arrays and objects within each other
};

// Errc::invalid with "line 3, column 7: ..."; Errc::overloaded when `text` is longer than
// limits.bytes.
[[nodiscard]] Result<Document> parse(std::string_view text, const Limits& limits = {});

}  // namespace headroom::json
