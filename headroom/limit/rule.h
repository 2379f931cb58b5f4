// headroom/limit/rule.h - one rule made ready: which requests it is for, what they cost, in whose name they are counted.
//
// Owns: its settings, a share of its counts. Worker: read by all; nothing changes after it is made but the counts.
// Invariants: (1) the tier of a request is the first that its user is listed in, else the one its claim or trusted header names, else none.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/limit/rules.h"

namespace headroom::limit {

// What a rule has counted; a reload hands it on.
struct Counters {
  Counters(const RuleOptions& options, metrics::Registry& registry);
  // Whether counts made under one are right under the other.
  static bool same(const RuleOptions& a, const RuleOptions& b);

  const RuleOptions options;
  Subjects subjects;
  metrics::GaugeHandle gauge;
};

enum class SubjectKind : std::uint8_t { user, address, all, cookie, header };

struct Rule {
  Rule(RuleOptions given, std::shared_ptr<Counters> counts, metrics::Registry& registry);

  [[nodiscard]] bool matches(const Asked& asked) const;
  [[nodiscard]] std::uint64_t cost_of(const Asked& asked) const;
  [[nodiscard]] bool needs_user() const {
    return kind == SubjectKind::user || !options.tiers.empty();
  }
  // 0: none of them.
  [[nodiscard]] std::uint8_t tier_of(std::string_view user, std::string_view tier) const;
  [[nodiscard]] bool enforced() const { return options.mode == Mode::enforce; }

  RuleOptions options;
  SubjectKind kind{};
  std::string field;  // of the cookie or header
  std::string host;   // "*.example.org" as ".example.org"
  std::string header;
  std::optional<std::string> header_value;
  struct Cost {
    std::string method, path;
    std::uint64_t cost;
  };
  std::vector<Cost> costs;  // the most specific first
  std::shared_ptr<Counters> counters;
  metrics::Counter& allowed;
  metrics::Counter& refused;
  metrics::Counter& shadow_refused;
  metrics::Counter& shared;
  metrics::Counter& evicted;
};

}  // namespace headroom::limit
