#include "headroom/tasks/backoff.h"

#include <algorithm>
#include <cmath>

namespace headroom::tasks {
namespace {

double without_jitter(const BackoffOptions& rule, double n) {
  const double base = seconds(rule.base);
  switch (rule.formula) {
    case BackoffFormula::constant: return base;
    case BackoffFormula::linear: return base * (n + 1);
    case BackoffFormula::exponential: return base * std::pow(rule.factor, n);
    case BackoffFormula::faktory: break;
  }
  return 0;
}

}  // namespace

std::uint64_t backoff_seconds(std::uint64_t failures_before, Random& random) {
  const std::uint64_t n = std::min<std::uint64_t>(failures_before, 60);
  return std::min(n * n * n * n + 15 + random.below(30) * (n + 1), Backoffs::kLongest);
}

WallTime Backoffs::wait(std::string_view jobtype, std::uint64_t failures_before,
                        Random& random) const {
  const auto rule = std::ranges::find_if(rules_, [&](const BackoffOptions& each) {
    return each.jobtype == jobtype || each.jobtype == "*";
  });
  if (rule == rules_.end() || rule->formula == BackoffFormula::faktory)
    return static_cast<WallTime>(backoff_seconds(failures_before, random)) * kSecond;
  const double most = std::min(seconds(rule->limit), static_cast<double>(kLongest));
  const double plain = std::min(
      without_jitter(*rule, static_cast<double>(std::min<std::uint64_t>(failures_before, 1000))),
      most);
  const double wait = std::clamp(plain * (1 + rule->jitter * (2 * random.unit() - 1)), 0.0, most);
  return static_cast<WallTime>(wait * static_cast<double>(kSecond));
}

}  // namespace headroom::tasks
