// headroom/http/structured.h - structured fields (RFC 9651), as far as caching needs them: dictionaries and lists whose members we look at.
//
// Worker: pure; views into the text given. Strict: any error anywhere makes the whole field nothing (RFC 9651 4.2). Parameters are
// checked and skipped; inner lists are checked and shown as their kind only.
// Limits: 64 members; beyond them the field is nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::http::structured {

enum class Kind : std::uint8_t {
  integer,
  decimal,
  string,
  token,
  bytes,
  boolean,
  date,
  display_string,
  inner_list
};

struct Value {
  Kind kind = Kind::boolean;
  std::int64_t integer = 1;  // integer and date; a boolean's 0 or 1
  std::string_view
      raw;  // string: between the quotes, escapes as they are; token: itself; else empty

  // Of a string, without its escapes.
  [[nodiscard]] std::string text() const;
};

struct Member {
  std::string_view key;
  Value value;
};

// Of a key that comes twice the last value counts, as the RFC says. An empty field has no members. Several fields are joined with ","
// by the caller.
[[nodiscard]] std::optional<std::vector<Member>> parse_dictionary(std::string_view field);
[[nodiscard]] std::optional<std::vector<Value>> parse_list(std::string_view field);

}  // namespace headroom::http::structured
