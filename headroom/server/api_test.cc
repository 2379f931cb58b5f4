#include "headroom/server/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "headroom/server/fixture_test.h"

namespace headroom::server {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct ApiTest : testing::Test {
  testing_rooms::Served served;
};

TEST_F(ApiTest, AnswersProbesWithoutATokenBeforeThereAreAny) {
  EXPECT_THAT(served.get("/livez"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(served.get("/readyz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(ApiTest, IsUnavailableUntilTheTokensAreLoaded) {
  EXPECT_THAT(served.get("/api/v1/overview"), StartsWith("HTTP/1.1 503 "));
  served.give_tokens();
  EXPECT_THAT(served.get("/api/v1/overview"), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(served.get("/api/v1/overview", "viewer"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(ApiTest, ForgetsTokensThatAreNoLongerGiven) {
  served.give_tokens();
  const std::string old = served.bearer("viewer");
  served.give_tokens();
  EXPECT_THAT(served.ask("GET /api/v1/overview HTTP/1.1\r\n" + old), StartsWith("HTTP/1.1 401 "));
}

TEST_F(ApiTest, TakesASegmentsSlashesPlainOrEscaped) {
  served.give_tokens();
  for (const std::string server :
       {"http://127.0.0.1:80", "http:%2F%2F127.0.0.1:80", "http%3a//127.0.0.1:80"}) {
    served.rooms.drained.clear();
    EXPECT_THAT(served.post("/api/v1/upstreams/app/" + server + "/drain", "operator"),
                StartsWith("HTTP/1.1 200 "))
        << server;
    EXPECT_EQ(served.rooms.drained, "app http://127.0.0.1:80 true");
  }
  EXPECT_THAT(served.post("/api/v1/upstreams/app/x/undrain", "operator"),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(served.rooms.drained, "app x false");
}

TEST_F(ApiTest, RefusesPathsThatOnlyLookLikeOnes) {
  served.give_tokens();
  for (const std::string path : {"/api/v1/upstreams/app//drain", "/api/v1/upstreams/app/drain",
                                 "/api/v1/upstreams/app/a%zz/drain", "/api/v1/upstreams//x/drain",
                                 "/livez/", "//livez", "/livez%20"}) {
    EXPECT_THAT(served.post(path, "operator"), StartsWith("HTTP/1.1 40")) << path;
    EXPECT_EQ(served.rooms.drained, "") << path;
  }
}

TEST_F(ApiTest, SaysWhichMethodsAPathHas) {
  const std::string answer = served.post("/metrics", "");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer, HasSubstr("\r\nAllow: GET, HEAD\r\n"));
}

TEST_F(ApiTest, ReadsNoBodyOfWhoMayNotAsk) {
  served.give_tokens();
  // A body that never comes: an answer shows that none was waited for.
  const std::string head =
      "POST /api/v1/upstreams/drain HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: "
      "100\r\n";
  EXPECT_THAT(served.ask(head), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(served.ask(head + served.bearer("viewer")), StartsWith("HTTP/1.1 403 "));
}

TEST_F(ApiTest, RefusesBodiesThatAreTooLarge) {
  served.give_tokens();
  const std::string body = "{\"group\":\"" + std::string(Api::kBodyLimit, 'x') + "\"}";
  EXPECT_THAT(served.post("/api/v1/upstreams/drain", "operator", body),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(ApiTest, GivesErrorsOfRoomsTheirStatus) {
  served.give_tokens();
  const std::string answer =
      served.post("/api/v1/upstreams/drain", "operator", R"({"group":"none","server":"x"})");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(answer, HasSubstr(R"({"error":{"code":"not_found","message":"no such group"}})"));
}

TEST(ErrorReply, HasAStatusForEveryCode) {
  for (const Errc code :
       {Errc::invalid, Errc::not_found, Errc::conflict, Errc::timeout, Errc::cancelled,
        Errc::overloaded, Errc::unavailable, Errc::unauthorized, Errc::protocol}) {
    EXPECT_NE(error_reply(Error{code, "x"}).status, 500U);
  }
  EXPECT_EQ(error_reply(Error{Errc::internal, "x"}).status, 500U);
  EXPECT_EQ(error_reply(Error{Errc::overloaded, "x"}).fields, "Retry-After: 1\r\n");
}

TEST(CallTest, DecodesAQuerysValues) {
  const Call call{.parameters = {},
                  .query = "days=90&name=a%20b&empty=",
                  .body = {},
                  .content_type = {},
                  .accept = {},
                  .who = {}};
  EXPECT_EQ(call.query_value("days"), "90");
  EXPECT_EQ(call.query_value("name"), "a b");
  EXPECT_EQ(call.query_value("none"), "");
}

TEST(Describe, AChangeIsToldWithWhoAndWhatAndNothingElseOfItsBody) {
  Call call{.parameters = {{"name", "jobs waiting"}},
            .query = "",
            .body = R"({"for":"1h"})",
            .content_type = "",
            .accept = "",
            .who = {}};
  call.who.name = "otto";
  EXPECT_EQ(describe("Tells nobody of an alert for so long.", call),
            "otto: tells nobody of an alert for so long (jobs waiting 1h)");
  call.parameters.clear();
  call.body = R"({"tags":["posts","events",7],"token":"secret","data":{"group":"secret"}})";
  EXPECT_EQ(describe("Drops what has one of the tags. (FastNext)", call),
            "otto: drops what has one of the tags (posts events)");
  call.body = "no JSON: secret";
  EXPECT_EQ(describe("Makes a token; its text is here.", call), "otto: makes a token");
  call.body = R"({"pattern":")" + std::string(150, 'a') + std::string(100, '\xc3') + R"("})";
  EXPECT_LT(describe("Drops.", call).size(), 300U);
  call.body = "{\"pattern\":\"";
  for (int i = 0; i < 150; ++i) call.body += "\u00e9";
  call.body += "\"}";
  const std::string cut = describe("Drops.", call);
  EXPECT_TRUE(cut.ends_with("\u00e9)")) << cut;
}

}  // namespace
}  // namespace headroom::server
