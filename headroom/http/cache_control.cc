#include "headroom/http/cache_control.h"

#include <algorithm>
#include <array>
#include <string>

#include "headroom/base/text.h"
#include "headroom/http/structured.h"

namespace headroom::http {
namespace {

using text::equal_ignoring_case;

struct Directive {
  std::string_view name;
  std::string_view argument;  // without its quotes
  bool has_argument = false;
  bool broken = false;  // white space around "=", or something behind a quoted string
};

// How long the directive at the front is: to the first comma outside quotes.
struct Extent {
  std::size_t size = 0;
  bool unterminated = false;
};
Extent extent_of(std::string_view text) {
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (quoted && text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      quoted = !quoted;
    } else if (text[at] == ',' && !quoted) {
      return {at, false};
    }
  }
  return {text.size(), quoted};
}

Directive directive_of(std::string_view text) {
  Directive directive;
  const std::size_t equals = std::min(text.find('='), text.size());
  directive.name = text::trimmed(text.substr(0, equals));
  if (equals == text.size()) return directive;
  directive.has_argument = true;
  const std::string_view argument = text.substr(equals + 1);
  directive.argument = text::trimmed(argument);
  directive.broken =
      directive.name.size() != equals || argument.size() != directive.argument.size();
  if (directive.argument.size() >= 2 && directive.argument.starts_with('"') &&
      directive.argument.ends_with('"'))
    directive.argument = directive.argument.substr(1, directive.argument.size() - 2);
  return directive;
}

// Calls `see` for each directive; false when a quoted string does not end.
template <class See>
bool each_directive(std::string_view value, See see) {
  while (!value.empty()) {
    const Extent extent = extent_of(value);
    const std::string_view text = text::trimmed(value.substr(0, extent.size));
    if (extent.unterminated) return false;
    if (!text.empty()) see(directive_of(text));
    value.remove_prefix(std::min(extent.size + 1, value.size()));
  }
  return true;
}

std::optional<std::uint32_t> seconds_of(const Directive& directive) {
  const std::string_view digits = directive.argument;
  const bool fine = !directive.broken && !digits.empty() &&
                    std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  if (!fine) return std::nullopt;
  // All digits: what does not fit is more than we count.
  const std::uint64_t value = text::to_u64(digits).value_or(CacheControl::kMostSeconds);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, CacheControl::kMostSeconds));
}

// kNone is the largest number, so the smaller one is the one that is there.
void add_smaller(std::uint32_t& to, std::uint32_t value) { to = std::min(to, value); }

struct Flag {
  std::string_view name;
  bool CacheControl::* member;
};
constexpr std::array kFlags{
    Flag{"no-store", &CacheControl::no_store},
    Flag{"public", &CacheControl::is_public},
    Flag{"must-revalidate", &CacheControl::must_revalidate},
    Flag{"proxy-revalidate", &CacheControl::proxy_revalidate},
    Flag{"must-understand", &CacheControl::must_understand},
    Flag{"no-transform", &CacheControl::no_transform},
    Flag{"immutable", &CacheControl::immutable},
    Flag{"only-if-cached", &CacheControl::only_if_cached},
};

struct Seconds {
  std::string_view name;
  std::uint32_t CacheControl::* member;
};
// What is no number is 0 for all of these: nothing is fresh or may be stale by it.
constexpr std::array kSeconds{
    Seconds{"max-age", &CacheControl::max_age},
    Seconds{"s-maxage", &CacheControl::s_maxage},
    Seconds{"stale-while-revalidate", &CacheControl::stale_while_revalidate},
    Seconds{"stale-if-error", &CacheControl::stale_if_error},
};

void add_request_limit(const Directive& directive, CacheControl& to) {
  if (equal_ignoring_case(directive.name, "max-stale"))
    add_smaller(to.max_stale, directive.has_argument ? seconds_of(directive).value_or(0)
                                                     : CacheControl::kMostSeconds);
  if (equal_ignoring_case(directive.name, "min-fresh")) {
    const std::uint32_t value = seconds_of(directive).value_or(0);
    to.min_fresh = to.min_fresh == CacheControl::kNone ? value : std::max(to.min_fresh, value);
  }
}

void add_directive(const Directive& directive, CacheControl& to) {
  const bool has_names = !text::trimmed(directive.argument).empty();
  if (equal_ignoring_case(directive.name, "no-cache"))
    return void((has_names ? to.withholds_fields : to.no_cache) = true);
  if (equal_ignoring_case(directive.name, "private"))
    return void((has_names ? to.withholds_fields : to.is_private) = true);
  for (const Flag& flag : kFlags) {
    if (equal_ignoring_case(directive.name, flag.name)) return void(to.*flag.member = true);
  }
  for (const Seconds& seconds : kSeconds) {
    if (equal_ignoring_case(directive.name, seconds.name))
      return add_smaller(to.*seconds.member, seconds_of(directive).value_or(0));
  }
  add_request_limit(directive, to);
}

bool pragma_says_no_cache(const Head& head) {
  bool found = false;
  for (const Field& field : head.fields) {
    if (field.id != Name::pragma) continue;
    each_directive(field.value, [&](const Directive& directive) {
      found = found || equal_ignoring_case(directive.name, "no-cache");
    });
  }
  return found;
}

CacheControl directives_in(const Head& head) {
  CacheControl directives;
  if (head.has(Name::cache_control)) {
    for (const Field& field : head.fields) {
      if (field.id == Name::cache_control) add_cache_control(field.value, directives);
    }
  } else if (head.has(Name::pragma)) {
    directives.no_cache = pragma_says_no_cache(head);
  }
  return directives;
}

// A member of the wrong type is ignored (RFC 9213 2.1); no-cache and private with names are taken whole.
void add_targeted(const structured::Member& member, CacheControl& to) {
  using structured::Kind;
  const structured::Value& value = member.value;
  const bool is_on = value.kind == Kind::boolean ? value.integer != 0 : value.kind == Kind::string;
  if (member.key == "no-cache") return void(to.no_cache = is_on);
  if (member.key == "private") return void(to.is_private = is_on);
  for (const Flag& flag : kFlags) {
    if (member.key == flag.name)
      return void(to.*flag.member = value.kind == Kind::boolean && is_on);
  }
  for (const Seconds& seconds : kSeconds) {
    if (member.key != seconds.name || value.kind != Kind::integer || value.integer < 0) continue;
    to.*seconds.member = static_cast<std::uint32_t>(
        std::min<std::int64_t>(value.integer, CacheControl::kMostSeconds));
  }
}

std::optional<Directives> targeted_directives(const ResponseHead& head) {
  std::string joined;
  for (const Field& field : head.fields) {
    if (field.id == Name::cdn_cache_control && !field.value.empty())
      joined += (joined.empty() ? "" : ",") + std::string(field.value);
  }
  const auto members = structured::parse_dictionary(joined);
  if (!members || members->empty()) return std::nullopt;
  Directives directives;
  directives.targeted = true;
  for (const structured::Member& member : *members) add_targeted(member, directives);
  return directives;
}

}  // namespace

void add_cache_control(std::string_view value, CacheControl& to) {
  const bool whole =
      each_directive(value, [&](const Directive& directive) { add_directive(directive, to); });
  if (!whole) to.no_store = true;
}

CacheControl request_directives(const RequestHead& head) { return directives_in(head); }

Directives response_directives(const ResponseHead& head) {
  if (head.has(Name::cdn_cache_control)) {
    if (auto directives = targeted_directives(head)) return *directives;
  }
  return {directives_in(head), false};
}

std::vector<std::string_view> withheld_fields(const ResponseHead& head) {
  std::vector<std::string_view> names;
  const auto see = [&names](const Directive& directive) {
    if (!equal_ignoring_case(directive.name, "no-cache") &&
        !equal_ignoring_case(directive.name, "private"))
      return;
    for (const std::string_view name : text::split(directive.argument, ',')) {
      if (!name.empty()) names.push_back(name);
    }
  };
  for (const Field& field : head.fields) {
    if (field.id == Name::cache_control) each_directive(field.value, see);
  }
  return names;
}

}  // namespace headroom::http
