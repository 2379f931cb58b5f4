#include "headroom/monitor/vitals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::monitor {
namespace {

using State = net::HealthReport::State;

struct Room final : net::Health {
  std::vector<net::HealthReport> reports;
  [[nodiscard]] std::vector<net::HealthReport> health() const override { return reports; }
};

struct VitalsTest : testing::Test {
  net::Workers workers{2};
  Vitals vitals{workers};
  Room edge;
  Room tokens;

  VitalsTest() {
    vitals.add(edge);
    vitals.add(tokens);
    vitals.enter(Stage::serving);
    edge.reports = {{"edge.app", State::ok, ""}};
  }
};

TEST_F(VitalsTest, IsReadyOnlyWhileServing) {
  vitals.enter(Stage::starting);
  EXPECT_FALSE(vitals.ready().yes);
  EXPECT_FALSE(vitals.started().yes);
  vitals.enter(Stage::serving);
  EXPECT_TRUE(vitals.ready().yes);
  vitals.enter(Stage::draining);
  EXPECT_EQ(vitals.ready().reason, "draining");
  EXPECT_TRUE(vitals.started().yes);
}

TEST_F(VitalsTest, IsReadyWhenDegradedAndNotWhenFailed) {
  tokens.reports = {{"tokens", State::degraded, "slow"}};
  EXPECT_TRUE(vitals.ready().yes);
  edge.reports = {{"edge.app", State::failed, "0 of 2 servers"}};
  EXPECT_FALSE(vitals.ready().yes);
  EXPECT_EQ(vitals.ready().reason, "edge.app has failed");
  EXPECT_EQ(vitals.state(), State::failed);
  EXPECT_EQ(vitals.reports().front().component, "edge.app");
}

TEST_F(VitalsTest, IsAliveWhateverItsEnginesSay) {
  edge.reports = {{"edge.app", State::failed, ""}};
  EXPECT_TRUE(vitals.live().yes);
}

TEST_F(VitalsTest, IsNotAliveWhenAWorkerIsStuck) {
  const TimePoint now = Clock::now();
  EXPECT_TRUE(vitals.live(now + 4s).yes);
  const Verdict stuck = vitals.live(now + 6s);
  EXPECT_FALSE(stuck.yes);
  EXPECT_THAT(stuck.reason, testing::HasSubstr("worker 0 has not gone round for"));
}

TEST_F(VitalsTest, ShowsTheWorstOfAComponentOnce) {
  edge.reports = {{"edge.app", State::ok, ""}, {"edge.app", State::degraded, ""}};
  for (const SampleFamily& family : vitals.samples()) {
    if (family.family->name != "headroom_monitor_component_state") continue;
    ASSERT_EQ(family.samples.size(), 1U);
    EXPECT_EQ(family.samples[0].value, 1);
  }
}

}  // namespace
}  // namespace headroom::monitor
