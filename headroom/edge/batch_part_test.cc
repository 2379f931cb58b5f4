#include "headroom/edge/batch_part.h"

#include <gtest/gtest.h>

#include "headroom/json/json.h"

namespace headroom::edge {
namespace {

BatchOptions options() {
  BatchOptions made;
  made.parts = 3;
  made.bytes_in = Bytes::kib(64);
  return made;
}

// The only part of a batch of one.
BatchPart part_of(const std::string& json) {
  auto parts = read_batch("[" + json + "]", options(), "X-Plan");
  if (!parts) {
    ADD_FAILURE() << json << ": " << parts.error().message;
    return {};
  }
  return std::move(parts->front());
}

std::string error_of(std::string_view text) {
  auto parts = read_batch(text, options(), {});
  return parts ? "none" : parts.error().message;
}

// An answer's body member as JSON text.
std::string body_of(std::string type, std::string body) {
  const InnerAnswer answer{200, {{"Content-Type", std::move(type)}}, std::move(body)};
  const std::string text = write_answer(answer);
  auto document = json::parse(text);
  if (!document) return "not JSON: " + text;
  const auto flag = document->root().find("base64");
  return document->root().find("body")->text() + (flag ? " base64" : "");
}

TEST(BatchPart, HasWhatItSaysAndIsAGetOtherwise) {
  const BatchPart part =
      part_of(R"({"method":"PUT","path":"/a?b=c","headers":{"X-A":"1"},"body":"text"})");
  EXPECT_EQ(part.method, "PUT");
  EXPECT_EQ(part.path, "/a?b=c");
  EXPECT_EQ(part.fields, (FieldTexts{{"X-A", "1"}}));
  EXPECT_EQ(part.body, "text");
  EXPECT_EQ(part.refusal.status, 0U);
  EXPECT_EQ(part_of(R"({"path":"/"})").method, "GET");
}

TEST(BatchPart, BodiesAreTextJsonOrBase64) {
  const BatchPart json = part_of(R"({"method":"POST","path":"/","body":{"a":[1,null]}})");
  EXPECT_EQ(json.body, R"({"a":[1,null]})");
  EXPECT_EQ(json.fields, (FieldTexts{{"Content-Type", "application/json"}}));
  EXPECT_EQ(part_of(R"({"path":"/","body":"AAH/","base64":true})").body,
            std::string("\0\1\xff", 3));
  EXPECT_EQ(part_of(R"({"path":"/","body":null})").body, "");
}

TEST(BatchPart, AListThatIsNoneSaysWhy) {
  EXPECT_EQ(error_of("{}"), "expected a list of requests");
  EXPECT_EQ(error_of("[]"), "the list is empty");
  EXPECT_EQ(error_of("[1]"), "part 0: expected an object");
  EXPECT_EQ(error_of(R"([{"path":"/"},{}])"), "part 1: field 'path': is required");
  EXPECT_NE(error_of(R"([{"path":"/","url":"/"}])").find("url"), std::string::npos);
  EXPECT_EQ(error_of(R"([{"path":"/","body":"?","base64":true}])"),
            "part 0: field 'body': expected base64");
  EXPECT_NE(error_of(R"([{"path":"/"},{"path":"/"},{"path":"/"},{"path":"/"}])").find("at most 3"),
            std::string::npos);
  EXPECT_NE(error_of(std::string(100, '[')), "none");
}

TEST(BatchPart, WhatWouldNotBeOneRequestIsRefused) {
  for (const char* path : {"", "a", "http://x/", "/a b", "/\\r\\nX: y", "/\\u0000", "/ü", "/#f"}) {
    EXPECT_EQ(part_of(R"({"path":")" + std::string(path) + "\"}").refusal.status, 400U) << path;
  }
  for (const char* method : {"", "GET /", "G\\r\\nT"}) {
    EXPECT_EQ(part_of(R"({"path":"/","method":")" + std::string(method) + "\"}").refusal.status,
              400U)
        << method;
  }
  EXPECT_EQ(part_of(R"({"path":"/","method":"CONNECT"})").refusal.status, 405U);
  for (const char* field : {R"("A":"b\r\nC: d")", R"("A\r\nB":"c")", R"("":"a")", R"("A:":"b")"}) {
    EXPECT_EQ(part_of(R"({"path":"/","headers":{)" + std::string(field) + "}}").refusal.status,
              400U)
        << field;
  }
}

TEST(BatchPart, NoneAsksForOurOwnPathsInAnySpelling) {
  for (const char* path : {"/_headroom/batch", "/_headroom", "/x/../_headroom/batch",
                           "//_headroom/batch", "/%5Fheadroom/batch", "/./_headroom/batch?x"}) {
    EXPECT_EQ(part_of(R"({"path":")" + std::string(path) + "\"}").refusal.status, 403U) << path;
  }
  EXPECT_EQ(part_of(R"({"path":"/_headroomy"})").refusal.status, 0U);
}

TEST(BatchPart, NoneSaysWhoAsksOrHowItIsFramed) {
  for (const char* name :
       {"X-Forwarded-For", "x-forwarded-anything", "Forwarded", "X-Real-IP", "CF-Connecting-IP",
        "True-Client-IP", "Via", "Host", "Content-Length", "Transfer-Encoding", "Connection",
        "Upgrade", "TE", "Expect", "Origin", "Sec-Fetch-Site", "X-Plan"}) {
    const BatchPart part =
        part_of(R"({"path":"/","headers":{")" + std::string(name) + R"(":"x"}})");
    EXPECT_EQ(part.refusal.status, 400U) << name;
  }
  EXPECT_EQ(part_of(R"({"path":"/","headers":{"Authorization":"Bearer x"}})").refusal.status, 0U);
}

TEST(BatchPart, InheritsWhatItDoesNotSay) {
  http::RequestHead head;
  const auto add = [&](std::string_view name, std::string_view value) {
    head.add({http::name_of(name), false, name, value});
  };
  add("Host", "example.org");
  add("Cookie", "a=b");
  add("Authorization", "Bearer outer");
  add("X-Forwarded-For", "1.2.3.4");
  add("Content-Type", "application/json");
  add("X-Else", "1");
  BatchPart part = part_of(R"({"path":"/","headers":{"authorization":"Bearer own"}})");
  inherit(part, inherited_fields(head, {}));
  EXPECT_EQ(part.fields, (FieldTexts{{"authorization", "Bearer own"},
                                     {"Accept-Encoding", "identity"},
                                     {"Cookie", "a=b"},
                                     {"X-Forwarded-For", "1.2.3.4"}}));
}

TEST(BatchAnswer, JsonStaysJsonTextIsAStringTheRestIsBase64) {
  EXPECT_EQ(body_of("application/json; charset=utf-8", R"({"a": 1})"), R"({"a":1})");
  EXPECT_EQ(body_of("application/problem+json", "[]"), "[]");
  EXPECT_EQ(body_of("application/json", R"({"a": )"), R"("{\"a\": ")");
  EXPECT_EQ(body_of("text/plain", "grüß\n"), "\"grüß\\n\"");
  EXPECT_EQ(body_of("image/png", "\x89PNG"), R"("iVBORw==" base64)");
  EXPECT_EQ(body_of("text/plain", std::string("a\0b", 3)), R"("YQBi" base64)");
  EXPECT_EQ(body_of("text/plain", ""), "null");
  for (const char* wrong : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    EXPECT_NE(body_of("text/plain", wrong).find("base64"), std::string::npos);
  }
}

TEST(BatchAnswer, RepeatedFieldsAreListsAndCookiesAreTheBatchs) {
  const InnerAnswer answer{
      200, {{"Link", "a"}, {"link", "b"}, {"Set-Cookie", "s=1; HttpOnly"}}, {}};
  EXPECT_EQ(write_answer(answer), R"({"status":200,"headers":{"Link":["a","b"]},"body":null})");
  EXPECT_EQ(cookie_lines(answer, "/app/login?x=/y"), "Set-Cookie: s=1; HttpOnly; Path=/app\r\n");
  EXPECT_EQ(cookie_lines(answer, "/app;Domain=x/y"), "Set-Cookie: s=1; HttpOnly; Path=/\r\n");
  const InnerAnswer own{200, {{"set-cookie", "s=1; path = /z"}}, {}};
  EXPECT_EQ(cookie_lines(own, "/a/b"), "Set-Cookie: s=1; path = /z\r\n");
}

}  // namespace
}  // namespace headroom::edge
