#include "headroom/http/storable.h"

#include <gtest/gtest.h>

#include "headroom/http/heads_test.h"

namespace headroom::http {
namespace {

constexpr std::int64_t kNow = 784111777;

Decision decided(std::string_view request, std::string_view response, unsigned status = 200,
                 const StoreRules& rules = {}) {
  const Response answer("Date: Sun, 06 Nov 1994 08:49:37 GMT\n" + std::string(response), status);
  const Directives directives = response_directives(answer);
  return storable(Request(request), answer, directives,
                  freshness_of(answer, directives, {kNow, {}}), rules);
}
Freshness stored(std::string_view response) {
  const Response answer(response);
  return freshness_of(answer, response_directives(answer), {kNow, {}});
}

struct Row {
  std::string_view request;
  std::string_view response;
  unsigned status;
  bool allowed;
};

TEST(Response, IsStoredByTheBook) {
  for (const Row& row : std::initializer_list<Row>{
           {"", "Cache-Control: max-age=60", 200, true},
           {"", "Cache-Control: max-age=60", 599, true},
           {"", "Cache-Control: max-age=60", 302, true},
           {"", "Cache-Control: max-age=60", 500, true},
           {"", "Cache-Control: max-age=60, must-understand", 200, true},
           {"", "Cache-Control: max-age=60, must-understand, no-store", 200, true},
           {"", "Cache-Control: max-age=60, must-understand", 599, false},
           {"", "Cache-Control: max-age=60, must-understand, no-store", 599, false},
           {"", "Cache-Control: max-age=60, no-store", 200, false},
           {"", "Cache-Control: max-age=60, private", 200, false},
           {"", "Cache-Control: max-age=60, private=\"x\"", 200, true},
           {"", "Cache-Control: max-age=60\nContent-Range: bytes 0-4/10", 206, false},
           {"", "Cache-Control: max-age=60", 304, false},
           {"", "Cache-Control: max-age=60\nVary: *", 200, false},
           {"", "Cache-Control: max-age=60\nVary: Origin, *", 200, false},
           {"", "Cache-Control: max-age=60\nVary: Origin", 200, true},
           {"", "Cache-Control: max-age=60\nAge: 60", 200, false},
           {"", "Cache-Control: no-cache", 200, false},
           {"", "Cache-Control: no-cache\nETag: \"a\"", 200, true},
           {"", "Cache-Control: max-age=0, stale-while-revalidate=60", 200, true},
           {"", "Cache-Control: max-age=0, stale-while-revalidate=60, must-revalidate", 200, false},
           {"", "", 200, false},
           {"", "ETag: \"a\"", 200, true},
           {"", "ETag: \"a\"", 403, false},
           {"", "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT", 404, true},
           {"", "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT", 502, false},
           {"", "Expires: Mon, 07 Nov 1994 08:49:37 GMT", 502, true},
           {"", "CDN-Cache-Control: max-age=60\nCache-Control: no-store", 200, true},
           {"Authorization: x", "Cache-Control: max-age=60", 200, false},
           {"Authorization: x", "Cache-Control: max-age=60, public", 200, true},
           {"Authorization: x", "Cache-Control: s-maxage=60", 200, true},
           {"Authorization: x", "Cache-Control: max-age=60, must-revalidate", 200, true},
           {"Authorization: x", "CDN-Cache-Control: max-age=60", 200, false},
           {"Cookie: a=b", "CDN-Cache-Control: must-revalidate\nETag: \"a\"", 200, false},
           {"Cookie: a=b", "Cache-Control: max-age=60", 200, false},
           {"Cookie: a=b", "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT", 200, false},
           {"Cookie: a=b", "Cache-Control: max-age=60, must-revalidate", 200, false},
           {"Cookie: a=b", "Cache-Control: max-age=60, public", 200, true},
           {"Cookie: a=b", "Cache-Control: s-maxage=60", 200, true},
           {"Cookie: a=b", "CDN-Cache-Control: max-age=60", 200, true},
           {"", "Cache-Control: max-age=60\nSet-Cookie: a=b", 200, false},
           {"", "Cache-Control: max-age=60, public\nSet-Cookie: a=b", 200, true}}) {
    const Decision decision = decided(row.request, row.response, row.status);
    EXPECT_EQ(decision.allowed, row.allowed)
        << row.request << " | " << row.response << " | " << decision.why;
    EXPECT_STRNE(decision.why, "");
  }
}

TEST(RouteThatIgnoresCookies, StoresForRequestsThatHaveThem) {
  EXPECT_TRUE(decided("Cookie: a=b", "Cache-Control: max-age=60", 200, {.ignore_cookies = true}));
  EXPECT_TRUE(
      decided("", "Cache-Control: max-age=60\nSet-Cookie: a=b", 200, {.ignore_cookies = true}));
  EXPECT_TRUE(
      decided("", "Cache-Control: max-age=60\nSet-Cookie: a=b", 200, {.store_set_cookie = true}));
  EXPECT_FALSE(
      decided("Cookie: a=b", "Cache-Control: max-age=60, private", 200, {.ignore_cookies = true}));
}

TEST(Request, IsCacheableWhenItIsAGetOrHeadWithoutBodyOrNoStore) {
  EXPECT_TRUE(is_cacheable(Request(""), {}));
  EXPECT_TRUE(is_cacheable(Request("", "HEAD / HTTP/1.1"), {}));
  EXPECT_FALSE(is_cacheable(Request("Content-Length: 0", "POST / HTTP/1.1"), {}));
  EXPECT_FALSE(is_cacheable(Request("", "QUERY / HTTP/1.1"), {}));
  EXPECT_FALSE(is_cacheable(Request("Content-Length: 5"), {}));
  EXPECT_TRUE(is_cacheable(Request("Content-Length: 0"), {}));
  EXPECT_FALSE(is_cacheable(Request(""), {.no_store = true}));
}

TEST(OneUsersPage, IsNeverAnothers) {
  const Freshness guessed = stored("Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT");
  const Freshness for_all = stored("Cache-Control: public, max-age=60");
  EXPECT_TRUE(may_answer(Request(""), guessed, {}));
  EXPECT_FALSE(may_answer(Request("Cookie: a=b"), guessed, {}));
  EXPECT_FALSE(may_answer(Request("Authorization: x"), guessed, {}));
  EXPECT_TRUE(may_answer(Request("Cookie: a=b"), guessed, {.ignore_cookies = true}));
  EXPECT_TRUE(may_answer(Request("Cookie: a=b\nAuthorization: x"), for_all, {}));
  EXPECT_TRUE(may_coalesce(Request(""), nullptr, {}));
  EXPECT_FALSE(may_coalesce(Request("Cookie: a=b"), nullptr, {}));
  EXPECT_FALSE(may_coalesce(Request("Authorization: x"), nullptr, {.ignore_cookies = true}));
  EXPECT_FALSE(may_coalesce(Request("Cookie: a=b"), &guessed, {}));
  EXPECT_TRUE(may_coalesce(Request("Cookie: a=b"), &for_all, {}));
}

TEST(OneUsersPage, IsKeptForThatUserWhereTheKeyHoldsWhoAsks) {
  const StoreRules by_token{.holds_user = true, .holds_authorization = true};
  const StoreRules by_cookie{.holds_user = true, .holds_cookie = true};
  EXPECT_TRUE(decided("Authorization: x", "Cache-Control: private, max-age=60", 200, by_token));
  EXPECT_TRUE(decided("Authorization: x", "Cache-Control: max-age=60", 200, by_token));
  EXPECT_TRUE(decided("Cookie: a=b", "Cache-Control: private, max-age=60", 200, by_cookie));
  EXPECT_TRUE(may_coalesce(Request("Authorization: x"), nullptr, by_token));
  // What the key knows nothing of counts as ever.
  EXPECT_FALSE(decided("Authorization: x\nCookie: a=b", "Cache-Control: private, max-age=60", 200,
                       by_token));
  EXPECT_FALSE(
      decided("Authorization: x\nCookie: a=b", "Cache-Control: max-age=60", 200, by_cookie));
  EXPECT_FALSE(decided("Authorization: x", "Cache-Control: no-store", 200, by_token));
  EXPECT_FALSE(
      decided("Cookie: a=b", "Cache-Control: max-age=60\nSet-Cookie: a=c", 200, by_cookie));
  EXPECT_FALSE(may_coalesce(Request("Cookie: a=b"), nullptr, by_token));
}

TEST(UnsafeMethod, InvalidatesWhenItSucceeds) {
  for (const std::string_view method : {"POST", "PUT", "DELETE", "PATCH", "M-SEARCH"}) {
    const Request request("Content-Length: 0", std::string(method) + " /a HTTP/1.1");
    EXPECT_TRUE(invalidates(request, 200));
    EXPECT_TRUE(invalidates(request, 303));
    EXPECT_FALSE(invalidates(request, 404));
    EXPECT_FALSE(invalidates(request, 500));
  }
  EXPECT_FALSE(invalidates(Request(""), 200));
  EXPECT_FALSE(invalidates(Request("", "OPTIONS / HTTP/1.1"), 200));
}

struct Target {
  std::string_view location;
  std::string_view target;  // "" for none
};

TEST(Location, OfTheSameOriginIsInvalidatedToo) {
  const Request request("Content-Length: 0", "POST /a/b?c HTTP/1.1");
  for (const Target& row : std::initializer_list<Target>{{"/x", "/x"},
                                                         {"x", "/a/x"},
                                                         {"../x?y=1#z", "/x?y=1"},
                                                         {"?q", "/a/b?q"},
                                                         {"http://app.example/x", "/x"},
                                                         {"HTTP://APP.example:80/x", "/x"},
                                                         {"http://app.example", "/"},
                                                         {"//app.example/x", "/x"},
                                                         {"http://app.example:81/x", ""},
                                                         {"https://app.example/x", ""},
                                                         {"http://other.example/x", ""},
                                                         {"http://app.example@other.example/x", ""},
                                                         {"http://[", ""},
                                                         {"a b", ""}}) {
    const Response response("Location: " + std::string(row.location), 201);
    const auto targets = also_invalidated(request, response, "http");
    EXPECT_EQ(targets.empty() ? "" : targets[0], row.target) << row.location;
  }
  const auto both =
      also_invalidated(request, Response("Location: /x\nContent-Location: /y"), "http");
  EXPECT_EQ(both, (std::vector<std::string>{"/x", "/y"}));
}

}  // namespace
}  // namespace headroom::http
