// headroom/config/values.h - the types a setting can have, each with one way from text and one way
// back.
//
// Owns: nothing; values. Pure functions, any thread.
// A type T may be a setting when Value<T> says how: parse() from text (the same for a default, the
// file, the environment and a flag), show() back to text that parse() takes, and its words for
// people. Rooms add enums with setting_choices():
//
//   inline constexpr std::array<config::Choice<Balance>, 2> kBalances{{{"least", Balance::least},
//   {"random", Balance::random}}}; constexpr const auto& setting_choices(Balance) { return
//   kBalances; }
//
// Invariants: (1) parse(show(v)) == v; (2) parse() never overflows: what does not fit is refused.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"

namespace headroom::config {

// How often: `count` times in every `period`. "100/min", "100r/s", "1000/15min". Both parts are
// above zero.
struct Rate {
  std::uint64_t count = 1;
  Duration period = 1s;

  bool operator==(const Rate&) const = default;
};

// Where to listen or connect: "127.0.0.1:8080", "[::1]:8080", "db.internal:5432", ":8080" (every
// address), "unix:/run/a.sock".
struct Address {
  std::string host{};       // a name or an IP literal without brackets; empty: every address
  std::uint16_t port = 0;   // 0: any free port
  std::string unix_path{};  // not empty: a Unix socket, and host and port mean nothing

  [[nodiscard]] bool is_unix() const { return !unix_path.empty(); }
  bool operator==(const Address&) const = default;
};

// One accepted word of an enum.
template <class E>
struct Choice {
  std::string_view text;
  E value;
};

// How a value may be written in a TOML file; text from elsewhere is always accepted.
struct Written {
  bool string = false;
  bool integer = false;
  bool number = false;
  bool boolean = false;
};

// Specialised for each type:
//   kName      for tables: "duration"
//   kNoun      for errors with a limit: "a duration"
//   accepted() for errors without: "a duration such as 500ms, 30s, 2m, 1h or 0"
//   kWritten   its TOML forms; kBare: show() is JSON as it stands (numbers, true)
template <class T>
struct Value;

template <class T>
concept Scalar = requires(const T& value) {
  { Value<T>::parse(std::string_view{}) } -> std::same_as<std::optional<T>>;
  { Value<T>::show(value) } -> std::same_as<std::string>;
};

template <>
struct Value<bool> {
  static constexpr std::string_view kName = "boolean";
  static constexpr std::string_view kNoun = "true or false";
  static constexpr Written kWritten{.boolean = true};
  static constexpr bool kBare = true;
  static std::string accepted() { return "true or false"; }
  // Also on/off, yes/no and 1/0, in any case: environments say it so.
  static std::optional<bool> parse(std::string_view text);
  static std::string show(bool value) { return value ? "true" : "false"; }
};

template <std::integral T>
  requires(!std::same_as<T, bool>)
struct Value<T> {
  static constexpr std::string_view kName = "integer";
  static constexpr std::string_view kNoun = "a whole number";
  static constexpr Written kWritten{.integer = true};
  static constexpr bool kBare = true;
  static std::string accepted() {
    return "a whole number from " + show(std::numeric_limits<T>::min()) + " to " +
           show(std::numeric_limits<T>::max());
  }
  static std::optional<T> parse(std::string_view text) {
    T value{};
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    const auto read = std::from_chars(begin, end, value);
    return read.ec == std::errc{} && read.ptr == end ? std::optional(value) : std::nullopt;
  }
  static std::string show(T value) { return std::to_string(value); }
};

template <>
struct Value<double> {
  static constexpr std::string_view kName = "number";
  static constexpr std::string_view kNoun = "a number";
  static constexpr Written kWritten{.integer = true, .number = true};
  static constexpr bool kBare = true;
  static std::string accepted() { return "a number such as 0.5"; }
  static std::optional<double> parse(std::string_view text);  // finite only
  static std::string show(double value);
};

template <>
struct Value<std::string> {
  static constexpr std::string_view kName = "text";
  static constexpr std::string_view kNoun = "a text";
  static constexpr Written kWritten{.string = true};
  static constexpr bool kBare = false;
  static std::string accepted() { return "a text in quotes"; }
  static std::optional<std::string> parse(std::string_view text);  // valid without NUL bytes
  static std::string show(const std::string& value) { return value; }
};

template <>
struct Value<Duration> {
  static constexpr std::string_view kName = "duration";
  static constexpr std::string_view kNoun = "a duration";
  static constexpr Written kWritten{.string = true, .integer = true};  // the integer 0
  static constexpr bool kBare = false;
  static std::string accepted() { return "a duration such as 500ms, 30s, 2m, 1h, 1d or 0"; }
  static std::optional<Duration> parse(std::string_view text);
  static std::string show(Duration value);
};

template <>
struct Value<Bytes> {
  static constexpr std::string_view kName = "size";
  static constexpr std::string_view kNoun = "a size";
  static constexpr Written kWritten{.string = true, .integer = true};
  static constexpr bool kBare = false;
  static std::string accepted() { return "a size such as 64KiB, 256MiB, 2gb or a number of bytes"; }
  // k, kb and KiB all mean 1024 bytes, as they do to nginx and PostgreSQL.
  static std::optional<Bytes> parse(std::string_view text);
  static std::string show(Bytes value) { return to_string(value); }
};

template <>
struct Value<Rate> {
  static constexpr std::string_view kName = "rate";
  static constexpr std::string_view kNoun = "a rate";
  static constexpr Written kWritten{.string = true};
  static constexpr bool kBare = false;
  static std::string accepted() { return "a rate such as 100/min, 100r/s or 1000/15min"; }
  static std::optional<Rate> parse(std::string_view text);
  static std::string show(Rate value);
};

template <>
struct Value<Address> {
  static constexpr std::string_view kName = "address";
  static constexpr std::string_view kNoun = "an address";
  static constexpr Written kWritten{.string = true};
  static constexpr bool kBare = false;
  static std::string accepted() {
    return "an address such as 127.0.0.1:8080, [::1]:8080, :8080 or unix:/run/app.sock";
  }
  static std::optional<Address> parse(std::string_view text);
  static std::string show(const Address& value);
};

template <class E>
concept ChoiceEnum = std::is_enum_v<E> && requires(E e) { setting_choices(e); };

template <ChoiceEnum E>
struct Value<E> {
  static constexpr std::string_view kName = "choice";
  static constexpr std::string_view kNoun = "a choice";
  static constexpr Written kWritten{.string = true};
  static constexpr bool kBare = false;
  static std::vector<std::string> choices() {
    std::vector<std::string> texts;
    for (const auto& choice : setting_choices(E{})) texts.emplace_back(choice.text);
    return texts;
  }
  static std::string accepted() {
    std::string all = "one of";
    for (const std::string& text : choices()) all += (all == "one of" ? " " : ", ") + text;
    return all;
  }
  static std::optional<E> parse(std::string_view text) {
    for (const auto& choice : setting_choices(E{})) {
      if (choice.text == text) return choice.value;
    }
    return std::nullopt;
  }
  static std::string show(E value) {
    for (const auto& choice : setting_choices(E{})) {
      if (choice.value == value) return std::string(choice.text);
    }
    return "?";
  }
};

// `text` with the password of a URL ("postgres://me:secret@db") and any `password=...` replaced by
// "***".
[[nodiscard]] std::string without_password(std::string_view text);

}  // namespace headroom::config
