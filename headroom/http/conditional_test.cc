#include "headroom/http/conditional.h"

#include <gtest/gtest.h>

#include "headroom/http/heads_test.h"

namespace headroom::http {
namespace {

constexpr std::int64_t kDate = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr std::string_view kModified = "Sun, 06 Nov 1994 07:49:37 GMT";
constexpr Validators kBoth{"\"abc\"", kModified, kDate};
constexpr Validators kWeak{"W/\"abc\"", "", kDate};
constexpr Validators kNone{"", "", kDate};

struct Row {
  std::string_view request;
  Condition outcome;
  Validators stored = kBoth;
};

TEST(ClientsConditions, AreEvaluatedByPrecedence) {
  using enum Condition;
  for (const Row& row : std::initializer_list<Row>{
           {"", holds},
           {"If-None-Match: \"abc\"", not_modified},
           {"If-None-Match: W/\"abc\"", not_modified},
           {"If-None-Match: \"x\", \"abc\"", not_modified},
           {"If-None-Match: \"x,y\",W/\"abc\" , \"z\"", not_modified},
           {"If-None-Match: \"x\"\nIf-None-Match: \"abc\"", not_modified},
           {"If-None-Match: *", not_modified},
           {"If-None-Match: *", not_modified, kNone},
           {"If-None-Match: \"abcd\"", holds},
           {"If-None-Match: \"abc", holds},
           {"If-None-Match: abc", holds},
           {"If-None-Match: \"ABC\"", holds},
           {"If-None-Match: \"abc\"", not_modified, kWeak},
           {"If-None-Match: \"abc\"", holds, kNone},
           {"If-None-Match: \"x\"\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", holds},
           {"If-None-Match: \"abc\"\nIf-Modified-Since: Sun, 06 Nov 1984 08:49:37 GMT",
            not_modified},
           {"If-Modified-Since: Sun, 06 Nov 1994 07:49:37 GMT", not_modified},
           {"If-Modified-Since: Sunday, 06-Nov-94 07:49:37 GMT", not_modified},
           {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", not_modified},
           {"If-Modified-Since: Sun, 06 Nov 1994 07:49:36 GMT", holds},
           {"If-Modified-Since: rubbish", holds},
           {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", not_modified, kNone},
           {"If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT", holds, kNone},
           {"If-Match: \"abc\"", holds},
           {"If-Match: *", holds},
           {"If-Match: W/\"abc\"", failed},
           {"If-Match: \"x\"", failed},
           {"If-Match: \"abc\"", failed, kWeak},
           {"If-Match: \"abc\"\nIf-Unmodified-Since: Sun, 06 Nov 1984 07:49:37 GMT", holds},
           {"If-Match: \"abc\"\nIf-None-Match: \"abc\"", not_modified},
           {"If-Unmodified-Since: Sun, 06 Nov 1994 07:49:37 GMT", holds},
           {"If-Unmodified-Since: Sun, 06 Nov 1994 07:49:36 GMT", failed},
           {"If-Unmodified-Since: rubbish", holds}})
    EXPECT_EQ(evaluate(Request(row.request), row.stored), row.outcome) << row.request;
}

TEST(Range, AppliesByIfRange) {
  EXPECT_FALSE(range_applies(Request(""), kBoth));
  EXPECT_TRUE(range_applies(Request("Range: bytes=0-1"), kBoth));
  EXPECT_FALSE(range_applies(Request("Range: bytes=0-1", "HEAD / HTTP/1.1"), kBoth));
  EXPECT_TRUE(range_applies(Request("Range: bytes=0-1\nIf-Range: \"abc\""), kBoth));
  EXPECT_FALSE(range_applies(Request("Range: bytes=0-1\nIf-Range: W/\"abc\""), kWeak));
  EXPECT_FALSE(range_applies(Request("Range: bytes=0-1\nIf-Range: \"x\""), kBoth));
  const std::string by_date = "Range: bytes=0-1\nIf-Range: " + std::string(kModified);
  EXPECT_TRUE(range_applies(Request(by_date), kBoth));
  EXPECT_FALSE(range_applies(Request(by_date), {"", kModified, kDate - 3600 + 59}));
  EXPECT_FALSE(range_applies(Request(by_date), kNone));
}

std::string written(const Validators& stored) {
  std::string out;
  HeadWriter writer(out);
  static_cast<void>(write_validation(stored, writer));
  return out;
}

TEST(Validation, NamesAllValidators) {
  EXPECT_EQ(written(kBoth),
            "If-None-Match: \"abc\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 07:49:37 GMT\r\n");
  EXPECT_EQ(written(kWeak), "If-None-Match: W/\"abc\"\r\n");
  EXPECT_EQ(written(kNone), "");
  EXPECT_EQ(written({"unquoted", "", kDate}), "");
}

TEST(NotModified, ConfirmsWhatItNamesOrAll) {
  EXPECT_TRUE(confirms(Response("", 304), kBoth));
  EXPECT_TRUE(confirms(Response("ETag: \"abc\"", 304), kBoth));
  EXPECT_TRUE(confirms(Response("ETag: W/\"abc\"", 304), kBoth));
  EXPECT_FALSE(confirms(Response("ETag: \"x\"", 304), kBoth));
  EXPECT_FALSE(confirms(Response("ETag: \"abc\"", 304), kWeak));
  EXPECT_TRUE(confirms(Response("Last-Modified: " + std::string(kModified), 304), kBoth));
  EXPECT_FALSE(confirms(Response("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", 304), kBoth));
  EXPECT_TRUE(confirms(Response("Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", 304), kWeak));
}

TEST(NotModified, UpdatesAllButWhatDescribesTheBytes) {
  const Response stored(
      "Content-Type: text/plain\nContent-Encoding: br\nContent-Length: 5\nETag: \"abc\"\nAge: "
      "3\nX-A: 1\nX-A: 2\nX-B: 3\n"
      "Cache-Control: max-age=1\nContent-MD5: old");
  const Response fresh(
      "Content-Type: text/html\nContent-Encoding: gzip\nETag: \"abc\"\nAge: 9\nx-a: 7\nX-C: "
      "4\nCache-Control: max-age=60\n"
      "Connection: x-hop\nX-Hop: 1\nContent-MD5: new\nContent-Range: bytes 0-1/2",
      304);
  std::string out;
  HeadWriter writer(out);
  write_merged(stored, fresh, writer);
  EXPECT_EQ(
      out,
      "Content-Encoding: br\r\nETag: \"abc\"\r\nX-B: 3\r\nContent-MD5: old\r\n"
      "Content-Type: text/html\r\nAge: 9\r\nx-a: 7\r\nX-C: 4\r\nCache-Control: max-age=60\r\n");
}

TEST(HeadAnswer, ConfirmsWhatAgreesInAllThatItNames) {
  const Response stored("ETag: \"abc\"\nContent-Length: 5");
  const auto confirmed = [&](std::string_view lines, unsigned status = 200) {
    return confirms_by_head(Response(lines, status, Method::head), stored);
  };
  EXPECT_TRUE(confirmed(""));
  EXPECT_TRUE(confirmed("ETag: \"abc\"\nContent-Length: 5"));
  EXPECT_FALSE(confirmed("ETag: \"x\""));
  EXPECT_FALSE(confirmed("Content-Length: 6"));
  EXPECT_FALSE(confirmed("Last-Modified: " + std::string(kModified)));
  EXPECT_FALSE(confirmed("", 404));
}

TEST(NotModifiedToAClient, LeavesOutWhatDescribesTheContent) {
  std::string kept;
  const Response stored(
      "Content-Type: a/b\nContent-Length: 3\nContent-Encoding: br\nContent-Location: /x\nETag: "
      "\"a\"\nVary: a");
  for (const Field& field : static_cast<const ResponseHead&>(stored).fields) {
    if (goes_into_304(field)) kept += std::string(field.name) + " ";
  }
  EXPECT_EQ(kept, "Content-Location ETag Vary ");
}

}  // namespace
}  // namespace headroom::http
