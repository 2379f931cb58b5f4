// headroom/realtime/plain_door.h - where clients of the plain faces come in.
//
//   /_headroom/realtime          a WebSocket (plain_session.h); a token may come, and must hold if it does
//   /_headroom/realtime/events   Server-Sent Events:  ?channels=a,b&token=...&since=...   (stream_session.h)
//   /_headroom/realtime/poll     long-poll, the same query
//   /api/v1/ws, /api/v1/ws/public, /api/v1/sse   the same for the seeds' clients, where [admin] on_edge says so; the first needs a token
//
// A token is a JWT of the app ([realtime.jwt]): in Authorization, in `?token=`, in a subprotocol "token.<jwt>" beside "headroom.v1+json", or, over
// a WebSocket, in the first message.
//
// Owns: nothing. Borrows: the shards. Worker: each request's own.
// Invariants: (1) a token that does not hold is refused, not ignored; (2) a page of another origin is let in only where allowed_origins says
//   so; (3) who is let in is counted until the connection ends.
// Limits: max_connections, max_channels_per_connection.
#pragma once

#include "headroom/http/service.h"
#include "headroom/realtime/caller.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {

inline constexpr std::string_view kPlain = "/_headroom/realtime";
inline constexpr std::string_view kSeedSockets = "/api/v1/ws";
inline constexpr std::string_view kSeedEvents = "/api/v1/sse";

class PlainDoor final : public http::Service {
 public:
  explicit PlainDoor(Shards& shards) : shards_(shards) {}
  [[nodiscard]] bool takes(const http::Exchange& exchange) const override;
  [[nodiscard]] net::Task<> serve(http::Exchange& exchange) override;

 private:
  [[nodiscard]] net::Task<> socket(http::Exchange& exchange, Caller caller, Gate::Ticket place);
  [[nodiscard]] net::Task<> stream(http::Exchange& exchange, Caller caller, Wire wire,
                                   Gate::Ticket place);

  Shards& shards_;
};

}  // namespace headroom::realtime
