// headroom/realtime/pusher_api.h - the HTTP API of the Pusher protocol: /apps/{id}/..., signed calls of the app's server.
//
//   POST events                       {"name", "channels": [...] or "channel", "data": "...", "socket_id"?, "info"?, "priority"?: "critical"}
//   POST batch_events                 {"batch": [{"name", "channel", "data", "socket_id"?, "info"?, "priority"?}, ...]}
//   GET  channels                     ?filter_by_prefix=&info=user_count,subscription_count
//   GET  channels/{name}              ?info=user_count,subscription_count,cache
//   GET  channels/{name}/users
//   POST users/{id}/terminate_connections
//
// Owns: nothing. Borrows: the shards. Worker: each request's own.
// Invariants: (1) nothing is done before the signature holds, and a call is published whole or not at all; (2) the answer comes when the
//   homes of the channels have ordered the messages.
// Limits: bodies of 1 MiB, 100 channels a call, 50 events a batch, event_limit.
#pragma once

#include <string>

#include "headroom/http/service.h"
#include "headroom/json/json.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {

inline constexpr std::string_view kPusherApi = "/apps/";

class PusherApi final : public http::Service {
 public:
  explicit PusherApi(Shards& shards) : shards_(shards) {}
  [[nodiscard]] bool takes(const http::Exchange& exchange) const override;
  [[nodiscard]] net::Task<> serve(http::Exchange& exchange) override;

 private:
  struct Call;
  using Answer = net::Task<Result<std::string>>;

  [[nodiscard]] std::shared_ptr<const App> app_of(const http::Exchange& exchange) const;
  [[nodiscard]] Answer answer(Call& call);
  [[nodiscard]] Answer events(Call& call);
  [[nodiscard]] Answer channels(Call& call);
  [[nodiscard]] Answer channel(Call& call, std::string name);
  [[nodiscard]] Answer users(Call& call, std::string name);
  [[nodiscard]] Answer terminate(Call& call, std::string user);
  [[nodiscard]] net::Task<Result<>> publish(Call& call, std::vector<Publication> all);

  Shards& shards_;
};

}  // namespace headroom::realtime
