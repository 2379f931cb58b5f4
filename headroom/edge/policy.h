#pragma once
#include <optional>
#include "headroom/edge/options.h"
#include "headroom/http/exchange.h"
namespace headroom::edge {
struct Door2 { bool tls; std::uint16_t port; };
struct Vars { std::string client_ip; std::string_view request_id, host, scheme; };
class RoutePolicy {
 public:
  static Result<RoutePolicy> compile(const RouteOptions&) { return RoutePolicy(); }
  bool active() const { return false; }
  std::optional<http::Reply> early_reply(const http::RequestHead&, Door2) const { return {}; }
  std::string target(const http::RequestHead& h) const { return std::string(h.path_and_query); }
  bool keeps_request_field(const http::Field&) const { return true; }
  bool keeps_response_field(const http::Field&) const { return true; }
  void append_request_lines(std::string&, const Vars&) const {}
  void append_response_lines(std::string&, const http::RequestHead&, bool) const {}
};
}
