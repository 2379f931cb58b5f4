// headroom/http/server.h - the server side of HTTP/1.1: connections that read requests and let a Service answer them, in order.
//
// Owns: its connections, each one task of the group. Borrows: the Service, the group, the SSL_CTX of each handshake.
// Worker: one Server per worker and door.
// Invariants: (1) requests of a connection are answered one after the other; (2) a connection whose framing is in doubt is answered once and
//   closed; (3) an idle connection holds no buffer after a second; (4) drain() lets running answers end and says "Connection: close".
// Limits: ServerOptions; each wait has a deadline.
#pragma once

#include <functional>
#include <memory>

#include "headroom/base/address.h"
#include "headroom/http/exchange.h"
#include "headroom/http/parser.h"
#include "headroom/http/service.h"
#include "headroom/net/listener.h"

namespace headroom::http {

struct ServerOptions {
  HeadLimits head;
  Duration header_timeout = 10s;      // from the first byte of a head to its end
  Duration keep_alive_timeout = 75s;  // between two requests
  Duration write_timeout = 60s;       // without progress
  std::uint64_t body_limit = 10U << 20U;
  BodyPace body;
  std::uint64_t requests_per_connection = 0;  // 0 = any
  bool accept_proxy_protocol = false;
  std::vector<Cidr> trusted_proxies;  // whose PROXY header is believed; that of others is only read
  std::string server_name = "headroom";
};

class ServerConnection;

class Server {
 public:
  // `tls` gives the context of a new connection, or nullptr for plain ones.
  Server(net::TaskGroup& group, Service& service, std::shared_ptr<const ServerOptions> options,
         std::function<SSL_CTX*()> tls = {});
  ~Server();

  // Serves a connection until it ends. `ended` is called when it has.
  void take(net::Listener::Accepted accepted, std::move_only_function<void()> ended = {});

  // The same for a connection of our own, one end of a Unix socket pair (non-blocking; belongs to the server): what comes on it is asked
  // for `peer`. No PROXY header, no TLS.
  void take_inner(int fd, Peer peer, std::move_only_function<void()> ended = {});

  // For connections and requests from now on.
  void set_options(std::shared_ptr<const ServerOptions> options) { options_ = std::move(options); }
  [[nodiscard]] const std::shared_ptr<const ServerOptions>& options() const { return options_; }

  // No more keep-alive: idle connections close, others after their answer.
  void drain();
  [[nodiscard]] bool draining() const { return draining_; }
  // Makes room where connections are few: ends the one that was opened first of those whose next request is not here whole.
  void end_oldest_waiting();
  [[nodiscard]] std::size_t open() const { return open_; }

 private:
  friend class ServerConnection;
  void spawn(int fd, int family, Peer peer, std::move_only_function<void()> ended);

  net::TaskGroup& group_;
  Service& service_;
  std::shared_ptr<const ServerOptions> options_;
  std::function<SSL_CTX*()> tls_;
  ServerConnection* connections_ = nullptr;  // all open ones
  DateText date_;
  std::size_t open_ = 0;
  bool draining_ = false;
};

}  // namespace headroom::http
