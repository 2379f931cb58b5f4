#include "headroom/limit/rule.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "headroom/base/text.h"
#include "headroom/http/path.h"
#include "headroom/limit/metrics.h"

namespace headroom::limit {
namespace {

Budget budget_of(Algorithm algorithm, const std::optional<config::Rate>& rate, std::uint32_t burst,
                 std::uint32_t at_once) {
  switch (algorithm) {
    case Algorithm::sliding: return Budget::sliding(*rate);
    case Algorithm::gcra: return Budget::gcra(*rate, burst != 0 ? burst : rate->count);
    case Algorithm::fixed: return Budget::fixed(*rate);
    case Algorithm::concurrency: return Budget::concurrency(at_once);
  }
  return {};
}

// The part of what the rule allows, rounded down: the parts never add up to more.
std::uint64_t part(double share, std::uint64_t whole) {
  return static_cast<std::uint64_t>(std::floor(share * static_cast<double>(whole) + 1e-9));
}

// One budget for all: first what no tier keeps, then each tier's part.
std::vector<Budget> shared_budgets(const RuleOptions& o) {
  std::uint64_t left = o.rate ? o.rate->count : o.at_once;
  std::uint64_t burst_left = o.burst;
  std::vector<Budget> budgets(1);
  const auto make = [&](std::uint64_t count, std::uint64_t burst) {
    const auto rate = o.rate ? std::optional(config::Rate{count, o.rate->period}) : std::nullopt;
    return budget_of(o.algorithm, rate, static_cast<std::uint32_t>(burst),
                     static_cast<std::uint32_t>(count));
  };
  const std::uint64_t whole = left;
  for (const TierOptions& tier : o.tiers) {
    const std::uint64_t count = part(tier.share, whole);
    const std::uint64_t burst = part(tier.share, o.burst);
    const bool none = count == 0 || (o.burst != 0 && burst == 0);
    budgets.push_back(none ? Budget::none() : make(count, burst));
    if (none) continue;
    left -= count;
    burst_left -= burst;
  }
  budgets[0] =
      left == 0 || (o.burst != 0 && burst_left == 0) ? Budget::none() : make(left, burst_left);
  return budgets;
}

std::vector<Budget> budgets_of(const RuleOptions& o) {
  if (o.subject == "all") return shared_budgets(o);
  std::vector<Budget> budgets{budget_of(o.algorithm, o.rate, o.burst, o.at_once)};
  for (const TierOptions& tier : o.tiers)
    budgets.push_back(budget_of(o.algorithm, tier.rate, tier.burst, tier.at_once));
  return budgets;
}

SubjectKind kind_of(std::string_view subject) {
  if (subject == "user") return SubjectKind::user;
  if (subject == "all") return SubjectKind::all;
  if (subject.starts_with("cookie:")) return SubjectKind::cookie;
  if (subject.starts_with("header:")) return SubjectKind::header;
  return SubjectKind::address;
}

Rule::Cost cost_from(std::string_view key, std::uint64_t cost) {
  const auto slash = std::min(key.find('/'), key.size());
  return {std::string(text::trimmed(key.substr(0, slash))), std::string(key.substr(slash)), cost};
}

}  // namespace

Counters::Counters(const RuleOptions& given, metrics::Registry& registry)
    : options(given),
      subjects(budgets_of(given),
               given.subject == "all" ? given.tiers.size() + 1 : given.max_subjects),
      gauge(registry.gauge(kSubjects, {given.name},
                           [this] { return static_cast<double>(subjects.size()); })) {}

bool Counters::same(const RuleOptions& a, const RuleOptions& b) {
  const auto counted = [](const RuleOptions& o) {
    return std::tie(o.name, o.subject, o.algorithm, o.rate, o.burst, o.at_once, o.tiers,
                    o.max_subjects);
  };
  return counted(a) == counted(b);
}

Rule::Rule(RuleOptions given, std::shared_ptr<Counters> counts, metrics::Registry& registry)
    : options(std::move(given)),
      kind(kind_of(options.subject)),
      counters(std::move(counts)),
      allowed(registry.counter(kAllowed, {options.name})),
      refused(registry.counter(kRefused, {options.name})),
      shadow_refused(registry.counter(kShadowRefused, {options.name})),
      shared(registry.counter(kShared, {options.name})),
      evicted(registry.counter(kEvicted, {options.name})) {
  if (kind == SubjectKind::cookie || kind == SubjectKind::header) field = options.subject.substr(7);
  host = options.host.starts_with("*.") ? options.host.substr(1) : options.host;
  const auto colon = std::min(options.header.find(':'), options.header.size());
  header = text::trimmed(std::string_view(options.header).substr(0, colon));
  if (colon < options.header.size())
    header_value = text::trimmed(std::string_view(options.header).substr(colon + 1));
  for (const auto& [key, cost] : options.costs) costs.push_back(cost_from(key, cost));
  std::ranges::sort(costs, std::greater{},
                    [](const Cost& c) { return std::pair(c.path.size(), c.method.size()); });
}

bool Rule::matches(const Asked& asked) const {
  const auto listed = [](const std::vector<std::string>& list, std::string_view item) {
    return list.empty() || std::ranges::find(list, item) != list.end();
  };
  if (!http::path_is_under(options.path, asked.path) || !http::host_matches(host, asked.host))
    return false;
  if (!listed(options.routes, asked.route) || !listed(options.methods, asked.head.method_text))
    return false;
  if (header.empty()) return true;
  const http::Field* found = asked.head.find(header);
  return found != nullptr && (!header_value || found->value == *header_value);
}

std::uint64_t Rule::cost_of(const Asked& asked) const {
  for (const Cost& c : costs) {
    const bool method = c.method.empty() || c.method == asked.head.method_text;
    if (method && (c.path.empty() || http::path_is_under(c.path, asked.path))) return c.cost;
  }
  return options.cost;
}

std::uint8_t Rule::tier_of(std::string_view user, std::string_view tier) const {
  std::uint8_t named = 0;
  for (std::size_t i = 0; i < options.tiers.size(); ++i) {
    const TierOptions& candidate = options.tiers[i];
    if (!user.empty() && std::ranges::find(candidate.users, user) != candidate.users.end())
      return static_cast<std::uint8_t>(i + 1);
    if (!tier.empty() && candidate.name == tier) named = static_cast<std::uint8_t>(i + 1);
  }
  return named;
}

}  // namespace headroom::limit
