#include "headroom/sql/snapshot.h"

#include <gtest/gtest.h>

namespace headroom::sql {
namespace {

TEST(Snapshot, SeesWhatIsOverAndNothingElse) {
  const auto snapshot = Snapshot::parse("10:20:10,14,15");
  ASSERT_TRUE(snapshot);
  for (const std::uint32_t over : {3U, 9U, 11U, 13U, 16U, 19U})
    EXPECT_TRUE(snapshot->sees(over)) << over;
  for (const std::uint32_t running : {10U, 14U, 15U, 20U, 21U, 1000U})
    EXPECT_FALSE(snapshot->sees(running)) << running;
}

TEST(Snapshot, NumbersGoRound) {
  const auto snapshot = Snapshot::parse("4294967290:4294967302:4294967291,4294967300");
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->sees(4294967289U));
  EXPECT_TRUE(snapshot->sees(4294967295U));
  EXPECT_TRUE(snapshot->sees(3U));
  EXPECT_FALSE(snapshot->sees(4294967291U));
  EXPECT_FALSE(snapshot->sees(4U));
  EXPECT_FALSE(snapshot->sees(6U));
}

TEST(Snapshot, WhatIsNoneIsRefused) {
  EXPECT_TRUE(Snapshot::parse("10:10:"));
  for (const std::string_view text :
       {"", ":", "::", "10:20", "20:10:", "a:b:c", "10:20:x", "10:20:11,", "10:20:11:12"})
    EXPECT_FALSE(Snapshot::parse(text)) << text;
}

}  // namespace
}  // namespace headroom::sql
