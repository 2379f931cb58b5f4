// headroom/auth/sessions.h - browsers' sessions that ended before their time: what a signed cookie cannot tell of itself.
//
// Owns: the ids. Worker and threads: an immutable value in a TokenTable.
// Invariants: (1) a session that has ended stays so until its cookie has expired; (2) where too many end, more do: memory is
//   bounded by ending more, never by forgetting an end; (3) whose sessions end often ends their own, not others'.
// Limits: kMaxEndedSessions, beyond which all end of that owner of whom the most have; where nobody has more than one, everybody's.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <string>

#include "headroom/auth/identity.h"

namespace headroom::auth {

inline constexpr std::size_t kMaxEndedSessions = 1000;
inline constexpr std::chrono::seconds kMaxSessionLife = std::chrono::hours(24);

// One session, as its cookie has it.
struct SessionMark {
  std::string id{};
  WallTime begun{};
  WallTime expires{};
  std::string owner{};  // the token, or whom a JWT names
};

struct EndedSessions {
  std::set<std::string, std::less<>> ids{};
  std::map<std::string, WallTime, std::less<>> owners{};  // those of an owner begun by then
  WallTime all_until{};                                   // those begun by then have all ended

  [[nodiscard]] bool have(const SessionMark& session) const {
    if (session.begun <= all_until || ids.contains(session.id)) return true;
    const auto owner = owners.find(session.owner);
    return owner != owners.end() && session.begun <= owner->second;
  }
};

}  // namespace headroom::auth
