// headroom/edge/forwarder.h - finds a server that answers a request: admission, choice, attempts, retries, and the error when none does.
//
// Owns: nothing. Worker: the group's.
// Invariants: (1) a request is sent again only when it is idempotent or nothing of it was sent, and never after its answer began; (2) every
//   forward() ends in an answer, an error page or a client that has gone.
// Limits: the group's queue and queue_timeout, its retry budget, the route's retries.
#pragma once

#include "headroom/edge/carrier.h"
#include "headroom/edge/request.h"

namespace headroom::edge {

class Forwarder {
 public:
  Forwarder(net::TaskGroup& group, AnswerCoder& coder) : group_(group), carrier_(group, coder) {}

  // The request has a route with a pool.
  [[nodiscard]] net::Task<> forward(Request& request);

 private:
  [[nodiscard]] static net::Task<bool> store_body(Request& request);
  [[nodiscard]] net::Task<bool> wait_for_place(Request& request);
  [[nodiscard]] net::Task<Result<Server*>> wait_for_server(Request& request);
  [[nodiscard]] net::Task<> try_servers(Request& request);
  [[nodiscard]] net::Task<Attempt> attempt(Request& request, Server& server);
  [[nodiscard]] static bool may_retry(Request& request, Attempt attempt);
  [[nodiscard]] static net::Task<> give_up(Request& request);

  net::TaskGroup& group_;
  Carrier carrier_;
};

}  // namespace headroom::edge
