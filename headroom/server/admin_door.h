// headroom/server/admin_door.h - the admin listener: one socket, served by the first worker.
//
// Owns: its listener and connections. Borrows: the worker and the Service.
// Worker: made, told and ended from main's thread; serves on the worker.
// Invariants: (1) it goes on answering while the edge drains, so that a shutdown can be watched.
// Limits: kConnections, beyond which those without a request make room, so that idle ones cannot keep probes out; ServerOptions with short time-outs.
#pragma once

#include <memory>

#include "headroom/config/values.h"
#include "headroom/edge/edge.h"
#include "headroom/http/server.h"
#include "headroom/http/service.h"
#include "headroom/net/listener.h"
#include "headroom/net/worker.h"

namespace headroom::server {

// Where a setting says to listen; names are looked up, which may block. Errc::invalid.
[[nodiscard]] Result<net::Endpoint> endpoint_of(const config::Address& address);

class AdminDoor {
 public:
  static constexpr std::size_t kConnections = 256;

  // `inherited`: the sockets of a server that is taken over, used when they listen where `address` says, else closed.
  [[nodiscard]] static Result<std::unique_ptr<AdminDoor>> open(net::Worker& worker,
                                                               http::Service& service,
                                                               const config::Address& address,
                                                               std::vector<int> inherited);
  ~AdminDoor();

  [[nodiscard]] edge::Door door() const;
  // Accepts no more; connections go on.
  void stop_accepting(edge::Doors doors);
  // Lets answers end for a moment, then ends what is left.
  void stop();

 private:
  class Served;
  AdminDoor(net::Worker& worker, net::Listener listener);

  net::Worker& worker_;
  net::Listener listener_;
  std::unique_ptr<Served> served_;  // belongs to the worker
};

}  // namespace headroom::server
