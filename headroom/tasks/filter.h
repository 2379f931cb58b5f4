// headroom/tasks/filter.h - which jobs a request for many is meant for: by name, type, or a glob over their JSON.
//
// Owns: its words. Threads: any; it is asked on the engine's thread, so that its limits bound how long one job takes.
// Limits: kMostJids names; patterns of kPatternLimit bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/tasks/job.h"

namespace headroom::tasks {

class JobFilter {
 public:
  static constexpr std::size_t kMostJids = 10'000;
  static constexpr std::size_t kPatternLimit = 256;

  struct Words {
    std::optional<std::vector<std::string>> jids{};  // none: of any name; empty: of no name
    std::string jobtype{};                           // empty: any
    std::string pattern{};                           // empty: any
  };
  // Names given go before all else, as clients of Faktory expect, or must fit with the rest.
  enum class Names : std::uint8_t { alone, with_the_rest };

  // Errc::invalid: beyond the limits.
  [[nodiscard]] static Result<JobFilter> make(Words words, Names names);
  [[nodiscard]] bool operator()(const Job& job) const;

 private:
  std::optional<std::unordered_set<std::string>> jids_;
  std::string jobtype_;
  std::string pattern_;
  Names names_ = Names::with_the_rest;
};

}  // namespace headroom::tasks
