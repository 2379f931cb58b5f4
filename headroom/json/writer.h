// headroom/json/writer.h - writes JSON onto the end of a string.
//
// Owns: nothing but its place in the nesting; the text is the caller's. Knows nothing of Boost.
// Threads: none; an object of one scope.
// Invariants: (1) what is written between the first begin_ and the last end_ is valid JSON,
// whatever bytes the strings
//   hold: invalid UTF-8 becomes U+FFFD; (2) it may stand inside an HTML <script>: `</`, `<!--`,
//   U+2028 and U+2029 are escaped; (3) NaN and the infinities are null. A call in the wrong place
//   (a value without its key) is a bug and ends the process.
// Limits: none of its own; the caller bounds what it writes.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::json {

// Appends `text` in quotes, escaped.
void append_string(std::string& out, std::string_view text);

class Writer {
 public:
  // `out` must outlive the writer.
  explicit Writer(std::string& out) : out_(out) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Writer& begin_object();
  Writer& end_object();
  Writer& begin_array();
  Writer& end_array();
  Writer& key(std::string_view name);

  Writer& value(std::string_view text);
  Writer& value(const char* text) { return value(std::string_view(text)); }
  Writer& value(const std::string& text) { return value(std::string_view(text)); }
  template <std::same_as<bool> T>
  Writer& value(T truth) {
    return raw(truth ? "true" : "false");
  }
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Writer& value(T number) {
    if constexpr (std::signed_integral<T>) {
      return integer(static_cast<std::int64_t>(number));
    } else {
      return natural(static_cast<std::uint64_t>(number));
    }
  }
  // The shortest text that reads back as the same number.
  Writer& value(double number);
  // With `digits` digits after the point (0 to 17).
  Writer& fixed(double number, int digits);
  Writer& null() { return raw("null"); }
  template <class T>
  Writer& value(const std::optional<T>& maybe) {
    return maybe ? value(*maybe) : null();
  }
  template <class T>
  Writer& value(const std::vector<T>& items) {
    begin_array();
    for (const auto& item : items) value(static_cast<const T&>(item));
    return end_array();
  }
  // Text that is JSON already.
  Writer& raw(std::string_view json);

  // key() and value() in one.
  template <class T>
  Writer& field(std::string_view name, const T& content) {
    key(name);
    return value(content);
  }

 private:
  enum class Place : std::uint8_t { array, object, after_key };

  Writer& integer(std::int64_t number);
  Writer& natural(std::uint64_t number);
  void separate();  // the comma before a value, where one belongs
  void open(Place place, char bracket);
  void close(Place place, char bracket);

  std::string& out_;
  std::vector<Place> nesting_;
  bool first_ = true;  // nothing yet in the innermost array or object
};

}  // namespace headroom::json
