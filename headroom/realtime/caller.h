// headroom/realtime/caller.h - who speaks over a plain face, and what they may listen to.
//
//   audience   channel            who may listen
//   public     public_channels    anybody
//   room       any other name     every user; with [realtime.authorization] url whoever the app says. Where plain_app is an app of the Pusher
//                                 protocol, what that protocol protects (private-, presence-) only whom the app says, and
//                                 #server-to-user-{name} that user alone
//   user       user:{name}        that user, without asking
//   group      group:{name}       users whose token names the group, without asking
//   location   location:{a/b/c}   users whose token names it or one above it, without asking; what is sent to one reaches all below it
//   broadcast  broadcast          everybody, without asking
//
// Owns: values. Worker: its connection's. Invariant: what a token does not say is not allowed.
// Limits: 64 groups and 64 locations of a user.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/identity.h"
#include "headroom/json/json.h"
#include "headroom/realtime/settings.h"

namespace headroom::realtime {

inline constexpr std::string_view kBroadcast = "broadcast";

struct Caller {
  std::string name;  // "": nobody known
  std::vector<std::string> groups;
  std::vector<std::string> locations;
  std::optional<auth::WallTime> expires;
  std::optional<auth::WallTime> issued;  // as the token says (iat)

  [[nodiscard]] bool known() const { return !name.empty(); }
};

// Errc::unauthorized: no keys are configured, or the token does not hold.
[[nodiscard]] Result<Caller> caller_of(const Settings& settings, std::string_view token,
                                       auth::WallTime now);

// A name in JSON: a text, or a whole number by its digits (1.0 is 1, as JavaScript reads it); "" for all else. A number of more than 64 bits is
// none: it would be others' too.
[[nodiscard]] std::string name_in(const json::Value& value);

// Letters, digits and -_.:/@=,;# up to 200.
[[nodiscard]] bool is_plain_channel(std::string_view name);
enum class Listening : std::uint8_t { no, yes, ask };  // ask: the app says
[[nodiscard]] Listening may_listen(const RealtimeOptions& options, const Caller& caller,
                                   std::string_view channel);
// Whether the plain faces speak of an app that Pusher's clients and servers speak of too.
[[nodiscard]] bool shares_app(const RealtimeOptions& options);
// The channels that the caller is in without asking.
[[nodiscard]] std::vector<std::string> own_channels(const Caller& caller);

}  // namespace headroom::realtime
