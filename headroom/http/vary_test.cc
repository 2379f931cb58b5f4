#include "headroom/http/vary.h"

#include <gtest/gtest.h>

#include "headroom/http/heads_test.h"

namespace headroom::http {
namespace {

std::optional<std::string> names(std::string_view lines) { return vary_names(Response(lines)); }

std::string key(std::string_view vary, std::string_view request,
                std::string_view encoding = "gzip") {
  std::string made;
  EXPECT_TRUE(append_vary_key(vary, Request(request), encoding, made));
  return made;
}

TEST(VaryNames, AreSortedInSmallLettersOnce) {
  EXPECT_EQ(names(""), "");
  EXPECT_EQ(names("Vary:"), "");
  EXPECT_EQ(names("Vary: Origin"), "origin");
  EXPECT_EQ(names("Vary: Foo, ,BAR\nVary: bar,Accept"), "accept,bar,foo");
}

TEST(Vary, StarAnywhereOrRubbishMeansNever) {
  for (const std::string_view value : {"*", "*, *", ", *", "*, Foo", "Foo, *", "a b", "\"a\""})
    EXPECT_EQ(names("Vary: " + std::string(value)), std::nullopt) << value;
  EXPECT_EQ(names("Vary:\nVary: *"), std::nullopt);
}

TEST(Vary, BeyondItsLimitsMeansNever) {
  std::string many = "Vary: n0";
  for (int i = 1; i <= 16; ++i) many += ",n" + std::to_string(i);
  EXPECT_EQ(names(many), std::nullopt);
  std::string long_value(5000, 'x');
  std::string made;
  EXPECT_FALSE(append_vary_key("foo", Request("Foo: " + long_value), "", made));
}

struct Pair {
  std::string_view a;
  std::string_view b;
  bool same;
};

TEST(VaryKey, IsEqualWhereTheMeaningIs) {
  for (const Pair& row :
       std::initializer_list<Pair>{{"Foo: 1", "Foo: 1", true},
                                   {"Foo: 1", "foo: 1", true},
                                   {"Foo: 1", "Foo: 2", false},
                                   {"Foo: 1", "", false},
                                   {"", "Foo: 1", false},
                                   {"Foo:", "", false},
                                   {"Foo: 1\nOther: 2", "Foo: 1\nOther: 3", true},
                                   {"Foo: 1, 2", "Foo: 1\nFoo: 2", true},
                                   {"Foo: 1,2", "Foo: 1 ,  2", true},
                                   {"Foo: \"a, b\"", "Foo: \"a,b\"", false},
                                   {"Foo: a", "Foo: A", false},
                                   {"Foo: a b", "Foo: a  b", false},
                                   {"Bar: 1", "Foo: 1", false},
                                   {"Foo: 1\nBar: 2", "Bar: 2\nFoo: 1", true},
                                   {"Accept-Language: en, de", "Accept-Language: eN ,De", true},
                                   {"Accept-Language: en, de", "Accept-Language: de, en", false},
                                   {"Accept-Encoding: gzip", "Accept-Encoding: br", true}}) {
    const bool same = key("accept-encoding,accept-language,bar,foo", row.a) ==
                      key("accept-encoding,accept-language,bar,foo", row.b);
    EXPECT_EQ(same, row.same) << row.a << " | " << row.b;
  }
  EXPECT_NE(key("accept-encoding", "", "gzip"), key("accept-encoding", "", "br"));
  EXPECT_EQ(key("", "Foo: 1"), "");
}

TEST(VaryKey, CannotBeForgedByAValue) {
  EXPECT_NE(key("a,b", "A: 1"), key("a,b", "A: 1\nB:"));
  EXPECT_EQ(key("a,b", "A: x=y,b"), "a=x=y,b\nb\n");
}

}  // namespace
}  // namespace headroom::http
