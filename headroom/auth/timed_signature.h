// headroom/auth/timed_signature.h - the field by which who is called knows that the call is Headroom's, and of when.
//
//   t=<seconds since 1970>,v1=<hex HMAC-SHA256 of "<t>.<body>">
//
// Owns: nothing. Worker and threads: any. Limits: none of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace headroom::auth {

[[nodiscard]] std::string timed_signature(std::string_view secret, std::string_view body,
                                          std::int64_t unix_seconds);

}  // namespace headroom::auth
