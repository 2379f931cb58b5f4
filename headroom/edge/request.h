// headroom/edge/request.h - one request on its way through the edge: who asks for what by which route, and what has become of it.
//
// Owns: what was read of it and learnt. Borrows: the exchange and the view. Worker: the exchange's. Lives in Proxy::serve()'s frame.
// Limits: those of EdgeOptions.
#pragma once

#include <string>
#include <string_view>

#include "headroom/base/text.h"
#include "headroom/edge/view.h"
#include "headroom/http/exchange.h"
#include "headroom/limit/rules.h"

namespace headroom::edge {

struct Request {
  http::Exchange& x;
  const View& view;
  const Route* route = nullptr;
  RouteCells* cells = nullptr;
  TimePoint began;
  TimePoint chosen{};      // a server was chosen
  TimePoint connected{};   // the connection was there
  TimePoint first_byte{};  // the answer's head was there
  IpAddress client;
  bool trusted = false;  // the peer is a trusted proxy
  std::string id;
  std::string target;  // what is forwarded
  std::uint64_t hash = 0;
  Tried tried;
  std::string body;  // read before a server was taken
  bool body_stored = false;
  bool body_begun = false;  // part of it went to a server straight from the client
  bool pumping = false;     // and more is on its way
  unsigned body_error = 0;  // the status for a client's broken body
  unsigned status = 0;      // for counting, when it is not the exchange's
  std::uint64_t bytes_in = 0;
  const Server* server = nullptr;
  http::Refusal refusal;  // a method that is never forwarded
  bool reached = false;   // by at least one attempt, a server
  bool timed_out = false;
  limit::Decision limited;

  Request(http::Exchange& exchange, const View& seen)
      : x(exchange), view(seen), began(exchange.began()) {}
  [[nodiscard]] const http::RequestHead& head() const { return x.request(); }
  [[nodiscard]] Group& group() const { return route->pool->group; }
  // Whether the client speaks TLS, to us or to a trusted proxy before us.
  [[nodiscard]] bool secure() const {
    return x.peer().tls ||
           (trusted &&
            text::equal_ignoring_case(head().value_of(http::Name::x_forwarded_proto), "https"));
  }
  [[nodiscard]] bool streams_body() const { return !body_stored && x.has_body(); }

  // Whether the client is no longer there (looked at by a system call); the request is then over.
  [[nodiscard]] bool gone();
  // Answers with an error page, unless an answer has begun.
  [[nodiscard]] net::Task<> fail(unsigned status, std::string_view code, std::string_view message,
                                 Duration retry_after = {});
};

// As nginx counts a client that went away; never sent.
inline constexpr unsigned kClientGone = 499;

}  // namespace headroom::edge
