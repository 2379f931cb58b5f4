#include "headroom/http/freshness.h"

#include <gtest/gtest.h>

#include "headroom/http/heads_test.h"

namespace headroom::http {
namespace {

constexpr std::int64_t kNow = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr std::string_view kDate = "Date: Sun, 06 Nov 1994 08:49:37 GMT\n";

Freshness arrived(std::string_view lines, unsigned status = 200, const FreshnessRules& rules = {},
                  Duration delay = {}) {
  const Response response(lines, status);
  return freshness_of(response, response_directives(response), {kNow, delay}, rules);
}
std::string dated(std::string_view lines) { return std::string(kDate) + std::string(lines); }

struct Row {
  std::string_view lines;  // behind Date
  std::uint32_t lifetime;
  std::uint32_t age;
};

TEST(Freshness, FollowsItsOrderOfSources) {
  for (const Row& row : std::initializer_list<Row>{
           {"Cache-Control: max-age=60", 60, 0},
           {"Cache-Control: max-age=60, s-maxage=7", 7, 0},
           {"Cache-Control: s-maxage=7, max-age=60", 7, 0},
           {"Cache-Control: max-age=0\nExpires: Sun, 06 Nov 1994 09:49:37 GMT", 0, 0},
           {"Cache-Control: max-age=60\nExpires: 0", 60, 0},
           {"Expires: Sun, 06 Nov 1994 09:49:37 GMT", 3600, 0},
           {"Expires: Sun, 06 Nov 1994 08:49:37 GMT", 0, 0},
           {"Expires: Sun, 06 Nov 1994 07:49:37 GMT", 0, 0},
           {"Expires: 0", 0, 0},
           {"Expires: Sun, 06 Nov 1994 09:49:37 GMT\nExpires: Sun, 06 Nov 1994 09:49:37 GMT", 0, 0},
           {"Expires: 0\nLast-Modified: Sun, 06 Nov 1994 07:49:37 GMT", 0, 0},
           {"Last-Modified: Sun, 06 Nov 1994 08:32:57 GMT", 100, 0},
           {"Last-Modified: Thu, 06 Oct 1994 08:49:37 GMT", 24 * 3600, 0},
           {"Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT", 0, 0},
           {"Last-Modified: Sun, 06 Nov 1994 08:32:57 GMT\nCache-Control: no-cache", 0, 0},
           {"CDN-Cache-Control: max-age=5\nCache-Control: s-maxage=60\nExpires: 0", 5, 0},
           {"CDN-Cache-Control: must-revalidate\nExpires: Sun, 06 Nov 1994 09:49:37 GMT", 0, 0},
           {"", 0, 0},
           {"Cache-Control: max-age=60\nAge: 50", 60, 50},
           {"Cache-Control: max-age=60\nAge: 0050", 60, 50},
           {"Cache-Control: max-age=60\nAge: 99999999999999999999", 60, 1U << 31U},
           {"Cache-Control: max-age=60\nAge: abc", 60, 1U << 31U},
           {"Cache-Control: max-age=60\nAge: -7", 60, 1U << 31U},
           {"Cache-Control: max-age=60\nAge: 7200.0", 60, 1U << 31U},
           {"Cache-Control: max-age=60\nAge: 7200, 0", 60, 1U << 31U},
           {"Cache-Control: max-age=60\nAge: 0\nAge: 0", 60, 1U << 31U},
           {"Cache-Control: max-age=60\nAge:", 60, 1U << 31U}}) {
    const Freshness freshness = arrived(dated(row.lines));
    EXPECT_EQ(freshness.lifetime, row.lifetime) << row.lines;
    EXPECT_EQ(freshness.initial_age, row.age) << row.lines;
  }
}

TEST(Freshness, IsGuessedOnlyForHeuristicallyCacheableStatuses) {
  constexpr std::string_view kModified = "Last-Modified: Sun, 06 Nov 1994 08:32:57 GMT";
  for (const unsigned status : {200U, 203U, 204U, 300U, 301U, 308U, 404U, 405U, 410U, 414U, 501U}) {
    EXPECT_EQ(arrived(dated(kModified), status).lifetime, 100U) << status;
    EXPECT_TRUE(arrived(dated(kModified), status).heuristic) << status;
  }
  for (const unsigned status :
       {201U, 202U, 302U, 303U, 307U, 400U, 401U, 403U, 500U, 502U, 503U, 504U, 599U})
    EXPECT_EQ(arrived(dated(kModified), status).lifetime, 0U) << status;
  EXPECT_EQ(arrived(dated("Cache-Control: public\n" + std::string(kModified)), 599).lifetime, 100U);
  EXPECT_EQ(arrived(dated(kModified), 200, {.heuristic_cap = 30}).lifetime, 30U);
}

TEST(Age, IsTheLargerOfWhatTheClockAndTheSendersSay) {
  EXPECT_EQ(arrived("Date: Sun, 06 Nov 1994 08:49:07 GMT\nCache-Control: max-age=60").initial_age,
            30U);
  EXPECT_EQ(arrived("Date: Sun, 06 Nov 1994 08:49:07 GMT\nAge: 45").initial_age, 45U);
  EXPECT_EQ(arrived("Date: Sun, 06 Nov 1994 08:49:47 GMT\nAge: 15").initial_age, 15U);
  EXPECT_EQ(arrived(dated("Age: 10"), 200, {}, std::chrono::milliseconds(2900)).initial_age, 12U);
  EXPECT_EQ(arrived("Cache-Control: max-age=60").initial_age, 0U);
  EXPECT_EQ(arrived("Date: foo\nExpires: Sun, 06 Nov 1994 08:49:47 GMT").lifetime, 10U);
}

TEST(Age, GrowsWithTheClockAndNeverShrinks) {
  const Freshness stored = arrived(dated("Cache-Control: max-age=60\nAge: 10"));
  EXPECT_EQ(age_at(stored, kNow + 5), 15U);
  EXPECT_EQ(age_at(stored, kNow - 1000), 10U);
  EXPECT_EQ(remaining_at(stored, kNow + 5), 45);
  EXPECT_EQ(remaining_at(stored, kNow + 100), -50);
}

struct UseRow {
  std::string_view response;
  std::string_view request;
  std::int64_t later;
  Use use;
};

TEST(StoredResponse, IsUsedAsBothSidesAllow) {
  for (const UseRow& row : std::initializer_list<UseRow>{
           {"max-age=60", "", 0, Use::serve},
           {"max-age=60", "", 59, Use::serve},
           {"max-age=60", "", 60, Use::validate},
           {"max-age=0", "", 0, Use::validate},
           {"max-age=60, no-cache", "", 0, Use::validate},
           {"max-age=60, immutable", "", 60, Use::validate},
           {"max-age=60", "no-cache", 0, Use::validate},
           {"max-age=60", "max-age=0", 0, Use::validate},
           {"max-age=60", "max-age=10", 10, Use::serve},
           {"max-age=60", "max-age=10", 11, Use::validate},
           {"max-age=60", "min-fresh=10", 50, Use::serve},
           {"max-age=60", "min-fresh=10", 51, Use::validate},
           {"max-age=60", "max-stale", 5000, Use::serve},
           {"max-age=60", "max-stale=10", 70, Use::serve},
           {"max-age=60", "max-stale=10", 71, Use::validate},
           {"max-age=60, must-revalidate", "max-stale", 61, Use::validate},
           {"max-age=60, stale-while-revalidate=30", "", 89, Use::serve_and_refresh},
           {"max-age=60, stale-while-revalidate=30", "", 90, Use::validate},
           {"max-age=60, stale-while-revalidate=30, must-revalidate", "", 61, Use::validate},
           {"max-age=60, stale-while-revalidate=30, proxy-revalidate", "", 61, Use::validate},
           {"s-maxage=60, stale-while-revalidate=30", "", 61, Use::validate},
           {"no-cache, stale-while-revalidate=30", "", 1, Use::validate}}) {
    const Freshness stored = arrived(dated("Cache-Control: " + std::string(row.response)));
    CacheControl request;
    add_cache_control(row.request, request);
    EXPECT_EQ(use_of(stored, kNow + row.later, request), row.use)
        << row.response << " | " << row.request << " | " << row.later;
  }
}

TEST(StoredResponse, MayBeServedOnErrorInsideItsWindow) {
  const Freshness stored = arrived(dated("Cache-Control: max-age=60, stale-if-error=300"));
  EXPECT_TRUE(may_serve_on_error(stored, kNow + 30));
  EXPECT_TRUE(may_serve_on_error(stored, kNow + 359));
  EXPECT_FALSE(may_serve_on_error(stored, kNow + 360));
  EXPECT_TRUE(may_serve_on_error(stored, kNow + 360, {.stale_if_error = 600}));
  EXPECT_FALSE(may_serve_on_error(arrived(dated("Cache-Control: max-age=60")), kNow + 61));
  EXPECT_TRUE(may_serve_on_error(
      arrived(dated("Cache-Control: max-age=60"), 200, {.default_stale_if_error = 10}), kNow + 61));
  for (const std::string_view strict :
       {"must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"}) {
    const std::string lines =
        "Cache-Control: max-age=60, stale-if-error=300, " + std::string(strict);
    EXPECT_FALSE(may_serve_on_error(arrived(dated(lines)), kNow + 61)) << strict;
  }
}

TEST(StoredResponse, WithSMaxageIsServedStaleOnlyWhereTheRouteSaysSo) {
  const FreshnessRules relaxed{.s_maxage_forbids_stale = false};
  const auto lines = dated("Cache-Control: s-maxage=60, stale-while-revalidate=30");
  EXPECT_EQ(use_of(arrived(lines, 200, relaxed), kNow + 61), Use::serve_and_refresh);
}

}  // namespace
}  // namespace headroom::http
