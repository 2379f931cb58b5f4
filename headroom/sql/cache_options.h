// headroom/sql/cache_options.h - the settings of `[sql.cache]` and `[[sql.warm]]` as values.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"

namespace headroom::sql {

// [[sql.cache.rules]]
struct CacheRule {
  std::string query;  // a pattern of the normalised text
  bool cache = true;
  Duration ttl{};  // 0: as the section's
};

// [sql.cache]
struct CacheOptions {
  bool automatic = false;
  std::vector<CacheRule> rules;
  Duration ttl{};
  Duration count_ttl{};
  Duration blind_ttl{};
  Duration behind{};
  Bytes max_result;
  [[nodiscard]] bool on() const { return automatic || !rules.empty(); }
};

// [[sql.warm]]
struct WarmOptions {
  std::string query;
  std::string database;                         // empty: that of [sql] postgres, or the only one
  std::map<std::string, std::string> settings;  // as clients send them when they connect
  bool at_start = true;
  Duration every{};  // 0: only at the start and when somebody asks
  Duration timeout{};
};
inline constexpr std::size_t kMostWarmQueries = 1000;

[[nodiscard]] const config::Section<CacheOptions>& cache_section();
[[nodiscard]] const config::Section<WarmOptions>& warm_section();

}  // namespace headroom::sql
