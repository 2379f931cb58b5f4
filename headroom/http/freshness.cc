#include "headroom/http/freshness.h"

#include <algorithm>

#include "headroom/base/text.h"
#include "headroom/http/date.h"

namespace headroom::http {
namespace {

constexpr std::uint32_t kMost = CacheControl::kMostSeconds;
constexpr std::int64_t kHeuristicShare =
    10;  // a tenth of its age when it was sent (RFC 9111 4.2.2)

std::uint32_t clamped(std::int64_t seconds) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, kMost));
}

std::size_t count_of(const ResponseHead& head, Name name) {
  return static_cast<std::size_t>(std::ranges::count(head.fields, name, &Field::id));
}

// Age must be one number; anything else is as old as can be.
std::uint32_t age_value(const ResponseHead& head) {
  if (!head.has(Name::age)) return 0;
  const std::string_view value = head.value_of(Name::age);
  const bool digits =
      !value.empty() && value.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits || count_of(head, Name::age) != 1) return kMost;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(text::to_u64(value).value_or(kMost), kMost));
}

// Expires - Date; two Expires fields or one that is no date: 0 (RFC 9111 5.3).
std::uint32_t until_expires(const ResponseHead& head, std::int64_t date, std::int64_t now) {
  const auto expires = parse_http_date(head.value_of(Name::expires), now);
  if (!expires || count_of(head, Name::expires) != 1) return 0;
  return clamped(*expires - date);
}

std::uint32_t guessed(const ResponseHead& head, const Directives& directives, std::int64_t date,
                      std::int64_t now, const FreshnessRules& rules) {
  if (!is_heuristically_cacheable(head.status) && !directives.is_public) return 0;
  const auto modified = parse_http_date(head.value_of(Name::last_modified), now);
  if (!modified) return 0;
  return std::min(clamped((date - *modified) / kHeuristicShare), rules.heuristic_cap);
}

struct Lifetime {
  std::uint32_t seconds = 0;
  bool heuristic = false;
};

Lifetime lifetime_of(const ResponseHead& head, const Directives& directives, std::int64_t date,
                     std::int64_t now, const FreshnessRules& rules) {
  if (directives.s_maxage != CacheControl::kNone) return {directives.s_maxage};
  if (directives.max_age != CacheControl::kNone) return {directives.max_age};
  if (!directives.targeted && head.has(Name::expires)) return {until_expires(head, date, now)};
  if (directives.no_cache) return {};
  return {guessed(head, directives, date, now, rules), true};
}

std::uint32_t or_else(std::uint32_t said, std::uint32_t otherwise) {
  return said == CacheControl::kNone ? otherwise : said;
}

}  // namespace

bool is_heuristically_cacheable(std::uint16_t status) {
  switch (status) {
    case 200:
    case 203:
    case 204:
    case 206:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501: return true;
    default: return false;
  }
}

Freshness freshness_of(const ResponseHead& head, const Directives& directives,
                       const Arrival& arrival, const FreshnessRules& rules) {
  const auto date = parse_http_date(head.value_of(Name::date), arrival.now);
  const bool has_s_maxage = directives.s_maxage != CacheControl::kNone;
  Freshness made;
  made.date = date.value_or(arrival.now);
  made.stored_at = arrival.now;
  const auto delay = std::chrono::floor<std::chrono::seconds>(arrival.delay).count();
  const std::uint32_t corrected = clamped(std::int64_t{age_value(head)} + delay);
  made.initial_age = std::max(clamped(arrival.now - made.date), corrected);
  const Lifetime lifetime = lifetime_of(head, directives, made.date, arrival.now, rules);
  made.lifetime = lifetime.seconds;
  made.heuristic = lifetime.heuristic && lifetime.seconds > 0;
  made.stale_while_revalidate =
      or_else(directives.stale_while_revalidate, rules.default_stale_while_revalidate);
  made.stale_if_error = or_else(directives.stale_if_error, rules.default_stale_if_error);
  made.no_cache = directives.no_cache;
  made.never_stale = directives.must_revalidate || directives.proxy_revalidate ||
                     directives.no_cache || (has_s_maxage && rules.s_maxage_forbids_stale);
  const bool is_for_cdns = directives.targeted && directives.max_age != CacheControl::kNone;
  made.for_all = directives.is_public || has_s_maxage || is_for_cdns;
  made.for_authorized = directives.is_public || has_s_maxage || directives.must_revalidate;
  return made;
}

std::uint32_t age_at(const Freshness& stored, std::int64_t now) {
  return clamped(std::int64_t{stored.initial_age} +
                 std::max<std::int64_t>(0, now - stored.stored_at));
}

std::int64_t remaining_at(const Freshness& stored, std::int64_t now) {
  return std::int64_t{stored.lifetime} - age_at(stored, now);
}

Use use_of(const Freshness& stored, std::int64_t now, const CacheControl& request) {
  if (stored.no_cache || request.no_cache) return Use::validate;
  const std::int64_t remaining = remaining_at(stored, now);
  if (age_at(stored, now) > request.max_age || request.max_age == 0) return Use::validate;
  if (request.min_fresh != CacheControl::kNone && remaining < std::int64_t{request.min_fresh})
    return Use::validate;
  if (remaining > 0) return Use::serve;
  if (stored.never_stale) return Use::validate;
  if (request.max_stale != CacheControl::kNone && -remaining <= std::int64_t{request.max_stale})
    return Use::serve;
  if (-remaining < std::int64_t{stored.stale_while_revalidate}) return Use::serve_and_refresh;
  return Use::validate;
}

bool may_serve_on_error(const Freshness& stored, std::int64_t now, const CacheControl& request) {
  const std::int64_t remaining = remaining_at(stored, now);
  if (stored.no_cache || (stored.never_stale && remaining <= 0)) return false;
  const std::uint32_t asked =
      request.stale_if_error == CacheControl::kNone ? 0 : request.stale_if_error;
  return remaining > 0 || -remaining < std::int64_t{std::max(stored.stale_if_error, asked)};
}

}  // namespace headroom::http
