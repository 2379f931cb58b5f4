#include "headroom/json/raw.h"

#include <gtest/gtest.h>

namespace headroom::json {
namespace {

TEST(RawTest, AMemberIsWhatWasWritten) {
  const std::string_view text =
      R"( { "event" : "x", "data" : {"id": 123456789012345678901234567890, "t": "a } \" ]"} , "n":1.0} )";
  EXPECT_EQ(raw_member(text, "event"), R"("x")");
  EXPECT_EQ(raw_member(text, "data"), R"({"id": 123456789012345678901234567890, "t": "a } \" ]"})");
  EXPECT_EQ(raw_member(text, "n"), "1.0");
  EXPECT_EQ(raw_member(text, "none"), "");
}

TEST(RawTest, OfSeveralTheLastAndNamesMayBeEscaped) {
  EXPECT_EQ(raw_member(R"({"a":1,"a":[2,[3]]})", "a"), "[2,[3]]");
  EXPECT_EQ(raw_member(R"({"\u0061":true})", "a"), "true");
  EXPECT_EQ(raw_member(R"({"b":{"a":1}})", "a"), "");
}

TEST(RawTest, WhatIsNoObjectHasNoMembers) {
  for (const std::string_view text : {"", "[1]", "7", "{", R"({"a)", R"({"a")", R"({"a":)", "{}"})
    EXPECT_EQ(raw_member(text, "a"), "") << text;
}

TEST(RawTest, CompactedKeepsWhatIsInTexts) {
  EXPECT_EQ(compacted("{ \"a b\" : [ 1 ,\n 2.50 ] , \"c\": \"\\\" \\\\\" }"),
            R"({"a b":[1,2.50],"c":"\" \\"})");
}

}  // namespace
}  // namespace headroom::json
