// headroom/sql/plan.h - what a statement means for cached results: whether its own may be kept and what drops it, and what it drops.
//
// A value, made of a Decision (what the text says) and a Catalogue (what its names mean). Threads: none; a pure function.
// Invariants: (1) a statement is cacheable only if all it reads is known by `reads`, and nothing it calls depends on more than its arguments and
//   the settings of the key; (2) what it may change is within `changes`, unless its effect is doubt or schema.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/sql/catalogue.h"
#include "headroom/sql/classify.h"

namespace headroom::sql {

// Why a result is not kept, in a word.
enum class Refusal : std::uint8_t {
  none,
  statement,  // no single plain SELECT
  function,   // one that is not immutable, an operator or cast of that kind
  time,
  table,     // unlogged, foreign, a system catalogue, with policies that call
  unknown,   // a table or a function that the catalogue does not have, or no catalogue yet
  settings,  // of the session: its encoding
  rule,
  size,       // larger than max_result, or of too many tables
  stream,     // of changes: it is not current
  too_often,  // written, to pay
  busy,       // too many wait, or the cache knows that it was not kept
};
inline constexpr std::size_t kRefusals = 12;
[[nodiscard]] std::string_view name_of(Refusal refusal);

struct Plan {
  // What is to be dropped when it is committed; in this order.
  enum class Effect : std::uint8_t {
    none,
    tables,  // `changes`
    doubt,   // anything: only the stream of changes can tell
    schema,  // what tables are, too
  };
  bool cacheable = false;
  bool calm =
      false;  // a read that leaves its transaction as it was: neither writes, locks nor settings
  bool counts = false;       // SELECT count(...)
  bool reads_known = false;  // `reads` has all that it reads
  Refusal refusal = Refusal::none;
  std::string why_not{};  // the same in a sentence
  std::vector<Oid> reads{};
  Effect effect = Effect::none;
  std::vector<Oid> changes{};

  // The first reason counts.
  void refuse(Refusal reason, std::string why);
};

// BEGIN of READ COMMITTED, by its default or by name, and nothing else.
[[nodiscard]] bool is_plain_begin(std::string_view text);

// `path`: the session's search path.
[[nodiscard]] Plan plan_for(const Decision& decision, const Catalogue& catalogue,
                            const std::vector<std::string>& path);

}  // namespace headroom::sql
