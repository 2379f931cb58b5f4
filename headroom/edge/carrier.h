// headroom/edge/carrier.h - carries one request to a server over a connection, and its answer back.
//
// Owns: nothing. Borrows: the request and the lease of each call. Worker: the group's.
// Invariants: (1) framing is written anew both ways; (2) a body that streams is carried by a task beside, which has ended when carry() has;
//   (3) what cannot be carried to its end spoils its connections, so that nobody takes a part for the whole.
// Limits: the route's time-outs; pieces of 128 KiB; 32 interim answers.
#pragma once

#include "headroom/edge/answer_coder.h"
#include "headroom/edge/lease.h"
#include "headroom/edge/request.h"

namespace headroom::edge {

// What became of an attempt.
enum class Attempt : std::uint8_t {
  answered,    // an answer was written, or the client is beyond help
  not_sent,    // nothing of the request reached the server
  unanswered,  // it was sent, no byte of an answer came
  stale,  // as unanswered, on a connection that had been kept: the server may have closed it before
  broken,  // an answer began and was malformed
};

class Carrier {
 public:
  Carrier(net::TaskGroup& group, AnswerCoder& coder) : group_(group), coder_(coder) {}

  // The lease has a connection.
  [[nodiscard]] net::Task<Attempt> carry(Request& request, Lease& lease);

 private:
  [[nodiscard]] static net::Task<Result<>> send_rest(Request& request, net::Stream& stream,
                                                     net::Gather& data);
  [[nodiscard]] static net::Task<> pump(Request& request, http::ClientConnection& connection);
  [[nodiscard]] static net::Task<Result<>> await_head(Request& request,
                                                      http::ClientConnection& connection);
  [[nodiscard]] net::Task<bool> relay(Request& request, http::ClientConnection& connection);
  [[nodiscard]] static net::Task<bool> pass_on(Request& request, http::ClientConnection& connection,
                                               Plan plan);
  [[nodiscard]] net::Task<> tunnel(Request& request, http::ClientConnection& connection);

  net::TaskGroup& group_;
  AnswerCoder& coder_;
};

}  // namespace headroom::edge
