// headroom/cache/options.h - the cache's settings as values; the table that reads them is in options.cc.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/config/section.h"

namespace headroom::cache {

// [cache]
struct CacheOptions {
  bool enabled = true;
  Bytes memory_limit;
  std::uint64_t entries_limit = 0;  // 0: any number
  double value_share = 0;           // of memory_limit
  Duration default_ttl{};
  std::map<std::string, Duration> classes;  // besides and instead of the built-in ones
  double jitter = 0;
  Duration negative_ttl{};
  Duration bypass_ttl{};
  Duration stale_while_revalidate{};
  Duration stale_if_error{};
  double early_refresh = 0;
  Duration soft_timeout{};
  Duration hard_timeout{};
  std::uint32_t waiters_limit = 0;
  Bytes compress_over;
  Bytes disk_limit;
  Bytes disk_over;
  bool persist = false;
};

struct TtlClass {
  std::string name;
  Duration ttl{};
};
// "default" first, then the built-in ones, then the user's.
[[nodiscard]] std::vector<TtlClass> ttl_classes(const CacheOptions& options);

[[nodiscard]] const config::Section<CacheOptions>& cache_section();

}  // namespace headroom::cache
