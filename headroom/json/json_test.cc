#include "headroom/json/json.h"

#include <gtest/gtest.h>

#include "headroom/base/error.h"
#include "headroom/json/reader.h"

namespace headroom::json {
namespace {

std::string error_of(std::string_view text, const Limits& limits = {}) {
  const auto document = parse(text, limits);
  return document ? "accepted" : document.error().message;
}

TEST(Json, ReadsEveryKindOfValue) {
  const auto document = parse(R"({"n":null,"b":true,"i":-3,"u":18446744073709551615,"d":0.5,
                                  "s":"a\u00e9","a":[1,"x"],"o":{"k":1}})");
  ASSERT_TRUE(document);
  const Value root = document->root();
  EXPECT_EQ(root.size(), 8U);
  EXPECT_TRUE(root.find("n")->is_null());
  EXPECT_EQ(root.find("b")->boolean(), true);
  EXPECT_EQ(root.find("i")->integer(), -3);
  EXPECT_EQ(root.find("i")->natural(), std::nullopt);
  EXPECT_EQ(root.find("u")->natural(), 18446744073709551615U);
  EXPECT_EQ(root.find("d")->number(), 0.5);
  EXPECT_EQ(root.find("d")->integer(), std::nullopt);
  EXPECT_EQ(root.find("s")->string(), "a\xC3\xA9");
  EXPECT_EQ(root.find("a")->item(1).string(), "x");
  EXPECT_EQ(root.find("o")->text(), R"({"k":1})");
  EXPECT_EQ(root.find("missing"), std::nullopt);
  EXPECT_EQ(root.find("a")->find("x"), std::nullopt);
}

TEST(Json, ErrorsNameLineAndColumn) {
  EXPECT_EQ(error_of("{\"a\": 1,\n \"b\": }"), "line 2, column 7: not JSON: syntax error");
  EXPECT_EQ(error_of("[1, 2"), "line 1, column 6: the text ends too early");
  EXPECT_EQ(error_of(""), "line 1, column 1: the text ends too early");
  EXPECT_EQ(error_of("1 2"), "line 1, column 3: more text after the value");
}

TEST(Json, WhatRfc8259DoesNotKnowIsRefused) {
  for (const char* text : {"[1,]", "{\"a\":1,}", "// c\n1", "{'a':1}", "{a:1}", "01", "+1", ".5",
                           "NaN", "[1 2]", "\"\\x\"", "\"a\nb\"", "\"\\ud800\""}) {
    EXPECT_NE(error_of(text), "accepted") << text;
  }
}

TEST(Json, ANameMayStandOnceInAnObject) {
  EXPECT_EQ(error_of("{\"a\":1,\"b\":{\"a\":2},\"\\u0061\":3}"),
            "line 1, column 27: the name 'a' stands twice in one object");
  EXPECT_EQ(error_of(R"({"":1,"":2})"), "line 1, column 8: the name '' stands twice in one object");
  EXPECT_EQ(error_of(R"([{"a":1},{"a":{"a":1}}])"), "accepted");
}

TEST(Json, InvalidUtf8IsRefused) {
  EXPECT_NE(error_of("\"\xFF\""), "accepted");
  EXPECT_NE(error_of("\"\xED\xA0\x80\""), "accepted");
  EXPECT_NE(error_of("{\"\xC0\xAF\":1}"), "accepted");
}

TEST(Json, LimitsHold) {
  EXPECT_EQ(error_of("[[[1]]]", {.depth = 3}), "accepted");
  EXPECT_EQ(error_of("[[[[1]]]]", {.depth = 3}), "line 1, column 4: nested deeper than 3");
  const auto document = parse("[1,2,3]", {.bytes = {5}});
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, Errc::overloaded);
  EXPECT_EQ(document.error().message, "JSON of 7 bytes; at most 5B are read");
}

struct Push {
  std::vector<std::string> tags;
  std::int32_t priority = 5;
  std::optional<double> weight;
  std::map<std::string, std::string> labels;
  std::vector<std::uint8_t> steps;
};

Result<Push> read_push(std::string_view text) {
  const auto document = parse(text);
  EXPECT_TRUE(document);
  Push push;
  Reader in(document->root());
  in.required("tags", push.tags);
  in.optional("priority", push.priority);
  in.optional("weight", push.weight);
  in.optional("labels", push.labels);
  in.optional_objects("steps", [&](Reader& step) {
    std::uint8_t at = 0;
    step.required("at", at);
    push.steps.push_back(at);
  });
  if (auto read = in.finish(); !read) return pass(read);
  return push;
}

std::string push_error(std::string_view text) {
  const auto push = read_push(text);
  return push ? "accepted" : push.error().message;
}

TEST(JsonReader, TakesRequiredAndOptionalMembers) {
  const auto push = read_push(
      R"({"tags":["a"],"weight":0.5,"labels":{"k":"v"},"priority":null,"steps":[{"at":1},{"at":2}]})");
  ASSERT_TRUE(push);
  EXPECT_EQ(push->tags, std::vector<std::string>{"a"});
  EXPECT_EQ(push->priority, 5);
  EXPECT_EQ(push->weight, 0.5);
  EXPECT_EQ(push->labels.at("k"), "v");
  EXPECT_EQ(push->steps, (std::vector<std::uint8_t>{1, 2}));
}

TEST(JsonReader, ErrorsSayWhatWasExpected) {
  EXPECT_EQ(push_error("{}"), "field 'tags': is required");
  EXPECT_EQ(push_error("[]"), "expected an object");
  EXPECT_EQ(push_error(R"({"tags":"a"})"), "field 'tags': expected an array of strings");
  EXPECT_EQ(push_error(R"({"tags":["a",1]})"), "field 'tags': expected an array of strings");
  EXPECT_EQ(push_error(R"({"tags":[],"priority":2147483648})"),
            "field 'priority': expected a whole number from -2147483648 to 2147483647");
  EXPECT_EQ(push_error(R"({"tags":[],"weight":"x"})"), "field 'weight': expected a number");
  EXPECT_EQ(push_error(R"({"tags":[],"labels":{"a":1}})"),
            "field 'labels': expected an object of strings");
  EXPECT_EQ(push_error(R"({"tags":[],"priorty":1})"),
            "field 'priorty': is unknown; did you mean 'priority'?");
  EXPECT_EQ(push_error(R"({"tags":[],"zebra":1})"), "field 'zebra': is unknown");
  EXPECT_EQ(push_error(R"({"tags":[],"steps":{}})"), "field 'steps': expected an array of objects");
  EXPECT_EQ(push_error(R"({"tags":[],"steps":[{"at":1},{"at":256}]})"),
            "field 'steps[1].at': expected a whole number from 0 to 255");
  EXPECT_EQ(push_error(R"({"tags":[],"steps":[{"at":1,"att":2}]})"),
            "field 'steps[0].att': is unknown; did you mean 'at'?");
}

}  // namespace
}  // namespace headroom::json
