#include <gtest/gtest.h>

#include "headroom/limit/concurrency.h"
#include "headroom/limit/connections.h"

namespace headroom::limit {
namespace {

// Serves `rounds` windows of `per_window` answers at `answer_time`, all in flight at once.
void serve(Concurrency& limit, TimePoint& now, int rounds, int per_window, Duration answer_time) {
  for (int round = 0; round < rounds; ++round) {
    int entered = 0;
    while (entered < per_window && limit.enter(Priority::critical)) ++entered;
    now += 101ms;
    for (int i = 0; i < entered; ++i) limit.leave(answer_time, Concurrency::Outcome::answered, now);
  }
}

TEST(Concurrency, TurnsLowerPrioritiesAwayFirst) {
  Concurrency limit({.adaptive = false, .initial = 100});
  int background = 0;
  int normal = 0;
  int critical = 0;
  while (limit.enter(Priority::background)) ++background;
  while (limit.enter(Priority::normal)) ++normal;
  while (limit.enter(Priority::critical)) ++critical;
  EXPECT_EQ(background, 70);
  EXPECT_EQ(background + normal, 90);
  EXPECT_EQ(background + normal + critical, 100);
  EXPECT_EQ(limit.in_flight(), 100U);
}

TEST(Concurrency, ShrinksWhenAnswersSlowDownAndGrowsBackWhenTheyRecover) {
  Concurrency limit({.initial = 200, .least = 10, .most = 500});
  TimePoint now = Clock::now();
  serve(limit, now, 20, 150, 10ms);
  const auto healthy = limit.limit();
  EXPECT_GE(healthy, 200U);
  serve(limit, now, 10, 150, 800ms);
  const auto overloaded = limit.limit();
  EXPECT_LT(overloaded, healthy / 2);
  serve(limit, now, 100, 400, 10ms);
  EXPECT_GT(limit.limit(), 200U);
}

TEST(Concurrency, SmallChangesOfFastAnswersDoNotMatter) {
  Concurrency limit({.initial = 100, .least = 10});
  TimePoint now = Clock::now();
  serve(limit, now, 20, 20, 1ms);
  serve(limit, now, 20, 20, 20ms);
  EXPECT_GE(limit.limit(), 100U);
}

TEST(Concurrency, AnUnusedLimitDoesNotGrow) {
  Concurrency limit({.initial = 100});
  TimePoint now = Clock::now();
  serve(limit, now, 50, 20, 1ms);
  EXPECT_EQ(limit.limit(), 100U);
}

TEST(Concurrency, RefusalsCountAsOverload) {
  Concurrency limit({.initial = 100, .least = 10});
  TimePoint now = Clock::now();
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 20; ++i) {
      if (!limit.enter(Priority::critical)) break;
      if (i == 19) now += 101ms;
      limit.leave(1ms, Concurrency::Outcome::overloaded, now);
    }
  }
  EXPECT_EQ(limit.limit(), 10U);
}

TEST(Connections, CountsInAllAndPerAddress) {
  Connections connections;
  connections.set_limits(4, 2);
  const auto a = IpAddress::v4({10, 0, 0, 1});
  const auto b = IpAddress::v4({10, 0, 0, 2});
  auto one = connections.admit(a);
  auto two = connections.admit(a);
  EXPECT_TRUE(one);
  EXPECT_TRUE(two);
  EXPECT_FALSE(connections.admit(a));
  auto three = connections.admit(b);
  auto four = connections.admit(b);
  EXPECT_FALSE(connections.admit(IpAddress::v4({10, 0, 0, 3})));
  EXPECT_EQ(connections.open(), 4U);
  two = {};
  EXPECT_TRUE(connections.admit(a));  // and recovers
}

TEST(Connections, AnIpv6ClientIsItsNetwork) {
  Connections connections;
  connections.set_limits(0, 1);
  const auto first = connections.admit(*IpAddress::parse("2001:db8::1"));
  EXPECT_TRUE(first);
  EXPECT_FALSE(connections.admit(*IpAddress::parse("2001:db8::2")));
  EXPECT_TRUE(connections.admit(*IpAddress::parse("2001:db8:0:1::1")));
}

}  // namespace
}  // namespace headroom::limit
