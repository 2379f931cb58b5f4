// headroom/sql/functions.h - how volatile a database's functions are, and what calls those that are, so that what does something stays with the primary.
//
// A value, made of the catalogue's rows; shared, never changed. Threads: any.
// Invariants: (1) of functions of one name, in whatever schema, the most volatile one counts, as search_path may choose any; (2) what is
//   not known is volatile; (3) volatile functions of PostgreSQL that only look (random, pg_sleep, sizes) count as stable, and stable ones that
//   tell of one server (pg_backend_pid, statistics) as volatile; (4) so do sequences, whose copies are ahead, and views, row-level security policies,
//   operators, casts and domains' checks that call what is volatile, views of such views among them, and functions of one row that are written as its
//   columns; of casts that nobody writes each read may be one; (5) what calls functions of users' own that are not immutable may do something all the
//   same, as these may call others: it runs no second time.
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
  // Whether a replica may run this plain read.
  [[nodiscard]] bool only_reads(const Decision& decision) const;
  // Whether it may run once more where it is not known whether it has run.
  [[nodiscard]] bool runs_again(const Decision& decision) const;
  [[nodiscard]] std::size_t size() const { return by_name_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  using Names = std::unordered_set<std::string, Hash, std::equal_to<>>;
  std::unordered_map<std::string, Volatility, Hash, std::equal_to<>> by_name_;
  // What calls something that does more than read, by name.
  struct Callers {
    Names functions, relations, applied;
    std::unordered_set<std::uint64_t> fields;  // hash64() of the names
    bool unwritten_casts = false;
    [[nodiscard]] bool any_of(const Decision& decision) const;
  };
  Callers volatile_, unsure_;  // of invariants (4) and (5)
};

}  // namespace headroom::sql
