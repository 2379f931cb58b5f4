#pragma once
#include "headroom/http/exchange.h"
namespace headroom::edge {
struct PageText { unsigned status; std::string_view code, message, id; Duration retry_after; };
inline http::Reply error_page(const http::RequestHead&, const PageText& t) {
  http::Reply r; r.status = t.status; r.body = "{\"error\":{\"code\":\"" + std::string(t.code) + "\",\"message\":\"" + std::string(t.message) + "\"}}";
  if (t.retry_after.count() > 0) r.fields = "Retry-After: 1\r\n";
  return r;
}
}
