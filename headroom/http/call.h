// headroom/http/call.h - one request to somebody else's server, over a connection of its own: webhooks, callbacks, a CDN's API.
//
// Owns: the connection, for one call. Borrows: the group, the resolver, the TLS contexts. Worker: the group's.
// Invariants: (1) a body that was cut is told from one that is whole (`whole`); (2) nothing follows a redirect.
// Limits: an answer's head of 32 KiB, 64 KiB of its body; the request's timeout for all of it; three addresses of a name.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/http/message.h"
#include "headroom/net/resolver.h"
#include "headroom/net/task_group.h"
#include "headroom/net/tls.h"

namespace headroom::http {

// Where to: "https://api.example.org:8443/hooks".
struct CallAddress {
  std::string host;  // without brackets
  std::uint16_t port = 80;
  std::string authority;  // for Host
  std::string target;     // path and query, "/" where the URL has none
  bool tls = false;
};
// Of an http:// or https:// URL without user or fragment. Errc::invalid.
[[nodiscard]] Result<CallAddress> call_address(std::string_view url);

struct Call {
  Method method = Method::post;
  CallAddress to;
  std::vector<std::pair<std::string, std::string>> fields{};  // without Host and framing
  std::string body{};
  Duration timeout = std::chrono::seconds(10);
};

struct CallAnswer {
  unsigned status = 0;
  std::string retry_after;
  std::string body;
  bool whole = true;
};

// `tls` may be null where the address needs none. Errc::timeout, unavailable, unauthorized (its certificate), protocol, invalid (a field that
// cannot be written), cancelled.
[[nodiscard]] net::Task<Result<CallAnswer>> call(net::TaskGroup& group, net::Resolver& resolver,
                                                 const net::TlsClient* tls, const Call& what);

}  // namespace headroom::http
