#include "headroom/http/cache_control.h"

#include <gtest/gtest.h>

#include "headroom/http/date.h"
#include "headroom/http/heads_test.h"

namespace headroom::http {
namespace {

constexpr std::uint32_t kNone = CacheControl::kNone;
constexpr std::uint32_t kMost = CacheControl::kMostSeconds;

CacheControl parsed(std::string_view value) {
  CacheControl directives;
  add_cache_control(value, directives);
  return directives;
}

struct Age {
  std::string_view value;
  std::uint32_t max_age;
};

TEST(MaxAge, IsReadTheStrictWay) {
  for (const Age& row :
       std::initializer_list<Age>{{"", kNone},
                                  {"max-age=3600", 3600},
                                  {"MaX-aGe=3600", 3600},
                                  {"max-age=\"3600\"", 3600},
                                  {"max-age=003600", 3600},
                                  {"foobar, max-age=3600", 3600},
                                  {"max-age=3600,", 3600},
                                  {" , max-age=3600", 3600},
                                  {"max-age=2147483648", kMost},
                                  {"max-age=2147483649", kMost},
                                  {"max-age=99999999999", kMost},
                                  {"max-age=99999999999999999999999", kMost},
                                  {"max-age", 0},
                                  {"max-age=", 0},
                                  {"max-age=-1", 0},
                                  {"max-age=+1", 0},
                                  {"max-age=1.5", 0},
                                  {"max-age='3600'", 0},
                                  {"max-age=a3600", 0},
                                  {"max-age=3600a", 0},
                                  {"max-age =3600", 0},
                                  {"max-age= 3600", 0},
                                  {"max-age=3600, max-age=1800", 1800},
                                  {"max-age=1800, max-age=3600", 1800},
                                  {"max-age=x, max-age=3600", 0},
                                  {"extension=\"max-age=3600\", max-age=1", 1},
                                  {"max-age=1, extension=\"max-age=3600\"", 1},
                                  {"extension=\"a, max-age=3600\"", kNone},
                                  {"extension=\"a\\\", max-age=3600\", max-age=5", 5},
                                  {"x-max-age=3600", kNone}})
    EXPECT_EQ(parsed(row.value).max_age, row.max_age) << row.value;
}

TEST(CacheControl, HasAllDirectivesOfItsRfcs) {
  EXPECT_TRUE(parsed("No-StOrE").no_store);
  EXPECT_TRUE(parsed("no-cache").no_cache);
  EXPECT_TRUE(parsed("private").is_private);
  EXPECT_TRUE(parsed("public").is_public);
  EXPECT_TRUE(parsed("must-revalidate").must_revalidate);
  EXPECT_TRUE(parsed("proxy-revalidate").proxy_revalidate);
  EXPECT_TRUE(parsed("must-understand, no-store").must_understand);
  EXPECT_TRUE(parsed("no-transform").no_transform);
  EXPECT_TRUE(parsed("immutable").immutable);
  EXPECT_TRUE(parsed("only-if-cached").only_if_cached);
  EXPECT_EQ(parsed("s-maxage=7").s_maxage, 7U);
  EXPECT_EQ(parsed("stale-while-revalidate=60").stale_while_revalidate, 60U);
  EXPECT_EQ(parsed("stale-if-error=300").stale_if_error, 300U);
  EXPECT_EQ(parsed("max-stale").max_stale, kMost);
  EXPECT_EQ(parsed("max-stale=9").max_stale, 9U);
  EXPECT_EQ(parsed("max-stale=x").max_stale, 0U);
  EXPECT_EQ(parsed("min-fresh=4, min-fresh=9").min_fresh, 9U);
  EXPECT_EQ(parsed("unheard-of, another=\"thing, no-store\", x=y"), CacheControl{});
}

TEST(CacheControl, WithFieldNamesConcernsThoseFieldsOnly) {
  const CacheControl named = parsed("no-cache=\"set-cookie\", private=\"x-user, x-token\"");
  EXPECT_FALSE(named.no_cache);
  EXPECT_FALSE(named.is_private);
  EXPECT_TRUE(named.withholds_fields);
  EXPECT_TRUE(parsed("no-cache=\"\"").no_cache);
  EXPECT_TRUE(parsed("private=\" \"").is_private);
  const Response response("Cache-Control: no-cache=\"a, b\", max-age=5\nCache-Control: private=c");
  EXPECT_EQ(withheld_fields(response), (std::vector<std::string_view>{"a", "b", "c"}));
}

TEST(CacheControl, WithAQuoteThatDoesNotEndIsNotStored) {
  EXPECT_TRUE(parsed("max-age=3600, ext=\"a").no_store);
  EXPECT_TRUE(parsed("ext=\"a\\\"").no_store);
  EXPECT_FALSE(parsed("ext=\"a\"").no_store);
}

TEST(ResponseDirectives, JoinAllFieldsOfTheName) {
  const Response response("Cache-Control: max-age=10\nX: y\nCACHE-CONTROL: no-store");
  const Directives directives = response_directives(response);
  EXPECT_EQ(directives.max_age, 10U);
  EXPECT_TRUE(directives.no_store);
  EXPECT_FALSE(directives.targeted);
}

TEST(Pragma, CountsOnlyWithoutCacheControl) {
  EXPECT_TRUE(request_directives(Request("Pragma: no-cache")).no_cache);
  EXPECT_TRUE(request_directives(Request("Pragma: x, No-Cache")).no_cache);
  EXPECT_FALSE(request_directives(Request("Pragma: no-cache\nCache-Control: max-age=1")).no_cache);
  EXPECT_EQ(request_directives(Request("")), CacheControl{});
}

TEST(CdnCacheControl, ReplacesCacheControlWhereItIsADictionary) {
  const Directives directives = response_directives(Response(
      "Cache-Control: no-store, private\nCDN-Cache-Control: max-age=600, must-revalidate"));
  EXPECT_TRUE(directives.targeted);
  EXPECT_EQ(directives.max_age, 600U);
  EXPECT_TRUE(directives.must_revalidate);
  EXPECT_FALSE(directives.no_store);
  EXPECT_FALSE(directives.is_private);
}

TEST(CdnCacheControl, ThatIsEmptyOrMalformedIsIgnored) {
  for (const std::string_view value :
       {"", "max-age = 600", "max-age=600,", "Max-Age=600", "max-age=\"6", "&"}) {
    const Response response("Cache-Control: no-store\nCDN-Cache-Control: " + std::string(value));
    EXPECT_TRUE(response_directives(response).no_store) << value;
    EXPECT_FALSE(response_directives(response).targeted) << value;
  }
}

TEST(CdnCacheControl, MemberOfTheWrongTypeIsIgnored) {
  const Directives directives = response_directives(Response(
      "CDN-Cache-Control: max-age=6.5, s-maxage=\"4\", no-store=?0, private, stale-if-error=-1"));
  EXPECT_TRUE(directives.targeted);
  EXPECT_EQ(directives.max_age, kNone);
  EXPECT_EQ(directives.s_maxage, kNone);
  EXPECT_EQ(directives.stale_if_error, kNone);
  EXPECT_FALSE(directives.no_store);
  EXPECT_TRUE(directives.is_private);
}

TEST(HttpDateText, IsReadInAllThreeFormats) {
  constexpr std::int64_t kNow = 1'700'000'000;
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", kNow), 784111777);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", kNow), 784111777);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994", kNow), 784111777);
  EXPECT_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT", kNow), 0);
  EXPECT_EQ(parse_http_date("Wednesday, 01-Jan-70 00:00:00 GMT", kNow), 3155760000);
  EXPECT_EQ(parse_http_date("Friday, 01-Jan-99 00:00:00 GMT", kNow), 915148800);
  EXPECT_EQ(parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT", kNow), 1483228800);
}

TEST(HttpDateText, ThatIsNoneIsRefused) {
  for (const std::string_view text :
       {"", "0", "-1", "now", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37",
        "sun, 06 nov 1994 08:49:37 gmt", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:61:37 GMT", "Sun, 06 Nov 1994  08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06-Nov-1994 08:49:37 GMT", "784111777"})
    EXPECT_EQ(parse_http_date(text, 1'700'000'000), std::nullopt) << text;
}

}  // namespace
}  // namespace headroom::http
