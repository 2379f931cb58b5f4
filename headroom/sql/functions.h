// headroom/sql/functions.h - how volatile a database's functions are, so that those who do something stay with the primary.
//
// A value, made of the catalogue's rows; shared, never changed. Threads: any.
// Invariants: (1) of functions of one name, in whatever schema, the most volatile one counts, as search_path may choose any; (2) what is
//   not known is volatile; (3) volatile functions of PostgreSQL that only look (random, pg_sleep, sizes) count as stable, and stable ones that
//   tell of one server (pg_backend_pid, statistics) as volatile.
// Limits: kMostFunctions names; beyond that none is known.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "headroom/postgres/server.h"
#include "headroom/sql/classify.h"

namespace headroom::sql {

class Functions {
 public:
  static constexpr std::size_t kMostFunctions = 9000;
  // Asks for the rows that the constructor takes; fits postgres::ask().
  static const std::string kQuery;

  explicit Functions(const postgres::Rows& rows);

  enum class Volatility : char { immutable = 'i', stable = 's', is_volatile = 'v' };
  [[nodiscard]] Volatility of(std::string_view name) const;
  // Whether a replica may run what calls these.
  [[nodiscard]] bool all_only_read(const std::vector<ObjectName>& called) const;
  // A replica's copy of a sequence is ahead of the primary's, which logs 32 numbers at once.
  [[nodiscard]] bool has_sequence(const std::vector<ObjectName>& read) const;
  [[nodiscard]] std::size_t size() const { return by_name_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  std::unordered_map<std::string, Volatility, Hash, std::equal_to<>> by_name_;
  std::unordered_set<std::string, Hash, std::equal_to<>> sequences_;
};

}  // namespace headroom::sql
