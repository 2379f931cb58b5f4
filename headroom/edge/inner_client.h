// headroom/edge/inner_client.h - requests the edge makes of itself: parts of a batch, and what warms and refreshes its cache.
//
// A request goes through a socket pair to the worker's own http::Server, as one of a named peer: so it is parsed, routed, limited, cached,
//   coalesced, logged and measured as any other, by the same code, and what is true of the wire (framing, back-pressure, a client that goes
//   away) stays true. It costs two descriptors a client and some 20 us a request; no port, no TLS, nothing of max_connections.
// Owns: InnerDoor the count of its connections, InnerClient one connection, kept for its next request. Borrows: the group, the server.
// Worker: one; every call on its thread.
// Invariants: (1) the peer is who the request is made for; limits, X-Forwarded-For and logs see only that one (limits not even that
//   one where it is `own`); (2) nothing that is unfit for
//   the wire is sent: Errc::invalid; (3) when a client or its group ends, the server sees its requests' client go, and ends them.
// Limits: kMostInner connections a worker; of each answer: its head by HeadLimits, its body by `room`, its time by `deadline`.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/http/client.h"
#include "headroom/http/exchange.h"
#include "headroom/http/server.h"
#include "headroom/net/task_group.h"

namespace headroom::edge {

using FieldTexts = std::vector<std::pair<std::string, std::string>>;

// Whom inner requests are made for; Peer itself is not copied.
struct InnerPeer {
  net::Endpoint address;
  net::Endpoint local;  // where that one connected to
  bool tls = false;
  bool known = true;
  bool own = false;  // for nobody: what the edge asks on its own account, outside of rate limits
};

class InnerDoor {
 public:
  static constexpr std::size_t kMostInner = 2048;

  // Before the first open().
  void lead_to(http::Server& server) { server_ = &server; }
  // The caller's end of a new connection. Errc::overloaded: kMostInner are open, or no descriptor is left.
  [[nodiscard]] Result<int> open(const InnerPeer& peer);
  [[nodiscard]] std::size_t connections() const { return open_; }

 private:
  http::Server* server_ = nullptr;
  std::size_t open_ = 0;
};

struct InnerRequest {
  std::string_view method;
  std::string_view target;  // origin-form
  std::string_view host;
  // Without Host, Content-Length and what belongs to a connection.
  const FieldTexts& fields;
  std::string_view body;
};

struct InnerBounds {
  http::HeadLimits head;
  TimePoint deadline = kNever;
  // Whether so many bytes more of the body may be kept.
  std::function<bool(std::size_t)> room;
  bool keep_body = true;  // false: it is read and forgotten
};

struct InnerAnswer {
  unsigned status = 0;
  FieldTexts fields;  // without those of a connection and its framing
  std::string body;
};

class InnerClient {
 public:
  // `group` ends its waits; `door` outlives it.
  InnerClient(net::TaskGroup& group, InnerDoor& door, const InnerPeer& peer)
      : group_(group), door_(door), peer_(peer) {}

  // The whole answer; 1xx are skipped. What the arguments view holds until the task ends. Errc::invalid (unfit for the wire), overloaded (no
  // connection, or `room` said no), timeout, unavailable or protocol (it broke off), cancelled.
  [[nodiscard]] net::Task<Result<InnerAnswer>> ask(const InnerRequest& request,
                                                   const InnerBounds& bounds);

 private:
  [[nodiscard]] Result<> connect();
  [[nodiscard]] net::Task<Result<InnerAnswer>> exchange(const InnerRequest& request,
                                                        const InnerBounds& bounds,
                                                        std::string_view head);
  [[nodiscard]] net::Task<Result<std::string>> read_body(const InnerBounds& bounds);

  net::TaskGroup& group_;
  InnerDoor& door_;
  const InnerPeer peer_;
  std::optional<http::ClientConnection> connection_;
};

}  // namespace headroom::edge
