// headroom/realtime/pusher.h - what the Pusher Channels protocol (version 7) says of names, signatures and events: the parts without a connection.
//
//   channel   [A-Za-z0-9_\-=@,.;]{1,200}; private-..., presence-..., private-encrypted-... need `auth`; cache-... remember; and
//             #server-to-user-{id} for who is signed in as {id}
//   auth      key ":" hex(HMAC-SHA256(secret, socket_id ":" channel [":" channel_data]))
//   sign-in   key ":" hex(HMAC-SHA256(secret, socket_id "::user::" user_data))
//   HTTP      auth_signature = hex(HMAC-SHA256(secret, METHOD "\n" path "\n" query)), query = its other fields, sorted, decoded, joined by &;
//             auth_timestamp within 600 s; body_md5 = hex(MD5(body)) where there is a body
//
// Pusher is a trademark of its owner, with whom we have no affiliation; the protocol's description is public (MIT).
// Owns: nothing. Worker: any. Invariant: signatures are compared in constant time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/http/query.h"
#include "headroom/realtime/channel.h"
#include "headroom/realtime/settings.h"

namespace headroom::realtime::pusher {

inline constexpr std::string_view kUserChannel = "#server-to-user-";
inline constexpr std::size_t kNameLimit = 200;
inline constexpr std::size_t kUserIdLimit = 128;

[[nodiscard]] bool is_channel_name(std::string_view name);
[[nodiscard]] inline bool needs_auth(std::string_view channel) {
  return is_private(channel) || is_presence(channel);
}

// Whether `auth` is the app's signature of `text`.
[[nodiscard]] bool is_signed(const AppOptions& app, std::string_view auth, std::string_view text);
[[nodiscard]] std::string signature(const AppOptions& app, std::string_view text);

// Of a call of the HTTP API; `now` in seconds since 1970. Errc::unauthorized says what is wrong, but no expected signature.
[[nodiscard]] Result<> check_call(const AppOptions& app, std::string_view method,
                                  std::string_view path, const http::QueryFields& query,
                                  std::string_view body, std::int64_t now);

// channel_data of a presence channel: {"user_id": "text" or number, "user_info"?: any}. Errc::invalid.
[[nodiscard]] Result<Member> member_of(std::string_view channel_data,
                                       const RealtimeOptions& options);

// {"event": ..., "channel"?: ..., "data": "..."}: an event of the protocol's own, its data JSON within a string.
[[nodiscard]] std::string event(std::string_view name, std::string_view channel,
                                std::string_view data);
// {"event": "pusher:error", "data": {"code": ..., "message": ...}}
[[nodiscard]] std::string error(std::optional<int> code, std::string_view message);

}  // namespace headroom::realtime::pusher
