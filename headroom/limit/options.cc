#include "headroom/limit/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "headroom/base/text.h"
#include "headroom/limit/budget.h"

namespace headroom::limit {
namespace {

using config::between;
using config::Rate;
using config::Reload;
using config::satisfying;
using config::Section;

constexpr std::size_t kMostConcurrencyRules = 8;
constexpr std::uint32_t kMostAtOnce = 1'000'000;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view("\"(),/:;<=>?@[\\]{}").find(c) == std::string_view::npos;
  });
}

bool is_subject(const std::string& text) {
  if (text.empty() || text == "user" || text == "address" || text == "all") return true;
  return (text.starts_with("cookie:") || text.starts_with("header:")) &&
         is_token(std::string_view(text).substr(7));
}

bool is_rate(const Rate& rate) {
  return rate.count <= kMostCount && rate.period >= 1ms && rate.period <= kLongestWindow;
}

const auto kName = satisfying("of letters, digits, '.', '-' and '_', at most 64",
                              [](const std::string& text) { return is_name(text); });
const auto kSubject =
    satisfying("such as user, address, all, cookie:session or header:X-API-Key", is_subject);
const auto kRate = satisfying("of at most 1000000000 in 1ms to 31d", is_rate);
const auto kMethod = satisfying("such as POST", [](const std::string& text) {
  return is_token(text) && text != text::lowered(text);
});
const auto kFieldName = satisfying(
    "such as X-API-Key", [](const std::string& text) { return text.empty() || is_token(text); });
const auto kMatchField =
    satisfying("such as X-Client or X-Client: mobile", [](const std::string& text) {
      return text.empty() ||
             is_token(text::trimmed(std::string_view(text).substr(0, text.find(':'))));
    });
const auto kDigest = satisfying("sha256: and 64 hexadecimal digits", [](const std::string& text) {
  return text.starts_with("sha256:") && text.size() == 71 &&
         text.find_first_not_of("0123456789abcdef", 7) == std::string::npos;
});

bool is_cost_key(const std::string& key) {
  const auto slash = std::min(key.find('/'), key.size());
  const std::string method(text::trimmed(std::string_view(key).substr(0, slash)));
  return method.empty() ? slash < key.size() : kMethod.holds(method);
}

std::uint64_t most_at_once(Algorithm algorithm, const std::optional<Rate>& rate,
                           std::uint32_t burst, std::uint32_t at_once) {
  if (algorithm == Algorithm::concurrency) return at_once;
  return algorithm == Algorithm::gcra && burst != 0 ? burst : rate->count;
}

std::string limit_name(Algorithm algorithm) {
  return algorithm == Algorithm::concurrency ? "at_once" : "rate";
}

Result<> check_budget(Algorithm algorithm, const std::optional<Rate>& rate, std::uint32_t burst,
                      std::uint32_t at_once, std::uint64_t cost) {
  const bool given = algorithm == Algorithm::concurrency ? at_once != 0 : rate.has_value();
  if (!given) return fail(Errc::invalid, fmt::format("it needs {}", limit_name(algorithm)));
  if (burst != 0 && algorithm != Algorithm::gcra)
    return fail(Errc::invalid, "burst is for algorithm = \"gcra\"");
  if (at_once != 0 && algorithm != Algorithm::concurrency)
    return fail(Errc::invalid, "at_once is for algorithm = \"concurrency\"");
  const std::uint64_t most = most_at_once(algorithm, rate, burst, at_once);
  if (cost > most)
    return fail(Errc::invalid,
                fmt::format("a request that costs {} would never be allowed: at most {} at once",
                            cost, most));
  if (algorithm == Algorithm::gcra &&
      static_cast<double>(most) / static_cast<double>(rate->count) * seconds(rate->period) >
          seconds(kLongestWindow)) {
    return fail(Errc::invalid, "the burst is more than the rate gives in 31d");
  }
  return {};
}

std::uint64_t highest_cost(const RuleOptions& rule) {
  std::uint64_t most = rule.cost;
  for (const auto& [key, cost] : rule.costs) most = std::max<std::uint64_t>(most, cost);
  return most;
}

Result<> check_tiers(const RuleOptions& rule) {
  double shares = 0;
  for (const TierOptions& tier : rule.tiers) {
    const std::string name = fmt::format("tier '{}'", tier.name);
    if (std::ranges::count(rule.tiers, tier.name, &TierOptions::name) > 1)
      return fail(Errc::invalid, "two tiers are named '" + tier.name + "'");
    if (rule.subject == "all") {
      if (tier.rate || tier.at_once != 0 || tier.burst != 0) {
        return fail(Errc::invalid,
                    name + ": a rule for all has one budget; a tier has a share of it");
      }
    } else {
      if (tier.share != 0) return fail(Errc::invalid, name + ": share is for subject = \"all\"");
      auto checked =
          check_budget(rule.algorithm, tier.rate, tier.burst, tier.at_once, highest_cost(rule));
      if (!checked) return pass(checked, name);
    }
    shares += tier.share;
  }
  if (shares > 1 + 1e-9) return fail(Errc::invalid, "the tiers' shares are more than 1 in all");
  return {};
}

Result<> check_rule(const RuleOptions& given) {
  const RuleOptions rule = with_preset(given);
  for (const auto& [key, cost] : rule.costs) {
    if (!is_cost_key(key))
      return fail(Errc::invalid,
                  fmt::format("costs: '{}' is not such as POST, /reports or POST /reports", key));
  }
  if (auto checked =
          check_budget(rule.algorithm, rule.rate, rule.burst, rule.at_once, highest_cost(rule));
      !checked)
    return checked;
  return check_tiers(rule);
}

Result<> check_limit(const LimitOptions& o) {
  if (o.rules.size() > kMostRules)
    return fail(Errc::invalid, fmt::format("at most {} rules", kMostRules));
  for (const RuleOptions& rule : o.rules) {
    if (std::ranges::count(o.rules, rule.name, &RuleOptions::name) > 1)
      return fail(Errc::invalid, "two rules are named '" + rule.name + "'");
    if (o.address_rate && rule.name == "address_rate")
      return fail(Errc::invalid, "the name 'address_rate' is that of the setting");
  }
  const auto concurrent =
      std::ranges::count(o.rules, Algorithm::concurrency, &RuleOptions::algorithm);
  if (static_cast<std::size_t>(concurrent) > kMostConcurrencyRules) {
    return fail(Errc::invalid, fmt::format("at most {} rules with algorithm = \"concurrency\"",
                                           kMostConcurrencyRules));
  }
  if (o.api_key_header.empty() != o.api_keys.empty())
    return fail(Errc::invalid, "api_key_header and api_keys go together");
  return {};
}

Section<TierOptions> tier_section() {
  Section<TierOptions> s(
      "tiers",
      "A class of users with a budget, or with subject = \"all\" a share of it, of its own.");
  s.required("name", &TierOptions::name, Reload::live,
             "What the tier claim or header says of its users.", kName);
  s.setting("rate", &TierOptions::rate, "", Reload::live, "Instead of the rule's.", kRate);
  s.setting("burst", &TierOptions::burst, "0", Reload::live, "Instead of the rule's.");
  s.setting("at_once", &TierOptions::at_once, "0", Reload::live, "Instead of the rule's.",
            between(0, kMostAtOnce));
  s.setting(
      "share", &TierOptions::share, "0", Reload::live,
      "The part of a rule for all that is kept for this tier; what no tier keeps is for everybody.",
      between(0.0, 1.0));
  s.setting("users", &TierOptions::users, "", Reload::live,
            "Users and names of API keys that are in it whatever their claim says.");
  return s;
}

Section<JwtOptions> jwt_section() {
  Section<JwtOptions> s(
      "jwt",
      "The app's JSON Web Tokens: who a user is, for limits. Only a token that verifies counts.");
  auth::add_jwt_settings(s);
  s.setting("tier_claim", &JwtOptions::tier_claim, "", Reload::live,
            "The claim that holds a user's tier, or a path to it by dots; empty: none.");
  return s;
}

}  // namespace

RuleOptions with_preset(RuleOptions rule) {
  struct Meaning {
    Rate rate;
    const char* subject;
  };
  static constexpr std::array<Meaning, 6> kMeanings{{{{}, "user"},
                                                     {{10, std::chrono::minutes(15)}, "address"},
                                                     {{1000, std::chrono::minutes(15)}, "user"},
                                                     {{10, std::chrono::minutes(1)}, "user"},
                                                     {{50, 5s}, "user"},
                                                     {{100, 1s}, "address"}}};
  const Meaning& meaning = kMeanings[static_cast<std::size_t>(rule.preset)];
  if (rule.subject.empty()) rule.subject = meaning.subject;
  if (!rule.rate && rule.preset != Preset::none && rule.algorithm != Algorithm::concurrency)
    rule.rate = meaning.rate;
  return rule;
}

Result<> check_routes(const LimitOptions& options, const std::vector<std::string>& routes) {
  for (const RuleOptions& rule : options.rules) {
    for (const std::string& route : rule.routes) {
      if (std::ranges::find(routes, route) != routes.end()) continue;
      const auto near = text::nearest(route, routes);
      return fail(Errc::invalid,
                  fmt::format("limit.rules '{}': there is no route '{}'{}", rule.name, route,
                              near ? fmt::format("; did you mean '{}'?", *near)
                                   : "; name it in [[edge.routes]]"));
    }
  }
  return {};
}

const Section<RuleOptions>& rule_section() {
  static const auto section = [] {
    Section<RuleOptions> s("rules",
                           "How often requests of one kind may come from one subject. A request "
                           "must pass every rule that matches it.");
    s.required("name", &RuleOptions::name, Reload::live,
               "What headers, metrics and listings call it.", kName);
    s.setting("preset", &RuleOptions::preset, "none", Reload::live,
              "A rate by name: auth 10/15min by address, api 1000/15min, heavy 10/min and realtime "
              "50/5s by user, address 100/s by address.");
    s.setting("mode", &RuleOptions::mode, "enforce", Reload::live,
              "shadow: counts what it would refuse, and refuses nothing.");
    s.setting("routes", &RuleOptions::routes, "", Reload::live,
              "Names of the [[edge.routes]] it is for; empty: all.");
    s.setting("host", &RuleOptions::host, "", Reload::live,
              "example.org, *.example.org, or empty for every host.");
    s.setting("path", &RuleOptions::path, "/", Reload::live, "A prefix of whole segments.",
              satisfying("that begins with /",
                         [](const std::string& text) { return text.starts_with('/'); }));
    s.setting("methods", &RuleOptions::methods, "", Reload::live, "Methods it is for; empty: all.",
              kMethod);
    s.setting(
        "header", &RuleOptions::header, "", Reload::live,
        "A header that requests it is for have, X-Client, or with its value, X-Client: mobile.",
        kMatchField);
    s.setting(
        "subject", &RuleOptions::subject, "", Reload::live,
        "Who is counted: user, address, cookie:NAME, header:NAME, or all for everybody together; "
        "without the cookie, header or user the address counts. Empty: the preset's, else user.",
        kSubject);
    s.setting("algorithm", &RuleOptions::algorithm, "sliding", Reload::live,
              "sliding: never over the rate in any window; gcra: evenly, with a burst; fixed: "
              "windows that start anew; concurrency: how many at once.");
    s.setting("rate", &RuleOptions::rate, "", Reload::live,
              "How many in what time; empty: the preset's.", kRate);
    s.setting("burst", &RuleOptions::burst, "0", Reload::live,
              "gcra: how many may come at once; 0: as many as the rate counts.");
    s.setting("at_once", &RuleOptions::at_once, "0", Reload::live,
              "concurrency: how many requests may be open.", between(0, kMostAtOnce));
    s.setting("cost", &RuleOptions::cost, "1", Reload::live, "What a request counts as.",
              between(1, 1000000));
    s.setting("costs", &RuleOptions::costs, "", Reload::live,
              "The same by method and path, { \"POST\" = 5, \"/reports\" = 10 }: the longest path, "
              "then the one with a method wins.",
              between(1, 1000000));
    s.setting(
        "max_subjects", &RuleOptions::max_subjects, "100000", Reload::live,
        "Subjects it keeps count of each by itself; see docs/limit.md for what happens beyond.",
        between(16, 10000000));
    s.list("tiers", &RuleOptions::tiers, tier_section(), Reload::live);
    s.check(check_rule);
    return s;
  }();
  return section;
}

const Section<LimitOptions>& limit_section() {
  static const auto section = [] {
    Section<LimitOptions> s("limit", "How often clients may ask.");
    s.setting("enabled", &LimitOptions::enabled, "true", Reload::live, "Off: no rule counts.");
    s.setting("headers", &LimitOptions::headers, "true", Reload::live,
              "Whether answers say how a client stands: RateLimit, RateLimit-Policy.");
    s.setting("address_rate", &LimitOptions::address_rate, "", Reload::live,
              "A rule for all requests by client address, such as 100/s; empty: none.", kRate);
    s.section("jwt", &LimitOptions::jwt, jwt_section());
    s.setting("api_key_header", &LimitOptions::api_key_header, "", Reload::live,
              "The header that holds an API key.", kFieldName);
    s.setting("api_keys", &LimitOptions::api_keys, "", Reload::live,
              "Known API keys, { acme = \"sha256:...\" }: each is a user of that name; unknown "
              "keys are not.",
              kDigest);
    s.setting("tier_header", &LimitOptions::tier_header, "", Reload::live,
              "A header that names a request's tier; believed only from edge.trusted_proxies.",
              kFieldName);
    s.list("rules", &LimitOptions::rules, rule_section(), Reload::live);
    s.alias("NGINX_RATE_LIMIT", "address_rate");
    s.alias("ENABLE_RATE_LIMITING", "enabled");
    s.check(check_limit);
    return s;
  }();
  return section;
}

}  // namespace headroom::limit
