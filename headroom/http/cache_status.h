// headroom/http/cache_status.h - what our cache did with a request, as a member of Cache-Status (RFC 9211).
//
// Worker: pure. A cache adds its member behind those that came from upstream.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headroom::http {

// Why a request was forwarded; none: it was a hit.
enum class Forwarded : std::uint8_t {
  none,
  bypass,
  method,
  uri_miss,
  vary_miss,
  miss,
  request,
  stale,
  partial
};

struct CacheStatus {
  Forwarded forwarded = Forwarded::none;
  std::uint16_t forwarded_status =
      0;  // fwd-status, where it differs from what the client got; 0: left out
  bool stored = false;
  bool collapsed = false;
  std::optional<std::int64_t> ttl{};  // seconds; may be negative
  std::string_view key{};             // "": left out
  std::string_view detail{};          // the decision's reason; "": left out
};

// Appends "Headroom; hit; ttl=376" or "Headroom; fwd=stale; fwd-status=304; detail=\"...\"". Bytes that a structured string cannot hold
// are replaced by "?".
void append_cache_status(std::string& to, const CacheStatus& status);

}  // namespace headroom::http
