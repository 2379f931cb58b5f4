#include "headroom/http/structured.h"

#include <gtest/gtest.h>

namespace headroom::http::structured {
namespace {

TEST(Dictionary, HasMembersOfAllKinds) {
  const auto members = parse_dictionary(
      R"(a=1, b=-2.5 ,  c="x\"y", d=tok/en, e=?0, f;p=1, g=:aGk=:, h=(1 2 "x");q, i=@1700000000, j=%"f%c3%bc", *k=*)");
  ASSERT_TRUE(members.has_value());
  ASSERT_EQ(members->size(), 11U);
  const std::vector<Kind> kinds{Kind::integer, Kind::decimal,        Kind::string, Kind::token,
                                Kind::boolean, Kind::boolean,        Kind::bytes,  Kind::inner_list,
                                Kind::date,    Kind::display_string, Kind::token};
  for (std::size_t i = 0; i < kinds.size(); ++i) EXPECT_EQ((*members)[i].value.kind, kinds[i]) << i;
  EXPECT_EQ((*members)[0].value.integer, 1);
  EXPECT_EQ((*members)[2].value.text(), "x\"y");
  EXPECT_EQ((*members)[4].value.integer, 0);
  EXPECT_EQ((*members)[5].value.integer, 1);
}

TEST(Dictionary, LastOfAKeyCounts) {
  const auto members = parse_dictionary("a=1, b=2, a=3");
  ASSERT_TRUE(members.has_value());
  ASSERT_EQ(members->size(), 2U);
  EXPECT_EQ((*members)[1].key, "a");
  EXPECT_EQ((*members)[1].value.integer, 3);
}

TEST(Dictionary, ThatIsEmptyHasNoMembers) {
  EXPECT_TRUE(parse_dictionary("")->empty());
  EXPECT_TRUE(parse_dictionary("  ")->empty());
}

TEST(Dictionary, WithAnyErrorIsNothing) {
  for (const std::string_view text : {"a=",
                                      "a=1,",
                                      ",a=1",
                                      "A=1",
                                      "a =1",
                                      "a= 1",
                                      "a=1 b=2",
                                      "a=1;",
                                      "a=1;=2",
                                      "a=\"x",
                                      "a=\"\x01\"",
                                      "a=\"\\x\"",
                                      "a=?2",
                                      "a=1.",
                                      "a=1.2345",
                                      "a=-",
                                      "a=1234567890123456",
                                      "a=1234567890123.1",
                                      "a=(1 2",
                                      "a=(1,2)",
                                      "a=:a",
                                      "a=@1.5",
                                      "a=%\"%4\"",
                                      "a=%\"%C3\"",
                                      "1=a",
                                      "a=1\tb",
                                      "a;;b",
                                      "a=\xc3"})
    EXPECT_FALSE(parse_dictionary(text).has_value()) << text;
}

TEST(List, HasItemsInOrder) {
  const auto values = parse_list("\"a\", \"b\";x=1,c\t,\t1");
  ASSERT_TRUE(values.has_value());
  ASSERT_EQ(values->size(), 4U);
  EXPECT_EQ((*values)[1].text(), "b");
  EXPECT_EQ((*values)[3].integer, 1);
  EXPECT_FALSE(parse_list("\"a\",").has_value());
  EXPECT_FALSE(parse_list("a b").has_value());
}

TEST(List, HasAtMostSixtyFourMembers) {
  std::string text = "1";
  for (int i = 1; i < 64; ++i) text += ",1";
  EXPECT_TRUE(parse_list(text).has_value());
  EXPECT_FALSE(parse_list(text + ",1").has_value());
}

}  // namespace
}  // namespace headroom::http::structured
