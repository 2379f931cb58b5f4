#include "headroom/load/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

namespace headroom::load {
namespace {

TEST(Schedule, UniformTimesAreExactHoweverLongTheRun) {
  Schedule schedule(Arrivals::uniform, 3, 1);
  EXPECT_EQ(schedule.next(), 0s);
  for (int i = 0; i < 3'000'000; ++i) schedule.advance();
  EXPECT_EQ(schedule.next(), std::chrono::seconds(1'000'000));
}

TEST(Schedule, PoissonGapsHaveTheRatesMeanAndDeviation) {
  constexpr int kGaps = 200'000;
  Schedule schedule(Arrivals::poisson, 1000, 42);
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kGaps; ++i) {
    const Duration before = schedule.next();
    schedule.advance();
    const double gap = milliseconds(schedule.next() - before);
    ASSERT_GE(gap, 0);
    sum += gap;
    squares += gap * gap;
  }
  const double mean = sum / kGaps;
  EXPECT_NEAR(mean, 1.0, 0.02);
  EXPECT_NEAR(std::sqrt(squares / kGaps - mean * mean), 1.0, 0.03);  // exponential: the same
}

TEST(Schedule, TheSameSeedComesAtTheSameTimes) {
  Schedule a(Arrivals::poisson, 10, 7);
  Schedule b(Arrivals::poisson, 10, 7);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(a.next(), b.next());
    a.advance();
    b.advance();
  }
}

}  // namespace
}  // namespace headroom::load
