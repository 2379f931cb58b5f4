#include "headroom/http/query.h"

#include <gtest/gtest.h>

namespace headroom::http {
namespace {

TEST(QueryTest, FieldsAreDecodedInTheirOrder) {
  const auto fields = query_fields("b=x%20y+z&a=%C3%a9&&empty=&bare&b=second&end=%41");
  ASSERT_TRUE(fields);
  const QueryFields expected{{"b", "x y z"}, {"a", "\xc3\xa9"}, {"empty", ""},
                             {"bare", ""},   {"b", "second"},   {"end", "A"}};
  EXPECT_EQ(*fields, expected);
  EXPECT_EQ(find_field(*fields, "b"), "x y z");
  EXPECT_EQ(find_field(*fields, "c"), std::nullopt);
  EXPECT_TRUE(query_fields("")->empty());
}

TEST(QueryTest, BrokenEscapesAndTooManyFieldsAreRefused) {
  for (const char* query : {"a=%", "a=%4", "a=%zz", "%=1", "a=%4&b=1"})
    EXPECT_FALSE(query_fields(query)) << query;
  std::string many;
  for (std::size_t i = 0; i < kMostQueryFields; ++i) many += "a=1&";
  EXPECT_TRUE(query_fields(many));
  EXPECT_FALSE(query_fields(many + "a=1"));
}

}  // namespace
}  // namespace headroom::http
