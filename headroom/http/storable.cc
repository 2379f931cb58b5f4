#include "headroom/http/storable.h"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>

#include "headroom/base/text.h"
#include "headroom/http/writer.h"

namespace headroom::http {
namespace {

constexpr Decision yes(const char* why) { return {true, why}; }
constexpr Decision no(const char* why) { return {false, why}; }

bool is_understood(std::uint16_t status) {
  return status >= 200 && status != 206 && status != 304 && reason_of(status) != "Unknown";
}

// RFC 9111 3: one of these must be there.
bool has_leave(const ResponseHead& response, const Directives& directives) {
  return directives.is_public || directives.max_age != CacheControl::kNone ||
         directives.s_maxage != CacheControl::kNone || directives.targeted ||
         response.has(Name::expires) || is_heuristically_cacheable(response.status);
}

bool is_useful(const ResponseHead& response, const Freshness& freshness) {
  if (freshness.lifetime > freshness.initial_age && !freshness.no_cache) return true;
  if (response.has(Name::etag) || response.has(Name::last_modified)) return true;
  return !freshness.never_stale &&
         (freshness.stale_while_revalidate > 0 || freshness.stale_if_error > 0);
}

bool varies_on_everything(const ResponseHead& response) {
  if (!response.has(Name::vary)) return false;
  return std::ranges::any_of(response.fields, [](const Field& field) {
    return field.id == Name::vary && std::ranges::count(text::split(field.value, ','), "*") > 0;
  });
}

Decision by_status(const ResponseHead& response, const Directives& directives) {
  if (response.status < 200) return no("informational (RFC 9111 3)");
  if (response.status == 206) return no("a part only (RFC 9111 3.3)");
  if (response.status == 304) return no("304 answers a validation (RFC 9111 4.3)");
  if (directives.must_understand && !is_understood(response.status))
    return no("must-understand, status unknown (RFC 9111 5.2.2.3)");
  return yes("");
}

// Freshness that was not guessed from public alone: 5.2.2.3 lets must-understand override no-store.
bool forbids_storing(const ResponseHead& response, const Directives& directives) {
  return directives.no_store && !(directives.must_understand && is_understood(response.status));
}

boost::system::result<boost::urls::url> resolved(const boost::urls::url& base,
                                                 std::string_view reference) {
  const auto parsed = boost::urls::parse_uri_reference(reference);
  if (!parsed) return parsed.error();
  boost::urls::url target;
  if (const auto done = boost::urls::resolve(base, *parsed, target); !done) return done.error();
  return target;
}

std::string_view port_of(const boost::urls::url& url) {
  if (!url.port().empty()) return {url.port().data(), url.port().size()};
  return url.scheme_id() == boost::urls::scheme::https ? "443" : "80";
}

bool is_same_origin(const boost::urls::url& a, const boost::urls::url& b) {
  return a.scheme_id() == b.scheme_id() && port_of(a) == port_of(b) &&
         text::equal_ignoring_case(std::string_view(a.encoded_host()),
                                   std::string_view(b.encoded_host()));
}

// Whether the request carries what may make the answer one user's own, and the key knows nothing of it.
bool has_unknown_cookie(const RequestHead& request, const StoreRules& rules) {
  return request.has(Name::cookie) && !rules.ignore_cookies && !rules.holds_cookie;
}
bool has_unknown_authorization(const RequestHead& request, const StoreRules& rules) {
  return request.has(Name::authorization) && !rules.holds_authorization;
}
bool is_users_own(const RequestHead& request, const StoreRules& rules) {
  return rules.holds_user && !has_unknown_cookie(request, rules) &&
         !has_unknown_authorization(request, rules);
}

}  // namespace

Decision is_cacheable(const RequestHead& request, const CacheControl& directives) {
  if (request.method != Method::get && request.method != Method::head)
    return no("method (RFC 9111 3)");
  if (request.body == Body::chunked || (request.body != Body::none && request.content_length != 0))
    return no("the request has a body");
  if (directives.no_store) return no("the request says no-store (RFC 9111 5.2.1.5)");
  return yes("");
}

Decision may_coalesce(const RequestHead& request, const Freshness* known, const StoreRules& rules) {
  if (known != nullptr) return may_answer(request, *known, rules);
  if (has_unknown_cookie(request, rules)) return no("the request has a Cookie");
  if (has_unknown_authorization(request, rules))
    return no("the request has Authorization (RFC 9111 3.5)");
  return yes("");
}

Decision storable(const RequestHead& request, const ResponseHead& response,
                  const Directives& directives, const Freshness& freshness,
                  const StoreRules& rules) {
  if (forbids_storing(response, directives)) return no("no-store (RFC 9111 5.2.2.5)");
  if (directives.is_private && !is_users_own(request, rules))
    return no("private (RFC 9111 5.2.2.7)");
  if (const Decision status = by_status(response, directives); !status) return status;
  if (varies_on_everything(response)) return no("Vary: * (RFC 9111 4.1)");
  if (has_unknown_authorization(request, rules) && !freshness.for_authorized)
    return no("Authorization without public, s-maxage or must-revalidate (RFC 9111 3.5)");
  if (has_unknown_cookie(request, rules) && !freshness.for_all)
    return no("the request has a Cookie and the response is not public");
  if (response.has(Name::set_cookie) && !rules.store_set_cookie && !rules.ignore_cookies &&
      !freshness.for_all)
    return no("Set-Cookie and the response is not public");
  if (!has_leave(response, directives))
    return no("no explicit freshness, status not heuristically cacheable (RFC 9111 3)");
  if (!is_useful(response, freshness))
    return no("neither fresh nor with a validator (RFC 9111 4.2)");
  return yes(freshness.heuristic ? "heuristic freshness (RFC 9111 4.2.2)"
                                 : "explicit (RFC 9111 3)");
}

Decision may_answer(const RequestHead& request, const Freshness& stored, const StoreRules& rules) {
  if (has_unknown_cookie(request, rules) && !stored.for_all)
    return no("the request has a Cookie and what is stored is not public");
  if (has_unknown_authorization(request, rules) && !stored.for_authorized)
    return no("the request has Authorization and what is stored is not public");
  return yes("");
}

bool invalidates(const RequestHead& request, std::uint16_t status) {
  return !is_safe(request.method) && status >= 200 && status < 400;
}

std::vector<std::string> also_invalidated(const RequestHead& request, const ResponseHead& response,
                                          std::string_view scheme) {
  std::vector<std::string> targets;
  const std::string root = std::string(scheme) + "://" + text::lowered(request.authority) + "/";
  const std::string own = root.substr(0, root.size() - 1) + std::string(request.path_and_query);
  auto parsed = boost::urls::parse_uri(own);
  // Clients may ask for more than a URL may hold: then only references from the root mean something.
  if (!parsed) parsed = boost::urls::parse_uri(root);
  if (!parsed) return targets;
  const boost::urls::url base(*parsed);
  for (const Name name : {Name::location, Name::content_location}) {
    if (!response.has(name)) continue;
    const auto target = resolved(base, response.value_of(name));
    if (!target || !is_same_origin(*target, base)) continue;
    std::string path(target->encoded_resource());
    path.resize(std::min(path.find('#'), path.size()));
    if (!path.starts_with('/')) path.insert(0, "/");
    if (std::ranges::find(targets, path) == targets.end()) targets.push_back(std::move(path));
  }
  return targets;
}

}  // namespace headroom::http
