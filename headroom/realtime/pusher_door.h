// headroom/realtime/pusher_door.h - where clients of the Pusher protocol come in: GET /app/{key}, as a WebSocket.
//
// Owns: nothing. Borrows: the shards. Worker: each request's own.
// Invariants: (1) only an upgrade with a known key is taken; all else under /app/ is the app's; (2) a page of another origin is let in only
//   where allowed_origins says so; (3) who is let in is counted until the connection ends.
// Limits: max_connections of the hub and of the app.
#pragma once

#include "headroom/http/service.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {

inline constexpr std::string_view kPusherSockets = "/app/";

class PusherDoor final : public http::Service {
 public:
  explicit PusherDoor(Shards& shards) : shards_(shards) {}
  [[nodiscard]] bool takes(const http::Exchange& exchange) const override;
  [[nodiscard]] net::Task<> serve(http::Exchange& exchange) override;

 private:
  [[nodiscard]] std::shared_ptr<const App> app_of(const http::Exchange& exchange) const;

  Shards& shards_;
};

}  // namespace headroom::realtime
