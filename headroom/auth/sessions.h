// headroom/auth/sessions.h - browsers' sessions that ended before their time: what a signed cookie cannot tell of itself.
//
// Owns: the ids. Worker and threads: an immutable value in a TokenTable.
// Invariants: (1) a session that has ended stays so until its cookie has expired; (2) where too many end, all do: memory is
//   bounded by ending more, never by forgetting an end.
// Limits: kMaxEndedSessions.
#pragma once

#include <cstddef>
#include <set>
#include <string>

#include "headroom/auth/identity.h"

namespace headroom::auth {

inline constexpr std::size_t kMaxEndedSessions = 1000;

// One session, as its cookie has it.
struct SessionMark {
  std::string id{};
  WallTime begun{};
  WallTime expires{};
};

struct EndedSessions {
  std::set<std::string, std::less<>> ids{};
  WallTime all_until{};  // those begun by then have all ended

  [[nodiscard]] bool have(const SessionMark& session) const {
    return session.begun <= all_until || ids.contains(session.id);
  }
};

}  // namespace headroom::auth
