// headroom/realtime/auth_door.h - where clients of the Pusher protocol ask for their signatures, in front of the app that gives them.
//
// A POST at [realtime.authorization] path is asked of the app (asker.h). What it has just allowed to the same session is signed here, for the
// new socket, and the app does not hear of it: the signature of a connection dies with it, so without this every reconnect asks again for
// every channel.
//
// Owns: nothing. Borrows: the shards. Worker: each request's own.
// Invariants: (1) what is signed here the app has allowed within `remember`, to who showed the same cookies and tokens; (2) what is not a
//   plain question for one channel of an app known here goes to the app, and its status and body come back as they are.
// Limits: bodies of 16 KiB.
#pragma once

#include "headroom/http/service.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {

class AuthDoor final : public http::Service {
 public:
  explicit AuthDoor(Shards& shards) : shards_(shards) {}
  [[nodiscard]] bool takes(const http::Exchange& exchange) const override;
  [[nodiscard]] net::Task<> serve(http::Exchange& exchange) override;

 private:
  Shards& shards_;
};

}  // namespace headroom::realtime
