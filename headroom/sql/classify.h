// headroom/sql/classify.h - what a statement does: reads or writes, which tables, which functions; and whether a replica may run it.
//
// Owns: the decisions of one worker, remembered by the text with its literals blanked (lexer.h). Worker: a Classifier is its worker's; a
//   Decision never changes and may go anywhere.
// Invariants: (1) what is not understood (another version's syntax, too deep, too long) is `opaque`: a write of anything; (2) no literal
//   changes a decision but those that mean the time, so that a remembered one is right for every text of its blanked form, which is compared
//   in full; (3) tables and functions are named as written, folded as PostgreSQL folds: views, search_path and volatility are the catalogue's
//   to resolve; (4) names that a WITH clause brings are no tables where it is in force; (5) the text must be read by the server as it is here:
//   see reads_alike().
// Limits: kLongestParsed bytes of text and kDeepest levels of expression, beyond which it is opaque; kRemembered bytes of decisions a worker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/postgres/server.h"

namespace headroom::sql {

// The heaviest of a text's statements counts; in this order.
enum class Class : std::uint8_t {
  read,         // SELECT, VALUES, TABLE, COPY ... TO STDOUT
  session,      // SET, SHOW, LISTEN, DECLARE, LOCK and what else changes no table
  transaction,  // BEGIN, COMMIT, ROLLBACK, SAVEPOINT
  write,        // INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY ... FROM: to the tables of `writes`
  schema,  // CREATE, ALTER, DROP, GRANT, REFRESH, VACUUM and all other utility statements: tables may mean something else now
  opaque,  // DO, CALL, EXECUTE, what does not parse: anything
};
[[nodiscard]] std::string_view name_of(Class its_class);

// As written: without a schema it is found by search_path (or by the table's own alias of a temporary one).
struct ObjectName {
  std::string schema{};
  std::string name;
  auto operator<=>(const ObjectName&) const = default;
};

struct Decision {
  Class its_class = Class::read;
  unsigned statements = 0;          // of the text; 0: empty
  std::vector<ObjectName> reads{};  // each once, views as they are
  std::vector<ObjectName>
      writes{};  // targets of INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY FROM, REFRESH, SELECT INTO
  std::vector<ObjectName> functions{};  // called by name; what views and operators call is not seen
  std::vector<ObjectName>
      applies{};  // operators, and types that are cast to, as written: those of PostgreSQL's grammar are not listed
  std::vector<std::uint64_t> fields{};  // hash64() of each name behind a point: a.b may be b(a)
  bool locks_rows = false;              // FOR UPDATE, FOR SHARE
  bool writes_in_with = false;          // WITH x AS (INSERT ...)
  bool into = false;                    // SELECT INTO, CREATE TABLE AS
  bool temporary = false;               // makes a temporary table
  bool samples = false;                 // TABLESAMPLE
  bool clock = false;                   // CURRENT_DATE and its kind, 'now'
  bool identity = false;                // CURRENT_USER and its kind
  bool explains = false;                // EXPLAIN of it
  bool copies = false;                  // COPY
  bool begins = false;                  // BEGIN, START TRANSACTION among them
  bool ends = false;  // COMMIT, ROLLBACK, PREPARE TRANSACTION, COMMIT PREPARED among them
  bool local_state =
      false;  // reads what is a server's own: pg_stat_..., pg_locks, temporary tables, cursors
  bool hinted_primary = false;  // /* headroom:primary */
  bool refused = false;         // by a replica, once

  // Of what a Classifier has decided.
  bool leaves_nothing =
      false;  // in its session: effects_of() has nothing to say of any text of this blanked form
  std::uint64_t fingerprint = 0;  // of the blanked form: for statistics only; 0: not known

  // A replica may run it as far as its syntax tells; its functions are to be asked for (Functions).
  [[nodiscard]] bool plain_read() const {
    return its_class == Class::read && statements > 0 && !locks_rows && !into && !local_state &&
           !hinted_primary && !refused && !explains;
  }
};
using DecisionPointer = std::shared_ptr<const Decision>;

// /* headroom:primary */
[[nodiscard]] bool is_hinted(std::string_view text);
// Of a text's blanked form, as a Classifier's decisions have it.
[[nodiscard]] std::uint64_t fingerprint_of(std::string_view text);

// Parses it: about 1 us for a short statement, 70 for 1,000 values.
[[nodiscard]] Decision classify(std::string_view text);

class Classifier {
 public:
  static constexpr std::size_t kLongestParsed = 256U << 10U;
  static constexpr std::size_t kDeepest = 500;
  static constexpr std::size_t kRemembered = 4U << 20U;
  static constexpr std::size_t kLongestRemembered = 16U << 10U;  // blanked

  // Lexes the text once; all else is remembered by its blanked form.
  [[nodiscard]] DecisionPointer decide(std::string_view text);
  // A replica has refused this text: from now on it is for the primary.
  void learn(std::string_view text);

  [[nodiscard]] std::size_t remembered_bytes() const { return young_.bytes + old_.bytes; }

 private:
  // A blanked text, hashed once.
  struct Form {
    std::string_view text;
    std::uint64_t hash;
  };
  struct Key {
    std::string text;
    std::uint64_t hash;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const auto& form) const { return form.hash; }
  };
  struct Same {
    using is_transparent = void;
    bool operator()(const auto& a, const auto& b) const {
      return a.hash == b.hash && a.text == b.text;
    }
  };
  // Two halves: when the young one is full it becomes the old one, and what of that is still asked for moves over.
  struct Half {
    std::unordered_map<Key, DecisionPointer, Hash, Same> by_text;
    std::size_t bytes = 0;
  };
  [[nodiscard]] Form form_of(std::string_view text);
  [[nodiscard]] DecisionPointer decide(std::string_view text, const Form& form);
  [[nodiscard]] const DecisionPointer& remember(const Form& form, DecisionPointer decision);

  Half young_, old_;
  std::string scratch_;
};

// Whether a server with these settings of a session reads a text as classify() does: standard_conforming_strings, and an encoding in which
// quotes and backslashes are always themselves.
[[nodiscard]] bool reads_alike(const postgres::Settings& settings);
// Whether a server reads literals by it when it parses a text.
[[nodiscard]] bool is_read_by(std::string_view setting);

}  // namespace headroom::sql
