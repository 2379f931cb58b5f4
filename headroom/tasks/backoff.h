// headroom/tasks/backoff.h - how long a failed job waits before its next try.
//
// Owns: its rules. Threads: any; immutable.
// Limits: kLongest.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "headroom/base/hash.h"
#include "headroom/tasks/options.h"
#include "headroom/tasks/time.h"

namespace headroom::tasks {

class Backoffs {
 public:
  static constexpr std::uint64_t kLongest = 30ULL * 86400;

  Backoffs() = default;
  explicit Backoffs(std::vector<BackoffOptions> rules) : rules_(std::move(rules)) {}

  // By the first rule for this type, else by Faktory's formula: n^4 + 15 + rand(0..29) * (n + 1) seconds.
  [[nodiscard]] WallTime wait(std::string_view jobtype, std::uint64_t failures_before,
                              Random& random) const;

 private:
  std::vector<BackoffOptions> rules_;
};

// n^4 + 15 + rand(0..29) * (n + 1) seconds before try n + 1 (Faktory's and Sidekiq's formula): 25 tries take 21 days.
[[nodiscard]] std::uint64_t backoff_seconds(std::uint64_t failures_before, Random& random);

}  // namespace headroom::tasks
