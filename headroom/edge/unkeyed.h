// headroom/edge/unkeyed.h - request fields by which somebody other than the client's URL tells an app what is asked: a cache must know them.
//
// Worker: pure. Names are compared as apps read them: any case, `_` as `-` (RFC 3875 4.1.18).
#pragma once

#include <string_view>

#include "headroom/http/message.h"

namespace headroom::edge {

enum class Unkeyed : std::uint8_t {
  no,
  override_target,  // another target, host or method than the request's own: never kept with an answer, whoever sends it
  told_by_proxy,  // of the way here (prefix, scheme, user): from a trusted proxy part of a page's key, from others left out
  client_address,  // from a trusted proxy passed on, as X-Forwarded-For is; from others left out
};
[[nodiscard]] Unkeyed unkeyed(const http::Field& field);

}  // namespace headroom::edge
