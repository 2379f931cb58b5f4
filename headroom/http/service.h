// headroom/http/service.h - what answers requests: the proxy, the admin API, the hub.
#pragma once

#include <string_view>

#include "headroom/net/task.h"

namespace headroom::http {

class Exchange;

class Service {
 public:
  virtual ~Service() = default;

  // Answers one request. The exchange holds until the returned task ends. A service that leaves the answer unbegun gets a 500 written for it;
  // one that leaves it unfinished gets the connection closed.
  [[nodiscard]] virtual net::Task<> serve(Exchange& exchange) = 0;

  // Of a path that is hosted (Edge::host): whether this request is the service's; if not, it goes where it would without the service.
  [[nodiscard]] virtual bool takes(const Exchange& /*exchange*/) const { return true; }

  // A request that never became one (bad framing, too large, too slow): it is answered with `status` and the connection closes. For counting.
  virtual void refused(Exchange& /*exchange*/, unsigned /*status*/, std::string_view /*reason*/) {}
};

}  // namespace headroom::http
