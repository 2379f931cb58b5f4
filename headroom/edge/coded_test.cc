#include "headroom/edge/coded.h"

#include <gtest/gtest.h>

#include <set>

#include "headroom/base/assert.h"
#include "headroom/edge/request_fixture.h"
#include "headroom/http/writer.h"

namespace headroom::edge {
namespace {

using coding::Coding;

class TestAnswer {
 public:
  explicit TestAnswer(std::string_view fields, std::string_view status = "200 OK",
                      std::uint64_t length = 5000) {
    text_ = "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(fields);
    if (length != 0) text_ += "Content-Length: " + std::to_string(length) + "\r\n";
    text_ += "\r\n";
    http::ScanState state;
    const http::Parsed parsed =
        http::parse_response_head(text_, {}, state, http::Method::get, head_);
    HR_ASSERT(std::string_view(parsed.refusal.reason) == std::string_view());
  }
  TestAnswer(const TestAnswer&) = delete;
  TestAnswer& operator=(const TestAnswer&) = delete;
  [[nodiscard]] http::ResponseHead& head() { return head_; }

 private:
  std::string text_;
  http::ResponseHead head_;
};

RouteCoding route(PersonalAnswers personal = PersonalAnswers::guarded) {
  EdgeOptions edge = edge_section().defaults();
  edge.compress.personal = personal;
  edge.compress.types = {"application/X-Thing"};
  auto made = RouteCoding::compile(edge, route_section().defaults());
  HR_ASSERT(made.has_value());
  return std::move(*made);
}

Plan plan(std::string_view request, std::string_view answer, std::string_view status = "200 OK",
          std::uint64_t length = 5000) {
  const TestRequest asked("GET /", request);
  TestAnswer answered(answer, status, length);
  return plan_for(route(), asked.head(), answered.head());
}

constexpr std::string_view kJson = "Content-Type: application/json\r\n";

TEST(Coded, WhatMayBeCodedVariesAlsoWhereItIsNot) {
  EXPECT_EQ(plan("Accept-Encoding: gzip", kJson).coding, Coding::gzip);
  EXPECT_TRUE(plan("Accept-Encoding: gzip", kJson).varies);
  EXPECT_EQ(plan("", kJson).coding, Coding::identity);
  EXPECT_TRUE(plan("", kJson).varies);
  for (const std::string_view left_alone :
       {"Content-Type: image/png\r\n", "Content-Type: application/json\r\nContent-Encoding: br\r\n",
        "Content-Type: application/json\r\nCache-Control: max-age=1\r\nCache-Control: "
        "no-transform\r\n",
        "Content-Type: application/json\r\nContent-Range: bytes 0-1/2\r\n", "",
        "Content-Type: application/x-thingy\r\n"}) {
    EXPECT_FALSE(plan("Accept-Encoding: gzip", left_alone).varies) << left_alone;
  }
  EXPECT_TRUE(
      plan("Accept-Encoding: gzip", "Content-Type: Application/x-Thing; a=b\r\n").is_coded());
  EXPECT_FALSE(plan("Accept-Encoding: gzip", kJson, "200 OK", 1023).varies);
  EXPECT_FALSE(plan("Accept-Encoding: gzip", kJson, "206 Partial Content").varies);
}

TEST(Coded, OnlyAnotherSitesPageMakesAPersonalAnswerPlain) {
  struct Row {
    std::string_view request;
    bool sets_cookie;
    Asker asker;
  };
  constexpr std::array kRows{
      Row{"", false, Asker::harmless},
      Row{"Sec-Fetch-Site: cross-site", false, Asker::harmless},
      Row{"Cookie: a=b", false, Asker::unknown},
      Row{"Cookie: a=b\r\nSec-Fetch-Site: same-origin", false, Asker::harmless},
      Row{"Cookie: a=b\r\nSec-Fetch-Site: none", false, Asker::harmless},
      Row{"Cookie: a=b\r\nSec-Fetch-Site: same-site", false, Asker::unknown},
      Row{"Cookie: a=b\r\nSec-Fetch-Site: cross-site", false, Asker::stranger},
      Row{"Cookie: a=b\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-User: ?1", false, Asker::unknown},
      Row{"Cookie: a=b\r\nSec-Fetch-Site: nonsense", false, Asker::unknown},
      Row{"Authorization: Basic YTpi\r\nSec-Fetch-Site: cross-site", false, Asker::stranger},
      Row{"Authorization: bearer abc\r\nSec-Fetch-Site: cross-site", false, Asker::harmless},
      Row{"", true, Asker::unknown},
  };
  for (const Row& row : kRows) {
    const TestRequest request("GET /", row.request);
    const auto sets_cookie = row.sets_cookie ? SetsCookie::yes : SetsCookie::no;
    EXPECT_EQ(asker_of(request.head(), sets_cookie), row.asker) << row.request;
  }
}

TEST(Coded, TheSettingDecidesWhatPersonalAnswersGet) {
  const TestRequest stranger("GET /",
                             "Accept-Encoding: gzip\r\nCookie: a=b\r\nSec-Fetch-Site: cross-site");
  const TestRequest unknown("GET /", "Accept-Encoding: gzip\r\nCookie: a=b");
  TestAnswer answer(kJson);
  EXPECT_FALSE(
      plan_for(route(PersonalAnswers::guarded), stranger.head(), answer.head()).is_coded());
  EXPECT_TRUE(plan_for(route(PersonalAnswers::guarded), unknown.head(), answer.head()).padded);
  EXPECT_FALSE(plan_for(route(PersonalAnswers::off), unknown.head(), answer.head()).is_coded());
  EXPECT_TRUE(plan_for(route(PersonalAnswers::off), unknown.head(), answer.head()).varies);
  EXPECT_TRUE(plan_for(route(PersonalAnswers::on), stranger.head(), answer.head()).is_coded());
  EXPECT_FALSE(plan_for(route(PersonalAnswers::on), stranger.head(), answer.head()).padded);
}

TEST(Coded, TagsAreMadeWhereThereIsNoValidator) {
  EXPECT_TRUE(plan("", "").tagged);
  EXPECT_FALSE(plan("", "ETag: \"a\"\r\n").tagged);
  EXPECT_FALSE(plan("", "Last-Modified: Sat, 01 Nov 2025 10:00:00 GMT\r\n").tagged);
  EXPECT_FALSE(plan("", "Cache-Control: no-store\r\n").tagged);
  EXPECT_FALSE(plan("", "", "404 Not Found").tagged);
  EXPECT_FALSE(plan("", "", "200 OK", kTaggedBytes + 1).tagged);
  EXPECT_FALSE(plan("", "Transfer-Encoding: chunked\r\n", "200 OK", 0).tagged);
  EXPECT_EQ(content_tag("abc"), content_tag("abc"));
  EXPECT_NE(content_tag("abc"), content_tag("abd"));
  EXPECT_EQ(content_tag("").size(), 18U);
}

TEST(Coded, AClientThatHasItIsToldSo) {
  EXPECT_TRUE(plan("If-None-Match: W/\"a\"", "ETag: \"a\"\r\n").confirmed);
  EXPECT_TRUE(plan("If-None-Match: \"b\", \"a\"", "ETag: W/\"a\"\r\n").confirmed);
  EXPECT_FALSE(plan("If-None-Match: \"b\"", "ETag: \"a\"\r\n").confirmed);
  EXPECT_FALSE(plan("If-None-Match: \"a\"\r\nIf-Match: \"a\"", "ETag: \"a\"\r\n").confirmed);
  EXPECT_FALSE(plan("If-None-Match: \"a\"", "ETag: \"a\"\r\n", "404 Not Found").confirmed);
}

std::string rewritten(const Rewrite& rewrite, std::string_view fields) {
  TestAnswer answer(fields);
  std::string out;
  http::HeadWriter(out).forward(answer.head().fields,
                                [&](const http::Field& f) { return rewrite.keeps(f); });
  rewrite.append_lines(out, answer.head());
  return out;
}

TEST(Coded, AHeadIsRewrittenForItsBytes) {
  constexpr std::string_view kFields =
      "ETag: \"a\"\r\nVary: Origin\r\nAccept-Ranges: bytes\r\nContent-Digest: x\r\nX-A: 1\r\nVary: "
      "X-B\r\n";
  EXPECT_EQ(rewritten({}, kFields), kFields);
  EXPECT_EQ(rewritten({.varies = true}, kFields),
            "ETag: \"a\"\r\nAccept-Ranges: bytes\r\nContent-Digest: x\r\nX-A: 1\r\nVary: Origin, "
            "X-B, Accept-Encoding\r\n");
  EXPECT_EQ(
      rewritten({.coding = Coding::br, .varies = true}, kFields),
      "X-A: 1\r\nVary: Origin, X-B, Accept-Encoding\r\nContent-Encoding: br\r\nETag: W/\"a\"\r\n");
  EXPECT_EQ(rewritten({.coding = Coding::br, .varies = true}, "Vary: *\r\nETag: broken\r\n"),
            "Vary: *\r\nContent-Encoding: br\r\n");
  EXPECT_EQ(rewritten({.etag = "\"h\""}, "X-A: 1\r\n"), "X-A: 1\r\nETag: \"h\"\r\n");
  EXPECT_EQ(rewritten({.coding = Coding::gzip, .varies = true, .not_modified = true},
                      "Content-Type: text/html\r\nETag: \"a\"\r\nSet-Cookie: a=b\r\n"),
            "Set-Cookie: a=b\r\nVary: Accept-Encoding\r\nETag: W/\"a\"\r\n");
}

TEST(Coded, A304OfTheAppNamesTheTagAsTheClientDid) {
  const auto lines = [](std::string_view said) {
    const TestRequest request("GET /", said);
    TestAnswer answer("ETag: \"a\"\r\n", "304 Not Modified", 0);
    std::string out;
    const Rewrite rewrite = rewrite_of_304(request.head(), answer.head());
    http::HeadWriter(out).forward(answer.head().fields,
                                  [&](const http::Field& f) { return rewrite.keeps(f); });
    rewrite.append_lines(out, answer.head());
    return out;
  };
  EXPECT_EQ(lines("If-None-Match: W/\"a\""), "Vary: Accept-Encoding\r\nETag: W/\"a\"\r\n");
  EXPECT_EQ(lines("If-None-Match: \"a\""), "ETag: \"a\"\r\n");
  EXPECT_EQ(lines("If-None-Match: \"a\", W/\"a\""), "ETag: \"a\"\r\n");
  EXPECT_EQ(lines(""), "ETag: \"a\"\r\n");
}

TEST(Coded, PaddingIsBoundedAndNotAlwaysTheSame) {
  std::set<std::size_t> sizes;
  for (int i = 0; i < 100; ++i) {
    std::string line;
    append_padding(line);
    EXPECT_TRUE(line.starts_with("X-Padding: x") && line.ends_with("\r\n"));
    EXPECT_LE(line.size(), 13 + kMostPadding);
    sizes.insert(line.size());
  }
  EXPECT_GT(sizes.size(), 10U);
}

TEST(Coded, EventsTakeTheCodingOfLeastMemory) {
  const auto chosen = [](std::string_view said) {
    const TestRequest request("GET /", said);
    return coding_for_events(coding_for(route(), request.head()), request.head());
  };
  EXPECT_EQ(chosen("Accept-Encoding: zstd, br, gzip"), Coding::gzip);
  EXPECT_EQ(chosen("Accept-Encoding: zstd, br"), Coding::zstd);
  EXPECT_EQ(chosen("Accept-Encoding: zstd, gzip;q=0"), Coding::zstd);
  EXPECT_EQ(chosen("Accept-Encoding: identity"), Coding::identity);
}

TEST(Coded, ARoutesSettingsComeBeforeTheEdges) {
  EdgeOptions edge = edge_section().defaults();
  RouteOptions options = route_section().defaults();
  options.compress = {
      .enabled = false, .least = Bytes{7}, .personal = PersonalAnswers::on, .plain_from_app = true};
  options.etags = false;
  const auto made = RouteCoding::compile(edge, options);
  ASSERT_TRUE(made);
  EXPECT_FALSE(made->enabled);
  EXPECT_EQ(made->least_bytes, 7U);
  EXPECT_EQ(made->personal, PersonalAnswers::on);
  EXPECT_TRUE(made->plain_from_app);
  EXPECT_FALSE(made->etags);
  edge.compress.codings.clear();
  EXPECT_FALSE(RouteCoding::compile(edge, route_section().defaults())->enabled);
  edge.compress.codings = {"gzip", "gzip"};
  EXPECT_FALSE(RouteCoding::compile(edge, route_section().defaults()));
}

}  // namespace
}  // namespace headroom::edge
