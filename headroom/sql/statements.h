// headroom/sql/statements.h - the texts that clients have prepared, each once: what is prepared again elsewhere when a client is moved.
//
// Owns: nothing but an index of weak references; a statement lives while a client has it. Worker and threads: any; a short lock for each named
//   Parse, the named exception to "no mutex": clients of all workers share names on server connections.
// Invariants: (1) two statements are one only if text and parameter types are the same bytes (no hash decides: odyssey#1345); (2) an id is never used
//   twice, so a server connection never takes one text for another.
// Limits: texts of the session's limit; the clients' number of statements.
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
  std::string types;  // count and oids
  Effects effects;
  DecisionPointer decision;
  std::uint64_t fingerprint = 0;
  mutable std::atomic<bool> refused{false};  // by a replica, once
};
using StatementPointer = std::shared_ptr<const Statement>;

class Statements {
 public:
  Statements();
  [[nodiscard]] StatementPointer intern(std::string_view query, std::string_view types);
  // The same text under a name that no server has a plan for.
  [[nodiscard]] StatementPointer renew(const StatementPointer& old);
  [[nodiscard]] std::string name_of(std::uint64_t id) const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Index;
  [[nodiscard]] StatementPointer make(std::uint64_t hash, std::string_view query,
                                      std::string_view types);  // under the lock
  std::shared_ptr<Index> index_;  // the last statement may end after us
  const std::string prefix_;
};

}  // namespace headroom::sql
