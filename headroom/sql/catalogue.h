// headroom/sql/catalogue.h - what a database's tables and functions are, as far as cached results depend on it: a snapshot, taken whole.
//
// Owns: a value, made once and then only read. Threads: any may read it; read_catalogue() is its owner's task.
// Invariants: (1) a name is resolved as the server would by the same search path, or not at all; (2) `reads` has every stored table that a read
//   of a relation reads, through views; (3) `changes` has every table whose reads a write to a relation may change: its ancestors and
//   descendants, what its foreign keys change, and their ancestors; (4) what is not known is not cached.
// Limits: kPage rows at a time; views and inheritance of any depth.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/postgres/decoded.h"
#include "headroom/postgres/server.h"

namespace headroom::sql {

using Oid = std::uint32_t;

struct Table {
  Oid oid = 0;
  bool is_system = false;
  bool acts = false;            // triggers or rules: what a write of it does is not known
  bool calls_volatile = false;  // a view that calls what may write, itself or one below it
  std::string why_not{};        // why a read of it may not be cached; empty: it may
  std::vector<Oid> reads{};
  std::vector<Oid> changes{};
  std::vector<Oid> upwards{};  // itself and its ancestors: what a decoded row of it changes
};

enum class Volatility : std::uint8_t { immutable, stable, volatile_ };

// All functions of one name.
struct Function {
  bool in_system = false;
  Volatility system{};
  bool in_user = false;  // in any other schema
  Volatility user{};
};

class Catalogue {
 public:
  // Null: there is none such. `path`: schemas in their order; pg_catalog comes first where it is not among them.
  [[nodiscard]] const Table* find(std::string_view schema, std::string_view name,
                                  const std::vector<std::string>& path) const;
  [[nodiscard]] const Table* find(const postgres::RelationName& name) const;
  [[nodiscard]] const Function* function(std::string_view name) const;
  // Operators or casts of its own that are not immutable: then no text tells what it calls.
  [[nodiscard]] bool has_odd_operators() const { return odd_operators_; }
  // Functions that may be called as if they were columns (rooms.price), and are not immutable.
  [[nodiscard]] const std::vector<std::string>& column_functions() const {
    return column_functions_;
  }
  // What a session of this user begins with, by ALTER ROLE and DATABASE ... SET or the server's configuration; null: not known here.
  [[nodiscard]] const std::string* begins_with(const std::string& user,
                                               const std::string& setting) const;
  // Server connections that this user has made before may have begun with something else.
  [[nodiscard]] TimePoint begin_alike_since(const std::string& user) const;
  // Of whom `before` says something else, by role ("": everybody); what it says the same of stays as old as it was there.
  [[nodiscard]] std::vector<std::string> begin_otherwise(const Catalogue& before, TimePoint now);
  // Roles that may do something else than by `before`, also by acting as others ("": who owns a view, which reads by his rights).
  [[nodiscard]] std::vector<std::string> may_otherwise(const Catalogue& before) const;
  [[nodiscard]] std::size_t size() const { return tables_.size(); }
  [[nodiscard]] std::uint64_t version() const { return version_; }
  // Before anybody else has it.
  void renumber(std::uint64_t version) { version_ = version; }

 private:
  friend class CatalogueRows;
  std::map<postgres::RelationName, Table> tables_;
  std::unordered_map<std::string, Function> functions_;
  std::vector<std::string> column_functions_;
  struct Beginning {
    std::map<std::string, std::string> settings{};
    TimePoint since{};
  };
  std::map<std::string, Beginning> beginnings_;       // by role; "": everybody's
  using Rights = std::map<std::string, std::string>;  // by role; "": of all who own views
  Rights rights_;
  std::map<std::string, std::string> of_all_logins_;  // by the URL itself, whatever roles say
  bool odd_operators_ = false;
  std::uint64_t version_ = 0;
};
using CataloguePointer = std::shared_ptr<const Catalogue>;

// Asks an idle server. Errc as postgres::ask().
[[nodiscard]] net::Task<Result<std::shared_ptr<Catalogue>>> read_catalogue(postgres::Server& server,
                                                                           std::uint64_t version,
                                                                           TimePoint deadline);
// `before` with what sessions begin with and what roles may now.
[[nodiscard]] net::Task<Result<std::shared_ptr<Catalogue>>> read_roles(postgres::Server& server,
                                                                       const Catalogue& before,
                                                                       std::uint64_t version,
                                                                       TimePoint deadline);

// For what leaves no trace in the log.
struct Fingerprint {
  std::string
      all{};  // changes when tables, views, functions, triggers, policies or privileges do, or the configuration is read again
  std::string beginnings{};  // when ALTER ROLE or DATABASE ... SET has said something else
  std::string rights{};      // when roles, their attributes or who is a member of which do
  bool operator==(const Fingerprint&) const = default;
};
[[nodiscard]] net::Task<Result<Fingerprint>> read_fingerprint(postgres::Server& server,
                                                              TimePoint deadline);

// The value of search_path as schemas; "$user" is `user`.
[[nodiscard]] std::vector<std::string> parse_search_path(std::string_view text,
                                                         std::string_view user);
// Whether a function of PostgreSQL's own, though only stable, depends on nothing but its arguments and the settings of the key.
[[nodiscard]] bool is_tame(std::string_view system_function);

}  // namespace headroom::sql
