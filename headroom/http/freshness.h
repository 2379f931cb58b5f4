// headroom/http/freshness.h - how old a stored response is, how long it is fresh, and whether a request may have it (RFC 9111 4.2, 5861).
//
// Worker: pure. Freshness is what is kept with a stored object: plain numbers, no views, fit to be written to disk as it is.
// Invariants: (1) what must-revalidate, proxy-revalidate, s-maxage or no-cache forbid is never served stale, whatever windows are set;
//   (2) an Age or Expires that cannot be read makes the response stale, never fresh.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "headroom/base/clock.h"
#include "headroom/http/cache_control.h"
#include "headroom/http/message.h"

namespace headroom::http {

// What a route or setting adds to the rules of the RFC.
struct FreshnessRules {
  std::uint32_t heuristic_cap = 24 * 3600;           // seconds; 0: no heuristic freshness
  std::uint32_t default_stale_while_revalidate = 0;  // where the response does not say
  std::uint32_t default_stale_if_error = 0;
  // RFC 9111 5.2.2.10 gives s-maxage the meaning of proxy-revalidate. false: explicit stale windows count beside s-maxage.
  bool s_maxage_forbids_stale = true;
};

struct Freshness {
  std::int64_t date = 0;          // Unix seconds: Date, else when it arrived
  std::int64_t stored_at = 0;     // Unix seconds: when it arrived, or was last validated
  std::uint32_t initial_age = 0;  // corrected_initial_age of RFC 9111 4.2.3
  std::uint32_t lifetime = 0;
  std::uint32_t stale_while_revalidate = 0;
  std::uint32_t stale_if_error = 0;
  bool heuristic = false;    // lifetime was guessed from Last-Modified
  bool no_cache = false;     // each use must be validated
  bool never_stale = false;  // must-revalidate and its kin
  bool for_all =
      false;  // public, s-maxage or CDN-Cache-Control: max-age: also for requests with cookies
  bool for_authorized = false;  // public, s-maxage or must-revalidate (RFC 9111 3.5)
  bool operator==(const Freshness&) const = default;
};
static_assert(std::is_trivially_copyable_v<Freshness>);

struct Arrival {
  std::int64_t now = 0;  // Unix seconds, when the head arrived
  Duration delay{};      // since the request was sent
};

// 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501 (RFC 9110 15.1).
[[nodiscard]] bool is_heuristically_cacheable(std::uint16_t status);

// For a response as it arrived, and anew after a 304 with the merged head and the 304's arrival.
[[nodiscard]] Freshness freshness_of(const ResponseHead& head, const Directives& directives,
                                     const Arrival& arrival, const FreshnessRules& rules = {});

// current_age, for the Age field too. Never negative, also when the clock was set back.
[[nodiscard]] std::uint32_t age_at(const Freshness& stored, std::int64_t now);
// Seconds it is still fresh; negative: since when it is stale. Cache-Status's ttl.
[[nodiscard]] std::int64_t remaining_at(const Freshness& stored, std::int64_t now);

enum class Use : std::uint8_t {
  serve,
  serve_and_refresh,  // stale-while-revalidate: serve it and validate in the background
  validate            // ask the server first
};
// `request`: the request's directives; {} where clients have no say.
[[nodiscard]] Use use_of(const Freshness& stored, std::int64_t now,
                         const CacheControl& request = {});

// Whether it may be served because the server failed (stale-if-error, RFC 5861 4; of the response or of the request).
[[nodiscard]] bool may_serve_on_error(const Freshness& stored, std::int64_t now,
                                      const CacheControl& request = {});

}  // namespace headroom::http
