#include "headroom/json/schema.h"

#include <gtest/gtest.h>

namespace headroom::json {
namespace {

constexpr std::string_view kOrder =
    R"({"type": "object", "required": ["id", "price"], "additionalProperties": false,
  "properties": {"id": {"type": "integer", "minimum": 1}, "price": {"type": "number"}, "note": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 9000}}})";

TEST(SchemaTest, TakesWhatItSaysAndNamesWhatItDoesNot) {
  const auto schema = Schema::compile(kOrder);
  ASSERT_TRUE(schema.has_value()) << schema.error().message;
  EXPECT_TRUE((*schema)->check(R"({"id": 1, "price": 2.5})").has_value());
  EXPECT_TRUE((*schema)->check(R"({"id": 1, "price": 2, "note": "abc"})").has_value());
  for (const char* bad : {"", "x", "[]", "{}", R"({"id": 1})", R"({"id": 0, "price": 1})",
                          R"({"id": 1, "price": "1"})", R"({"id": 1, "price": 1, "more": 1})",
                          R"({"id": 1, "price": 1, "note": "A"})", R"({"id": 1.5, "price": 1})"}) {
    const auto checked = (*schema)->check(bad);
    ASSERT_FALSE(checked.has_value()) << bad;
    EXPECT_EQ(checked.error().code, Errc::invalid);
    EXPECT_FALSE(checked.error().message.empty());
  }
}

TEST(SchemaTest, WhatIsNoSchemaIsRefused) {
  for (const char* bad : {"", "[]", "7", R"({"type": 7})", R"({"pattern": "("})",
                          R"({"$ref": "http://a.example/schema"})"})
    EXPECT_FALSE(Schema::compile(bad).has_value()) << bad;
}

TEST(SchemaTest, LongTextsAreNotMatched) {
  const auto schema = Schema::compile(kOrder);
  ASSERT_TRUE(schema.has_value());
  const std::string most(Schema::kMostPattern, 'a');
  EXPECT_TRUE((*schema)->check(R"({"id": 1, "price": 1, "note": ")" + most + "\"}").has_value());
  EXPECT_FALSE((*schema)->check(R"({"id": 1, "price": 1, "note": ")" + most + "a\"}").has_value());
}

}  // namespace
}  // namespace headroom::json
