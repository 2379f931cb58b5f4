#include "headroom/monitor/rates.h"

#include <gtest/gtest.h>

namespace headroom::monitor {
namespace {

struct RatesTest : testing::Test {
  Rates rates;
  TimePoint now{std::chrono::hours(1)};
  std::uint64_t requests = 0;

  void seconds_of(int count, std::uint64_t each) {
    for (int i = 0; i < count; ++i) {
      now += 1s;
      requests += each;
      rates.sample(now, {requests, requests / 10});
    }
  }
};

TEST_F(RatesTest, AreZeroBeforeTwoSamples) {
  EXPECT_EQ(rates.over(10s).requests, 0);
  seconds_of(1, 100);
  EXPECT_EQ(rates.over(10s).requests, 0);
}

TEST_F(RatesTest, CoverTheWindowAlone) {
  seconds_of(20, 1000);
  seconds_of(10, 50);
  EXPECT_DOUBLE_EQ(rates.over(10s).requests, 50);
  EXPECT_GT(rates.over(20s).requests, 400);
}

TEST_F(RatesTest, GoBackAsFarAsSamplesGo) {
  seconds_of(3, 60);
  EXPECT_DOUBLE_EQ(rates.over(60s).requests, 60);
  EXPECT_DOUBLE_EQ(rates.over(60s).errors, 6);
}

TEST_F(RatesTest, SurviveTicksThatComeLateAndCountersThatDoNotGrow) {
  seconds_of(2, 10);
  now += 40s;
  rates.sample(now, {requests + 400, 0});
  EXPECT_DOUBLE_EQ(rates.over(10s).requests, 10);
  EXPECT_EQ(rates.over(10s).errors, 0);
}

}  // namespace
}  // namespace headroom::monitor
