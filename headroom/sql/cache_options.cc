#include "headroom/sql/cache_options.h"

#include "headroom/sql/classify.h"

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

const Section<WarmOptions>& warm_section() {
  static const auto section = [] {
    Section<WarmOptions> s(
        "warm",
        "A query that is run through the proxy as a client's would be, in the simple protocol as "
        "the URL's user, so that its result lies in the cache.");
    s.required("query", &WarmOptions::query, Reload::restart,
               "One SELECT, sign by sign as clients send it.");
    s.setting("database", &WarmOptions::database, "", Reload::restart,
              "Where. Empty: the database of [sql] postgres.");
    s.setting("settings", &WarmOptions::settings, "", Reload::restart,
              "What clients say when they connect, such as client_encoding: results are shared by "
              "sessions with the same settings only.");
    s.setting("at_start", &WarmOptions::at_start, "true", Reload::restart,
              "Run it when the process starts, once the stream of changes is current.");
    s.setting("every", &WarmOptions::every, "0", Reload::restart,
              "Run it so often. 0: only at the start and by POST /api/v1/sql/cache/warm.",
              between(0s, kDay));
    s.setting("timeout", &WarmOptions::timeout, "30s", Reload::restart, "How long it may take.",
              between(100ms, kHour));
    s.check([](const WarmOptions& o) -> Result<> {
      const Decision decision = classify(o.query);
      if (decision.its_class != Class::read || decision.statements != 1)
        return fail(Errc::invalid, "query: expected one SELECT");
      if (o.every > Duration::zero() && o.every < 1s)
        return fail(Errc::invalid, "every: expected 0, or 1s and more");
      return {};
    });
    return s;
  }();
  return section;
}

}  // namespace headroom::sql
