// headroom/edge/explain.h - why a request was answered as it was, for an operator who asks by `X-Headroom-Debug: TOKEN`.
//
// The answer then says, in a field of that name and as a dictionary (RFC 9651): the route, the client's address, what the cache decided and
//   under which key, what rate limits said, which server was chosen and how, and how long each phase took. No app ever sees the token.
// Worker: the request's.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "headroom/base/address.h"
#include "headroom/edge/request.h"

namespace headroom::edge {

// Whether who shows this token may ask. Called on the worker of that index.
using MayAsk =
    std::function<bool(std::string_view token, const IpAddress& peer, std::size_t worker)>;

// The field, a whole line.
void append_explanation(const Request& request, std::string& lines);

}  // namespace headroom::edge
