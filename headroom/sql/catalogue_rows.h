// headroom/sql/catalogue_rows.h - a Catalogue put together from the server's answers, row by row.
//
// Owns: what it makes. Threads: none. Invariants: (1) a row that is not of the form is left out: what it would have named is not known then.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "headroom/sql/catalogue.h"

namespace headroom::sql {

class CatalogueRows {
 public:
  CatalogueRows() = default;
  // All but what sessions begin with and what roles may is as before.
  explicit CatalogueRows(const Catalogue& before);

  using Row = std::vector<std::optional<std::string>>;

  // oid, schema, name, relkind, relpersistence, row security, triggers or rules, policies that call functions. All of them before the edges.
  void add_table(const Row& row);
  // 'i' heir parent, 'k' referenced referencing (where a key changes rows), 'v' view what-it-reads.
  void add_edge(const Row& row);
  // view, function that is not immutable, PostgreSQL's own, volatility.
  void add_call(const Row& row);
  // name, PostgreSQL's own, the worst volatility of that name: 1, 2, 3.
  void add_function(const Row& row);
  // name: called with one row, as its columns are, and not immutable.
  void add_column_function(const Row& row);
  // role ("": all), name=value; what counts more comes later.
  void add_beginning(const Row& row);
  // role ("": all who own views), what it may.
  void add_rights(const Row& row);
  // name, value, how the asking connection comes by it: 'l' by its login packet, 'c' by the configuration, else by a role or a database.
  void add_setting(const Row& row);
  // Once.
  [[nodiscard]] std::shared_ptr<Catalogue> make(std::uint64_t version, bool odd_operators);

 private:
  struct Entry {
    Table* table = nullptr;
    std::string name{};
    char kind = 0;
    std::vector<Oid> parents{}, children{}, cascades{}, views{};
    std::string called{};         // by the view, what may not be cached
    bool calls_volatile = false;  // and may write
  };
  template <class Edges>
  [[nodiscard]] std::set<Oid> reach(Oid start, Edges edges) const;
  void finish(Oid oid, Entry& entry);

  std::shared_ptr<Catalogue> made_ = std::make_shared<Catalogue>();
  std::map<Oid, Entry> entries_;
};

}  // namespace headroom::sql
