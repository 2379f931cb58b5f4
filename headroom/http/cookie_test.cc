#include "headroom/http/cookie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::http {
namespace {

struct Cut {
  std::string rest;
  std::vector<std::string> taken{};
};

Cut cut(std::string value) {
  Cut made;
  value.resize(cut_cookie(value, "hr", made.taken));
  made.rest = std::move(value);
  return made;
}

TEST(Cookie, OneIsTakenOutAndTheOthersReadAsIfItHadNeverBeenThere) {
  EXPECT_EQ(cut("hr=1; a=2; b=3").rest, "a=2; b=3");
  EXPECT_EQ(cut("a=2; hr=1; b=3").rest, "a=2; b=3");
  EXPECT_EQ(cut("a=2; b=3; hr=1").rest, "a=2; b=3");
  EXPECT_EQ(cut("hr=1").rest, "");
  EXPECT_THAT(cut("a=2;hr=x.y=z ;b=3").taken, testing::ElementsAre("x.y=z"));
  EXPECT_EQ(cut("a=2;hr=x.y=z ;b=3").rest, "a=2; b=3");
}

TEST(Cookie, EveryOneOfTheNameIsTaken) {
  const Cut made = cut("hr=forged; a=1; hr=ours");
  EXPECT_EQ(made.rest, "a=1");
  EXPECT_THAT(made.taken, testing::ElementsAre("forged", "ours"));
}

TEST(Cookie, WhatIsNotThereLeavesTheValueAsItCame) {
  for (const char* value : {"", "a=1;b=2", "HR=1;x", "xhr=1", "hr", "hrx=1;;", " a = 1 ;"}) {
    EXPECT_EQ(cut(value).rest, value);
    EXPECT_TRUE(cut(value).taken.empty());
  }
}

}  // namespace
}  // namespace headroom::http
