// headroom/auth/identity.h - who asks, and what they may do: viewer < operator < admin.
//
// Owns: nothing; values.
// Worker and threads: any.
// Invariants: (1) roles are ordered: who may do more may do all of less; (2) none may do nothing.
// Limits: none.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/error.h"

namespace headroom::auth {

// The wall clock in seconds: expiries are dates that other machines wrote. Passed in, so that tests choose it.
using WallTime = std::chrono::sys_seconds;
[[nodiscard]] WallTime wall_now();

enum class Role : std::uint8_t { none, viewer, operator_, admin };

[[nodiscard]] std::string_view to_string(Role role);
// "viewer", "operator" or "admin"; else Errc::invalid naming the three.
[[nodiscard]] Result<Role> parse_role(std::string_view text);

// How an identity was proven.
enum class Via : std::uint8_t { token, jwt, session };
[[nodiscard]] std::string_view to_string(Via via);

struct Identity {
  std::string name{};  // printable ASCII or UTF-8 without control characters: safe in a log line
  Role role = Role::none;
  Via via = Via::token;
  std::string token_id{};             // of an admin token (TokenTable::find_id), empty for a JWT
  std::optional<WallTime> expires{};  // when what proved it ends

  [[nodiscard]] bool may(Role needed) const { return role != Role::none && role >= needed; }
};

}  // namespace headroom::auth
