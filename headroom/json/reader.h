// headroom/json/reader.h - takes what a request's JSON object must hold into variables, with errors
// a client can act on.
//
// Owns: the first error. Borrows: the Document behind the Value, until finish().
// Threads: none; an object of one scope.
// Invariants: (1) after the first error nothing more is stored; (2) finish() fails on members that
// nobody asked for. Limits: those of the Document.
//
//   json::Reader in(document.root());
//   in.required("tags", tags);           // std::vector<std::string>: "field 'tags': expected an
//   array of strings" in.optional("ttl_seconds", ttl);     // left as it is when the member is
//   missing or null if (auto read = in.finish(); !read) return pass(read);
#pragma once

#include <concepts>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/json/json.h"

namespace headroom::json {

// How a type is read: take() stores the value or answers false; one() and many() are its English
// for errors.
template <class T>
struct Type;

template <>
struct Type<bool> {
  static bool take(Value from, bool& to);
  static std::string one() { return "true or false"; }
  static std::string many() { return "booleans"; }
};

template <>
struct Type<double> {
  static bool take(Value from, double& to);
  static std::string one() { return "a number"; }
  static std::string many() { return "numbers"; }
};

template <>
struct Type<std::string> {
  static bool take(Value from, std::string& to);
  static std::string one() { return "a string"; }
  static std::string many() { return "strings"; }
};

// Any value, to be read by hand.
template <>
struct Type<std::optional<Value>> {
  static bool take(Value from, std::optional<Value>& to);
  static std::string one() { return "a value"; }
  static std::string many() { return "values"; }
};

template <std::integral T>
struct Type<T> {
  static bool take(Value from, T& to) {
    if constexpr (std::signed_integral<T>) {
      const auto number = from.integer();
      if (!number || !std::in_range<T>(*number)) return false;
      to = static_cast<T>(*number);
    } else {
      const auto number = from.natural();
      if (!number || !std::in_range<T>(*number)) return false;
      to = static_cast<T>(*number);
    }
    return true;
  }
  static std::string one() {
    return "a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
           std::to_string(std::numeric_limits<T>::max());
  }
  static std::string many() { return "whole numbers"; }
};

template <class T>
struct Type<std::vector<T>> {
  static bool take(Value from, std::vector<T>& to) {
    if (from.kind() != Kind::array) return false;
    to.clear();
    to.reserve(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      T item{};
      if (!Type<T>::take(from.item(i), item)) return false;
      to.push_back(std::move(item));
    }
    return true;
  }
  static std::string one() { return "an array of " + Type<T>::many(); }
  static std::string many() { return "arrays of " + Type<T>::many(); }
};

template <class T>
struct Type<std::map<std::string, T>> {
  static bool take(Value from, std::map<std::string, T>& to) {
    if (from.kind() != Kind::object) return false;
    to.clear();
    bool good = true;
    from.each_member([&](std::string_view name, Value member) {
      good = good && Type<T>::take(member, to[std::string(name)]);
    });
    return good;
  }
  static std::string one() { return "an object of " + Type<T>::many(); }
  static std::string many() { return "objects of " + Type<T>::many(); }
};

class Reader {
 public:
  explicit Reader(Value object) : Reader(object, "") {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  template <class T>
  void required(std::string_view name, T& to) {
    if (const auto member = need(name)) store(name, *member, to);
  }
  template <class T>
  void optional(std::string_view name, T& to) {
    if (const auto member = ask(name)) store(name, *member, to);
  }
  template <class T>
  void optional(std::string_view name, std::optional<T>& to) {
    const auto member = ask(name);
    if (!member) return;
    T value{};
    if (store(name, *member, value)) to = std::move(value);
  }

  using Read = std::function<void(Reader& inner)>;
  // The member is an object: `read` takes its members; what it leaves is refused as here.
  void required_object(std::string_view name, const Read& read);
  void optional_object(std::string_view name, const Read& read);
  // The member is an array of objects: `read` is called for each.
  void required_objects(std::string_view name, const Read& read);
  void optional_objects(std::string_view name, const Read& read);

  // Members nobody asked for are no error.
  void allow_others() { others_allowed_ = true; }
  // An error of the caller's own about a member: "field 'tags': <message>".
  void refuse(std::string_view name, std::string_view message);

  // The first error, Errc::invalid.
  [[nodiscard]] Result<void> finish();

 private:
  Reader(Value object, std::string path);

  [[nodiscard]] std::optional<Value> ask(std::string_view name);
  [[nodiscard]] std::optional<Value> need(std::string_view name);
  [[nodiscard]] std::string field(std::string_view name) const;
  void read_object(std::string_view name, Value member, const Read& read);
  void read_objects(std::string_view name, Value member, const Read& read);

  template <class T>
  bool store(std::string_view name, Value member, T& to) {
    if (Type<T>::take(member, to)) return true;
    refuse(name, "expected " + Type<T>::one());
    return false;
  }

  Value object_;
  std::string path_;  // "jobs[2]." of an inner object
  std::set<std::string, std::less<>> asked_;
  bool others_allowed_ = false;
  std::optional<std::string> error_;
};

}  // namespace headroom::json
