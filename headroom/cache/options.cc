#include "headroom/cache/options.h"

#include <algorithm>

#include "headroom/cache/memory_tier.h"

namespace headroom::cache {

using config::at_least;
using config::between;
using config::Reload;
using config::Section;

std::vector<TtlClass> ttl_classes(const CacheOptions& options) {
  std::vector<TtlClass> classes{{"default", options.default_ttl},
                                {"static", 3600s},
                                {"semi_dynamic", 600s},
                                {"aggregates", 300s},
                                {"statistics", 120s},
                                {"realtime", 30s},
                                {"user_profile", 3600s},
                                {"active_tasks", 900s},
                                {"analytics", 1800s}};
  for (const auto& [name, ttl] : options.classes) {
    const auto known = std::ranges::find(classes, name, &TtlClass::name);
    if (known != classes.end()) {
      known->ttl = ttl;
    } else {
      classes.push_back({name, ttl});
    }
  }
  return classes;
}

const Section<CacheOptions>& cache_section() {
  static const auto section = [] {
    using O = CacheOptions;
    Section<O> s("cache",
                 "The memory that pages, query results and the app's own values are kept in.");
    s.setting("enabled", &O::enabled, "true", Reload::restart, "Whether the room is on.");
    s.setting("memory_limit", &O::memory_limit, "256MiB", Reload::live,
              "All that the cache may take: keys, values, tags and overhead.",
              between(Bytes::mib(1), Bytes::mib(16U << 20U)));
    s.setting("entries_limit", &O::entries_limit, "0", Reload::live,
              "The most entries; 0: any number.");
    s.setting("value_share", &O::value_share, "0.1", Reload::live,
              "The largest value kept, as a share of memory_limit.", between(0.0001, 0.5));
    s.setting("default_ttl", &O::default_ttl, "5m", Reload::live,
              "Time to live where no class is named.", at_least(1ms));
    s.setting(
        "classes", &O::classes, "", Reload::live,
        "Times to live by class, besides or instead of: static 1h, semi_dynamic 10m, aggregates "
        "5m, statistics 2m, realtime 30s, user_profile 1h, active_tasks 15m, analytics 30m.",
        at_least(1ms));
    s.setting("jitter", &O::jitter, "0.1", Reload::live,
              "The share by which a loaded value's time to live is shortened or prolonged at "
              "random, so that what was loaded together does not expire together.",
              between(0.0, 0.5));
    s.setting("negative_ttl", &O::negative_ttl, "30s", Reload::live,
              "How long it is remembered that there is no value; 0: not at all.");
    s.setting("bypass_ttl", &O::bypass_ttl, "10s", Reload::live,
              "How long it is remembered that a value may not be cached, so that nobody waits for "
              "it; 0: not at all.");
    s.setting("stale_while_revalidate", &O::stale_while_revalidate, "30s", Reload::live,
              "How long an expired value is served while one refreshes it.");
    s.setting("stale_if_error", &O::stale_if_error, "5m", Reload::live,
              "How long an expired value is served when loading fails.");
    s.setting("early_refresh", &O::early_refresh, "1", Reload::live,
              "How eagerly a value is refreshed before it expires, in units of its own load time "
              "(XFetch's beta); 0: never.",
              between(0.0, 100.0));
    s.setting(
        "soft_timeout", &O::soft_timeout, "500ms", Reload::live,
        "How long a load is waited for when a stale value could be served; 0: until the hard one.");
    s.setting("hard_timeout", &O::hard_timeout, "30s", Reload::live,
              "How long a load is waited for at all; then the next who asks loads.", at_least(1ms));
    s.setting("waiters_limit", &O::waiters_limit, "10000", Reload::live,
              "How many may wait for one key.", between(1, 1000000));
    s.setting("compress_over", &O::compress_over, "1KiB", Reload::live,
              "The app's values from this size on are compressed with zstd where that saves 15 %; "
              "0: none are.");
    s.setting(
        "disk_limit", &O::disk_limit, "0", Reload::restart,
        "Bytes of state_dir for copies of values, read when the memory has them no more; 0: none.");
    s.setting("disk_over", &O::disk_over, "64KiB", Reload::restart,
              "Values from this size on are copied to the disk.");
    s.setting("persist", &O::persist, "false", Reload::restart,
              "Whether all values are copied, and are there after a restart.");
    s.alias("CACHE_ENABLED", "enabled");
    s.alias("CACHE_MAX_SIZE", "memory_limit");
    s.alias("CACHE_DEFAULT_TTL", "default_ttl", config::bare_seconds);
    s.alias("ENABLE_ADVANCED_CACHING", "enabled");
    s.check([](const O& o) -> Result<void> {
      if (ttl_classes(o).size() > kClasses) return fail(Errc::invalid, "there may be 64 classes");
      if (o.persist && o.disk_limit.count == 0)
        return fail(Errc::invalid, "persist needs a disk_limit above 0");
      if (o.disk_limit.count != 0 && o.disk_limit < Bytes::mib(1))
        return fail(Errc::invalid, "disk_limit: expected 0, or 1MiB and more");
      return {};
    });
    return s;
  }();
  return section;
}

}  // namespace headroom::cache
