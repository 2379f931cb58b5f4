#include "headroom/postgres/pool_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> what(const PoolWatch& watch) {
  std::vector<std::string> all;
  for (const PoolEvent& each : watch.report(Clock::now()).events) all.push_back(each.what);
  return all;
}

TEST(PoolWatch, PassingEachThresholdIsSaidOnce) {
  PoolWatch watch;
  for (const std::uint64_t in_use : {5U, 8U, 9U, 9U, 10U, 10U, 9U, 8U, 8U, 10U, 2U})
    watch.use(in_use, 10);
  EXPECT_THAT(what(watch), ElementsAre("eased", "full", "eased", "full", "filling"));
  EXPECT_THAT(watch.report(Clock::now()).events[1].detail, HasSubstr("10 of 10"));
}

TEST(PoolWatch, TheHighestUseOfTheLastMinuteIsKnown) {
  PoolWatch watch;
  watch.use(7, 10);
  for (std::size_t i = 0; i < PoolWatch::kWindow - 1; ++i) watch.use(2, 10);
  EXPECT_EQ(watch.report(Clock::now()).peak_use, 70);
  watch.use(2, 10);
  EXPECT_EQ(watch.report(Clock::now()).peak_use, 20);
}

TEST(PoolWatch, ClosingsAreCountedByTheirReasonAndEventsAreBounded) {
  PoolWatch watch;
  for (int i = 0; i < 200; ++i) watch.closed(i % 2 == 0 ? Closing::idle : Closing::lost, 7, 3s);
  const PoolWatchReport report = watch.report(Clock::now());
  EXPECT_EQ(report.closings[static_cast<std::size_t>(Closing::idle)], 100U);
  EXPECT_EQ(report.closings[static_cast<std::size_t>(Closing::lost)], 100U);
  EXPECT_EQ(report.events.size(), PoolWatch::kMostEvents);
  EXPECT_EQ(report.events[0].detail, "lost: server process 7, 3 s old");
}

TEST(PoolWatch, AFailedCheckIsSaidOnceUntilOneIsAnswered) {
  PoolWatch watch;
  const TimePoint now = Clock::now();
  EXPECT_FALSE(watch.report(now).response_time);
  watch.checked(2ms, now);
  watch.checked(std::nullopt, now + 1s);
  watch.checked(std::nullopt, now + 2s);
  EXPECT_TRUE(watch.report(now).check_failed);
  EXPECT_THAT(what(watch), ElementsAre("check_failed"));
  watch.checked(3ms, now + 3s);
  EXPECT_FALSE(watch.report(now).check_failed);
  EXPECT_EQ(watch.report(now + 7s).response_time, 3ms);
  EXPECT_EQ(watch.report(now + 7s).since_check, 4s);
}

}  // namespace
}  // namespace headroom::postgres
