#include "headroom/sql/drop_positions.h"

#include <gtest/gtest.h>

#include <array>

namespace headroom::sql {
namespace {

constexpr link::Position kEarly{7, 1, 100}, kLate{7, 1, 200};
constexpr std::array<Oid, 1> kOne{1}, kTwo{2};
constexpr std::array<Oid, 2> kBoth{1, 2};

struct Drops : testing::Test {
  const TimePoint now = Clock::now();
  DropPositions drops;
};

TEST_F(Drops, WhatWasNeverDroppedNeedsNothing) {
  EXPECT_EQ(drops.needs(kBoth), link::Position());
  drops.asked(now, kEarly);
  EXPECT_EQ(drops.needs(kBoth), link::Position());
}

TEST_F(Drops, OnlyThePrimaryWillDoUntilItWasAskedAfterTheDrop) {
  drops.asked(now, kEarly);
  drops.dropped(kOne, now);  // asked for before it, or at the same moment
  EXPECT_EQ(drops.needs(kOne), std::nullopt);
  EXPECT_EQ(drops.needs(kBoth), std::nullopt);
  EXPECT_EQ(drops.needs(kTwo), link::Position());
  drops.asked(now + 1ms, kLate);
  EXPECT_EQ(drops.needs(kOne), kLate);
}

TEST_F(Drops, ATableThatRestsNeedsNoMoreWhileOthersAreWritten) {
  drops.dropped(kOne, now);
  drops.asked(now + 1ms, kEarly);
  EXPECT_EQ(drops.needs(kOne), kEarly);
  drops.dropped(kTwo, now + 2ms);
  drops.asked(now + 3ms, kLate);
  EXPECT_EQ(drops.needs(kOne), kEarly);
  EXPECT_EQ(drops.needs(kBoth), kLate);
  drops.dropped(kOne, now + 4ms);
  EXPECT_EQ(drops.needs(kOne), std::nullopt);
}

TEST_F(Drops, AnAnswerThatComesLateTellsNothingNew) {
  drops.asked(now + 2ms, kLate);
  drops.asked(now + 1ms, kEarly);
  drops.dropped(kOne, now);
  EXPECT_EQ(drops.needs(kOne), kLate);
}

TEST_F(Drops, WhereAllIsDroppedAllTablesNeedIt) {
  drops.dropped(kOne, now);
  drops.asked(now + 1ms, kEarly);
  drops.dropped_all(now + 2ms);
  EXPECT_EQ(drops.needs(kOne), std::nullopt);
  EXPECT_EQ(drops.needs({}), std::nullopt);
  drops.asked(now + 3ms, kLate);
  EXPECT_EQ(drops.needs(kTwo), kLate);
}

TEST_F(Drops, MoreTablesThanAreRememberedCountAsAll) {
  for (Oid table = 0; table < DropPositions::kMostTables + 1; ++table)
    drops.dropped(std::array{table}, now);
  EXPECT_EQ(drops.needs({}), std::nullopt);
  drops.asked(now + 1ms, kLate);
  EXPECT_EQ(drops.needs(kOne), kLate);
}

}  // namespace
}  // namespace headroom::sql
