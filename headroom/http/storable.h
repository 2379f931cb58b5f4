// headroom/http/storable.h - what a shared cache may store, whom it may give it to, and what an unsafe request invalidates (RFC 9111 3, 4.4).
//
// Worker: pure. Each decision says why, with the section it follows, for logs, Cache-Status and tests.
// Invariants: (1) nothing is stored that the RFC forbids a shared cache to store; (2) the house rule: one user's page is never another's. A
//   request with a Cookie is neither stored, answered nor coalesced unless the response is for all (public, s-maxage, CDN-Cache-Control: max-age) or
//   the route ignores cookies; the same for Authorization, by the rule of RFC 9111 3.5. Where the key holds who asks, their pages may be kept
//   for them alone, private ones too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/http/cache_control.h"
#include "headroom/http/freshness.h"
#include "headroom/http/message.h"

namespace headroom::http {

struct StoreRules {
  bool ignore_cookies =
      false;  // the route's answers do not depend on Cookie, nor is their Set-Cookie anybody's own
  bool store_set_cookie = false;  // also where the response is not for all
  // What the key holds of the request: then its pages are that user's own, and the cache is as good as their private one.
  bool holds_user = false;
  bool holds_authorization = false;
  bool holds_cookie = false;  // the one that says who asks
};

struct Decision {
  bool allowed = false;
  const char* why = "";  // static, for instance "no-store (RFC 9111 5.2.2.5)"

  explicit operator bool() const { return allowed; }
};

// Before the response is known: whether the request may be looked up and its answer stored: GET or HEAD without a body, not no-store. One
// with a Range is filled by asking for the whole, a HEAD by asking GET.
[[nodiscard]] Decision is_cacheable(const RequestHead& request, const CacheControl& directives);

// Whether requests like this one may wait for one another's answer before it is known: no Cookie (unless ignored), no Authorization.
// `known`: what is stored under the key, for instance stale, or nullptr.
[[nodiscard]] Decision may_coalesce(const RequestHead& request, const Freshness* known,
                                    const StoreRules& rules);

// Whether the response may be stored. It has passed is_cacheable(). Storing for nothing (neither fresh, nor to be validated, nor stale with
// leave) is refused too.
[[nodiscard]] Decision storable(const RequestHead& request, const ResponseHead& response,
                                const Directives& directives, const Freshness& freshness,
                                const StoreRules& rules);

// Whether what is stored may answer this request, apart from its age.
[[nodiscard]] Decision may_answer(const RequestHead& request, const Freshness& stored,
                                  const StoreRules& rules);

// Whether a successful answer to this request invalidates what is stored of its target: an unsafe method, 2xx or 3xx.
[[nodiscard]] bool invalidates(const RequestHead& request, std::uint16_t status);

// The further targets it invalidates, as path_and_query: Location and Content-Location of the same origin, resolved (RFC 3986 5.2). At
// most one of each; what is no reference, or of another origin, is left out.
[[nodiscard]] std::vector<std::string> also_invalidated(const RequestHead& request,
                                                        const ResponseHead& response,
                                                        std::string_view scheme);

}  // namespace headroom::http
