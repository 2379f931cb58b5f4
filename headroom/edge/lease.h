// headroom/edge/lease.h - a server that has been entered for one request, and the connection to it.
//
// Owns: the connection. Borrows: the server and its pool, which outlive it. Worker: the request's.
// Invariants: (1) the server counts the request until the lease ends; (2) a connection is kept for others only when its last answer was whole
//   and nothing came behind it.
// Limits: Server::kMostIdle connections kept.
#pragma once

#include <memory>
#include <utility>

#include "headroom/edge/request.h"
#include "headroom/http/client.h"

namespace headroom::edge {

class Lease {
 public:
  Lease(Server& server, Pool& pool, const net::Worker& worker)
      : server_(&server), pool_(&pool), slot_(&server.slot(worker)) {}
  // The other is empty then: for an answer that outlives its request.
  Lease(Lease&& other) noexcept
      : connection(std::move(other.connection)),
        reused(other.reused),
        server_(std::exchange(other.server_, nullptr)),
        pool_(other.pool_),
        slot_(other.slot_) {}
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  std::unique_ptr<http::ClientConnection> connection;
  bool reused = false;

  [[nodiscard]] Server& server() const { return *server_; }
  [[nodiscard]] Server::Slot& slot() const { return *slot_; }
  [[nodiscard]] const UpstreamOptions& options() const { return pool_->group.options(); }

  // A kept connection that still looks open, the last used first; none: `connection` stays empty.
  void take_idle(TimePoint now, http::Method method);
  // A new one, with PROXY header and TLS where configured.
  [[nodiscard]] net::Task<Result<>> connect(Request& request, net::TaskGroup& group);

 private:
  void give_back();

  Server* server_;  // null: moved from
  Pool* pool_;
  Server::Slot* slot_;
};

}  // namespace headroom::edge
