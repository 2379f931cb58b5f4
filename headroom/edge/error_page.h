// headroom/edge/error_page.h - the answers that Headroom makes when no server's can be given.
//
// Invariants: (1) a page says what the caller wrote for people and nothing of what is behind us: no address, no upstream's words; (2) JSON
//   {"error":{"code","message"},"request_id"}, or text where Accept prefers text or HTML to it.
#pragma once

#include <string_view>

#include "headroom/base/clock.h"
#include "headroom/http/exchange.h"

namespace headroom::edge {

struct PageText {
  unsigned status;
  std::string_view code;  // for programs: "upstream_timeout"
  std::string_view message;
  std::string_view id;
  Duration retry_after;  // 0: no Retry-After; else whole seconds, rounded up
};

[[nodiscard]] http::Reply error_page(const http::RequestHead& head, const PageText& text);

}  // namespace headroom::edge
