// headroom/postgres/decoded.h - what PostgreSQL's output plugin test_decoding says of a transaction, line by line: its names, not its values.
//
// Owns: nothing. Threads: none; a pure function of the line, bounded by its length.
// Invariants: (1) a line that is not exactly of the plugin's form is `other`: who follows the stream takes it for a change of anything; (2) names
//   are as the catalogue has them: quotes taken off, doubled quotes one.
// Limits: kMostNames tables of one TRUNCATE; a longer list is `other`.
//
//   BEGIN 738
//   table public."Odd ""name""": INSERT: id[integer]:1 ...
//   table public.a, public.b: TRUNCATE: cascade
//   message: transactional: 1 prefix: headroom, sz: 2 content:42
//   COMMIT 738
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::postgres {

struct RelationName {
  std::string schema;
  std::string name;
  auto operator<=>(const RelationName&) const = default;
};

struct Decoded {
  enum class Kind : std::uint8_t { begin, commit, change, message, other };
  Kind kind = Kind::other;
  std::uint32_t xid = 0;               // of begin and commit
  std::vector<RelationName> tables{};  // of a change
  std::string prefix{}, content{};     // of a message
  bool operator==(const Decoded&) const = default;
};

inline constexpr std::size_t kMostNames = 1000;

// `line` may be the beginning of a longer one, if what follows are values of columns.
[[nodiscard]] Decoded parse_decoded(std::string_view line);

// "3A/1F0" as a number; 0 when it is none.
[[nodiscard]] std::uint64_t parse_position(std::string_view text);

}  // namespace headroom::postgres
