#include "headroom/link/tags_out.h"

#include <gtest/gtest.h>

#include <vector>

namespace headroom::link {
namespace {

TEST(TagsOut, WhatIsHandedOutIsTakenOnceAndOnlyTagsOfTablesAre) {
  TagsOut out;
  EXPECT_FALSE(out.take("sql:app:1"));
  out.hand_out(std::vector<std::string>{"site", "sql:app", "sql:app:1"});
  EXPECT_TRUE(out.take("sql:app:1"));
  EXPECT_FALSE(out.take("sql:app:1"));
  EXPECT_TRUE(out.take("sql:app"));
  EXPECT_FALSE(out.take("site"));
}

TEST(TagsOut, BeyondItsLimitEverythingIsOut) {
  TagsOut out;
  std::vector<std::string> tags;
  for (std::size_t i = 0; i <= TagsOut::kMost; ++i) tags.push_back("sql:app:" + std::to_string(i));
  out.hand_out(tags);
  for (int turn = 0; turn < 2; ++turn) EXPECT_TRUE(out.take("sql:app:never"));
}

}  // namespace
}  // namespace headroom::link
