#include "headroom/sql/worth.h"

#include <gtest/gtest.h>

namespace headroom::sql {
namespace {

class WorthTest : public testing::Test {
 protected:
  // So many look-ups, a hit and a drop at each so manieth (0: none); how many were looked up.
  int ask(int times, int hit_each, int drop_each, Duration took = 1ms) {
    int looked = 0;
    for (int i = 1; i <= times; ++i) {
      now += 1ms;
      if (drop_each > 0 && i % drop_each == 0) ++drops;
      if (worth.rests(drops, now)) continue;
      worth.looked_up();
      ++looked;
      if (hit_each > 0 && i % hit_each == 0)
        worth.hit();
      else
        worth.filled(took);
    }
    return looked;
  }
  [[nodiscard]] bool rests() const { return worth.verdict(now).rest_left > Duration::zero(); }

  Worth worth;
  std::uint64_t drops = 0;
  TimePoint now = TimePoint(3600s);
};

TEST_F(WorthTest, WithoutWritesItIsLookedUpHoweverFewTheHits) {
  EXPECT_EQ(ask(10'000, 0, 0), 10'000);
}

TEST_F(WorthTest, WhatIsDroppedBeforeItIsHitRests) {
  ask(1000, 0, 10);
  EXPECT_TRUE(rests());
  EXPECT_EQ(worth.verdict(now).look_ups, Worth::kLookUps);
  EXPECT_EQ(worth.verdict(now).hits, 0);
  EXPECT_GE(worth.verdict(now).drops, Worth::kDrops);
}

TEST_F(WorthTest, WhatIsHitOftenEnoughIsLookedUpHoweverManyTheWrites) {
  EXPECT_EQ(ask(10'000, 3, 2), 10'000);
}

TEST_F(WorthTest, AFewWritesAmongManyReadsAreNoReasonToRest) { EXPECT_EQ(ask(700, 0, 100), 700); }

TEST_F(WorthTest, ASlowQueryPaysWithFewerHits) {
  EXPECT_EQ(ask(2000, 50, 10, 200ms), 2000);
  EXPECT_LT(ask(2000, 50, 10, 1ms), 2000);
}

TEST_F(WorthTest, ARestIsFollowedByATrialAndGrowsWhileNothingHasChanged) {
  const int looked = ask(60'000, 0, 10);  // a minute
  EXPECT_LT(looked, 20 * static_cast<int>(Worth::kLookUps));
  EXPECT_GT(looked, 5 * static_cast<int>(Worth::kLookUps));
}

TEST_F(WorthTest, ARestEndsEarlyWhenTheWritesHaveEnded) {
  ask(60'000, 0, 10);
  ask(1000, 0, 0);
  EXPECT_FALSE(rests());
  EXPECT_EQ(ask(1000, 2, 0), 1000);
}

TEST_F(WorthTest, AndItRecoversWhenTheHitsAreBack) {
  ask(60'000, 0, 10);
  ask(10'000, 2, 10);
  EXPECT_EQ(ask(10'000, 2, 10), 10'000);
}

}  // namespace
}  // namespace headroom::sql
