#include "headroom/sql/cache_options.h"

namespace headroom::sql {
namespace {

using config::between;
using config::Reload;
using config::Section;

constexpr auto kHour = std::chrono::hours(1);
constexpr auto kDay = std::chrono::hours(24);

const Section<CacheRule>& rule_section() {
  static const auto section = [] {
    Section<CacheRule> s("rules",
                         "Queries that are cached, or not; the first rule that matches counts.");
    s.required("query", &CacheRule::query, Reload::restart,
               "Pattern of the query as SHOW CACHE writes it, literals as ?: * stands for "
               "anything, ? for one sign. Case counts.");
    s.setting("cache", &CacheRule::cache, "true", Reload::restart,
              "Whether its results are cached, if they may be.");
    s.setting("ttl", &CacheRule::ttl, "0", Reload::restart,
              "How long at most. 0: as [sql.cache] says.", between(0s, kDay));
    return s;
  }();
  return section;
}

}  // namespace

const Section<CacheOptions>& cache_section() {
  static const auto section = [] {
    Section<CacheOptions> s(
        "cache",
        "Results of queries are kept, and dropped when a table that they read is written, by "
        "whomever. Needs wal_level = logical and REPLICATION of the URL's user.");
    s.setting("auto", &CacheOptions::automatic, "false", Reload::restart,
              "Cache whatever may be. Else what rules name.");
    s.list("rules", &CacheOptions::rules, rule_section(), Reload::restart);
    s.setting("ttl", &CacheOptions::ttl, "5m", Reload::restart,
              "How long a result is kept at most.", between(1s, kDay));
    s.setting("count_ttl", &CacheOptions::count_ttl, "2m", Reload::restart,
              "The same for SELECT count(...).", between(1s, kDay));
    s.setting("blind_ttl", &CacheOptions::blind_ttl, "0", Reload::restart,
              "Where the server's log cannot be decoded, results are kept so long, whatever others "
              "write meanwhile. 0: not at all.",
              between(0s, kHour));
    s.setting(
        "behind", &CacheOptions::behind, "50ms", Reload::restart,
        "How far the stream of others' changes may be behind; beyond that the cache is passed by.",
        between(40ms, 10s));
    s.setting("max_result", &CacheOptions::max_result, "1MiB", Reload::restart,
              "Larger results are not kept.", between(Bytes{1024}, Bytes{16U << 20U}));
    return s;
  }();
  return section;
}

}  // namespace headroom::sql
