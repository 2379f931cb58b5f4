// headroom/sql/statements.h - the texts that clients have prepared, each once: what is prepared again elsewhere when a client is moved.
//
// Owns: nothing but an index of weak references; a statement lives while a client has it. Worker and threads: any; a short lock for each named
//   Parse, the named exception to "no mutex": clients of all workers share names on server connections.
// Invariants: (1) two statements are one only if text, parameter types and the settings by which PostgreSQL reads the text's literals (it does so when it
//   parses) are the same bytes (no hash decides: odyssey#1345); (2) an id is never used
//   twice, so a server connection never takes one text for another.
// Limits: `most` bytes of texts in all; a client's own are counted by its ClientStatements.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/sql/classify.h"
#include "headroom/sql/effects.h"

namespace headroom::sql {

struct Statement {
  std::uint64_t id = 0;
  std::string name;  // on servers
  std::string query;
  std::string types;    // count and oids
  std::string read_by;  // reading_settings() of who prepared it first
  Effects effects;
  DecisionPointer decision;
  std::uint64_t fingerprint = 0;
  mutable std::atomic<bool> refused{false};  // by a replica, once
  // What it takes: its text twice over, as effects, decision and name are of its order.
  [[nodiscard]] std::size_t bytes() const {
    return 512 + 2 * query.size() + types.size() + read_by.size();
  }
};
using StatementPointer = std::shared_ptr<const Statement>;

// Of a session's settings those by which a server reads literals; empty: its own.
[[nodiscard]] std::string reading_settings(const postgres::Settings& settings);

// Those of one client, by its own names.
class ClientStatements {
 public:
  // Null: there is none.
  [[nodiscard]] const StatementPointer* find(std::string_view name) const;
  // Null takes it away. What was there before; null: nothing.
  StatementPointer put(const std::string& name, const StatementPointer& statement);
  void replace(const StatementPointer& old, const StatementPointer& fresh);
  void clear();
  [[nodiscard]] std::size_t size() const { return by_name_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::unordered_map<std::string, StatementPointer> by_name_;
  std::size_t bytes_ = 0;
};

class Statements {
 public:
  Statements();
  void limit(std::size_t most);
  // Null: with it there would be more than `most` bytes.
  [[nodiscard]] StatementPointer intern(std::string_view query, std::string_view types,
                                        std::string_view read_by);
  // The same text under a name that no server has a plan for.
  [[nodiscard]] StatementPointer renew(const StatementPointer& old);
  [[nodiscard]] std::string name_of(std::uint64_t id) const;
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Index;
  [[nodiscard]] StatementPointer make(std::uint64_t hash, std::string_view query,
                                      std::string_view types,
                                      std::string_view read_by);  // under the lock
  std::shared_ptr<Index> index_;  // the last statement may end after us
  const std::string prefix_;
};

}  // namespace headroom::sql
