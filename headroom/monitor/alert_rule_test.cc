#include "headroom/monitor/alert_rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace headroom::monitor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A rule seen every five seconds; what was told of it, with the second.
struct Story {
  AlertOptions rule = alert_section().defaults();
  std::vector<std::string> told;
  std::int64_t now = 1000;
  std::optional<AlertWatch> watch;

  Story() {
    rule.warning = 70;
    rule.critical = 85;
    rule.hold = 60s;
    rule.keep_firing = 60s;
  }
  void see(std::optional<double> value, std::int64_t seconds_long) {
    if (!watch) watch.emplace(rule);
    for (const std::int64_t end = now + seconds_long; now < end; now += 5) {
      if (const auto change = watch->see(now, value))
        told.push_back(std::string(to_string(*change)) + " " +
                       std::string(to_string(watch->severity())));
    }
  }
};

// Values, and for how many seconds each.
std::vector<std::string> told_of(const std::vector<std::pair<double, std::int64_t>>& values) {
  Story story;
  for (const auto& [value, seconds_long] : values) story.see(value, seconds_long);
  return story.told;
}

TEST(AlertRuleTest, AShortSpikeTellsNobody) {
  EXPECT_THAT(told_of({{10, 100}, {99, 55}, {10, 300}}), IsEmpty());
}

TEST(AlertRuleTest, AnIncidentIsOneFireAndOneResolve) {
  EXPECT_THAT(told_of({{10, 60}, {90, 600}, {10, 600}}),
              ElementsAre("fired critical", "resolved critical"));
}

TEST(AlertRuleTest, AWarningThatGetsWorseChangesAndIsNotASecondAlert) {
  EXPECT_THAT(
      told_of({{75, 120}, {90, 120}, {75, 120}, {10, 120}}),
      ElementsAre("fired warning", "changed critical", "changed warning", "resolved warning"));
}

TEST(AlertRuleTest, OnlyWhatHeldForAllOfForDecidesTheSeverity) {
  EXPECT_THAT(told_of({{75, 55}, {90, 10}, {75, 120}, {10, 120}}),
              ElementsAre("fired warning", "resolved warning"));
  // Critical for 40 s when it fires: critical 20 s later.
  EXPECT_THAT(told_of({{75, 25}, {90, 300}, {10, 120}}),
              ElementsAre("fired warning", "changed critical", "resolved critical"));
}

TEST(AlertRuleTest, WithoutAWarningThereIsOnlyCritical) {
  Story story;
  story.rule.warning = -1;
  for (const auto& [value, seconds_long] :
       std::vector<std::pair<double, std::int64_t>>{{75, 100}, {90, 50}, {75, 5}, {90, 65}})
    story.see(value, seconds_long);
  EXPECT_THAT(story.told, ElementsAre("fired critical"));
}

TEST(AlertRuleTest, BetweenTheClearThresholdAndTheOthersItGoesOn) {
  Story story;
  story.rule.clear = 50;
  story.see(80, 120);
  story.see(60, 3600);
  EXPECT_EQ(story.told.size(), 1U);
  story.see(49, 120);
  EXPECT_THAT(story.told, ElementsAre("fired warning", "resolved warning"));
}

TEST(AlertRuleTest, ADipShorterThanKeepFiringDoesNotResolve) {
  Story story;
  story.see(90, 120);
  for (int i = 0; i < 20; ++i) story.see(10, 30), story.see(90, 30);
  EXPECT_EQ(story.told.size(), 1U);
}

TEST(AlertRuleTest, FlappingEndsInOneLongAlertInsteadOfMany) {
  Story story;
  for (int i = 0; i < 40; ++i) story.see(90, 90), story.see(10, 90);
  const auto fires = std::ranges::count(story.told, std::string("fired critical"));
  EXPECT_LE(fires, 3);
  story.see(10, 1200);
  EXPECT_EQ(story.watch->state(), AlertState::ok);  // and it recovers
  EXPECT_EQ(std::ranges::count(story.told, std::string("resolved critical")), fires);
}

TEST(AlertRuleTest, NoiseAroundTheThresholdTellsNobody) {
  Story story;
  std::mt19937 random(5);
  std::normal_distribution<double> noise(60, 8);  // beyond 70 a tenth of the time
  for (int i = 0; i < 20000; ++i) story.see(noise(random), 5);
  EXPECT_TRUE(story.told.empty()) << story.told.size();
}

TEST(AlertRuleTest, NoValueMeansWhatTheRuleSays) {
  for (const auto& [meaning, told] :
       {std::pair(NoData::ok, 2U), {NoData::keep, 1U}, {NoData::fire, 1U}}) {
    Story story;
    story.rule.no_data = meaning;
    story.see(90, 120);
    story.see(std::nullopt, 600);
    EXPECT_EQ(story.told.size(), told);
  }
  Story silent;
  silent.rule.no_data = NoData::fire;
  silent.see(std::nullopt, 120);
  EXPECT_THAT(silent.told, ElementsAre("fired critical"));
}

TEST(AlertRuleTest, AfterATimeWithoutDataForBeginsAnew) {
  Story story;
  story.rule.no_data = NoData::keep;
  story.see(90, 5);
  story.see(std::nullopt, 3600);
  story.see(90, 5);
  EXPECT_THAT(story.told, IsEmpty());
  story.see(90, 60);
  EXPECT_THAT(story.told, ElementsAre("fired critical"));
}

TEST(AlertRuleTest, AClockThatIsSetBackDelaysNothing) {
  Story story;
  story.see(90, 5);
  story.now -= 10'800;
  story.see(90, 65);
  EXPECT_THAT(story.told, ElementsAre("fired critical"));
  story.now -= 10'800;
  story.see(10, 70);
  EXPECT_THAT(story.told, ElementsAre("fired critical", "resolved critical"));
}

TEST(AlertRuleTest, BelowIsTheOtherSide) {
  Story story;
  story.rule.side = Side::below;
  story.rule.warning = 85;
  story.rule.critical = 30;
  story.see(95, 120);
  story.see(50, 120);
  story.see(10, 120);
  EXPECT_THAT(story.told, ElementsAre("fired warning", "changed critical"));
}

TEST(AlertRuleTest, ARestartInTheMidstNeitherFiresAgainNorForgets) {
  Story story;
  story.see(90, 120);
  AlertWatch after(story.rule);
  after.remember(story.watch->memory());
  EXPECT_FALSE(after.see(story.now, 90));
  std::optional<AlertChange> change;
  for (int i = 0; i < 20 && !change; ++i) change = after.see(story.now + 5 + (i * 5), 10);
  EXPECT_EQ(change, AlertChange::resolved);
}

TEST(AlertRuleTest, TheStandardRulesHaveTheSeedsThresholdsAndNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const AlertOptions& rule : standard_alerts()) {
    EXPECT_TRUE(names.insert(rule.name).second);
    EXPECT_TRUE(rule.warning >= 0 || rule.critical >= 0) << rule.name;
    EXPECT_FALSE(rule.summary.empty());
    for (const std::string& other : rule.depends_on) {
      EXPECT_NE(std::ranges::find(standard_alerts(), other, &AlertOptions::name),
                standard_alerts().end())
          << other;
    }
  }
  const auto rule = [](std::string_view name) {
    return *std::ranges::find(standard_alerts(), name, &AlertOptions::name);
  };
  EXPECT_EQ(std::pair(rule("cpu").warning, rule("cpu").critical), std::pair(0.70, 0.85));
  EXPECT_EQ(std::pair(rule("memory").warning, rule("memory").critical), std::pair(0.80, 0.90));
  EXPECT_EQ(rule("pool").critical, 0.90);
  EXPECT_EQ(std::pair(rule("errors").warning, rule("errors").critical), std::pair(1.0, 5.0));
  EXPECT_EQ(std::pair(rule("p95").warning, rule("p95").critical), std::pair(1.0, 2.0));
  EXPECT_EQ(std::pair(rule("hit-rate").warning, rule("hit-rate").critical), std::pair(85.0, 30.0));
  EXPECT_EQ(rule("database").warning, 0.1);
}

TEST(AlertRuleTest, ARuleOfTheSameNameReplacesAStandardOne) {
  AlertingOptions options{.off = {"disk"}};
  AlertOptions mine = alert_section().defaults();
  mine.name = "cpu";
  mine.critical = 0.99;
  options.rules.push_back(mine);
  const auto all = alerts_in_force(options);
  EXPECT_EQ(std::ranges::count(all, std::string("cpu"), &AlertOptions::name), 1);
  EXPECT_EQ(std::ranges::count(all, std::string("disk"), &AlertOptions::name), 0);
  EXPECT_EQ(std::ranges::find(all, std::string("cpu"), &AlertOptions::name)->critical, 0.99);
}

}  // namespace
}  // namespace headroom::monitor
