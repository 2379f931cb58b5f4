#include "headroom/tasks/cron.h"

#include <gtest/gtest.h>

namespace headroom::tasks {
namespace {

struct Rule {
  const char* text;
  const char* zone = "";
  Gap gap = Gap::shift;
  Fold fold = Fold::first;
};

// The next slots after a moment, as "11-21T12:00:00" in UTC.
std::vector<std::string> slots(const Rule& rule, std::string_view after, std::size_t count) {
  const auto cron = Cron::parse(rule.text, rule.zone, rule.gap, rule.fold);
  EXPECT_TRUE(cron.has_value()) << rule.text << ": " << (cron ? "" : cron.error().message);
  std::vector<std::string> found;
  WallTime at = *parse_time(after);
  while (cron && found.size() < count) {
    const auto next = cron->next(at);
    if (!next) break;
    EXPECT_GT(*next, at);
    at = *next;
    found.push_back(format_time(at).substr(5, 14));
  }
  return found;
}

using Slots = std::vector<std::string>;

TEST(Cron, FindsTheNextSlots) {
  EXPECT_EQ(slots({"30 8 * * mon-fri"}, "2026-11-20T09:00:00Z", 2),
            (Slots{"11-23T08:30:00", "11-24T08:30:00"}));
  EXPECT_EQ(slots({"*/20 * * * *"}, "2026-11-21T12:00:00Z", 3),
            (Slots{"11-21T12:20:00", "11-21T12:40:00", "11-21T13:00:00"}));
  EXPECT_EQ(slots({"*/30 * * * * *"}, "2026-11-21T12:00:00.5Z", 2),
            (Slots{"11-21T12:00:30", "11-21T12:01:00"}));
  EXPECT_EQ(slots({"0 0 29 feb *"}, "2026-11-21T12:00:00Z", 1), (Slots{"02-29T00:00:00"}));
  EXPECT_EQ(slots({"@monthly"}, "2026-11-21T12:00:00Z", 2),
            (Slots{"12-01T00:00:00", "01-01T00:00:00"}));
  EXPECT_EQ(slots({"0 12 1,15 * 7"}, "2026-11-21T12:00:00Z", 3),
            (Slots{"11-22T12:00:00", "11-29T12:00:00", "12-01T12:00:00"}));
  EXPECT_EQ(slots({"5/25 1 * * *"}, "2026-11-21T12:00:00Z", 3),
            (Slots{"11-22T01:05:00", "11-22T01:30:00", "11-22T01:55:00"}));
  EXPECT_TRUE(slots({"0 0 31 feb *"}, "2026-11-21T12:00:00Z", 1).empty());
}

TEST(Cron, TimesAreThoseOfTheZone) {
  EXPECT_EQ(slots({"0 9 * * *", "Europe/Berlin"}, "2026-07-01T00:00:00Z", 1),
            (Slots{"07-01T07:00:00"}));
  EXPECT_EQ(slots({"0 9 * * *", "Europe/Berlin"}, "2026-12-01T00:00:00Z", 1),
            (Slots{"12-01T08:00:00"}));
  EXPECT_EQ(slots({"0 9 * * *", "Asia/Kathmandu"}, "2026-12-01T00:00:00Z", 1),
            (Slots{"12-01T03:15:00"}));
}

// Europe/Berlin 2026: 29 March 02:00 becomes 03:00 (01:00 UTC); 25 October 03:00 becomes 02:00 (01:00 UTC).
TEST(Cron, WhatFallsIntoTheGapIsSkippedOrRunsAtItsEnd) {
  EXPECT_EQ(slots({"30 2 * * *", "Europe/Berlin", Gap::shift}, "2026-03-28T12:00:00Z", 2),
            (Slots{"03-29T01:00:00", "03-30T00:30:00"}));
  EXPECT_EQ(slots({"30 2 * * *", "Europe/Berlin", Gap::skip}, "2026-03-28T12:00:00Z", 2),
            (Slots{"03-30T00:30:00", "03-31T00:30:00"}));
  EXPECT_EQ(slots({"*/30 2 * * *", "Europe/Berlin", Gap::shift}, "2026-03-29T00:00:00Z", 2),
            (Slots{"03-29T01:00:00", "03-30T00:00:00"}));
  EXPECT_EQ(slots({"0 * * * *", "Europe/Berlin", Gap::skip}, "2026-03-28T23:30:00Z", 3),
            (Slots{"03-29T00:00:00", "03-29T01:00:00", "03-29T02:00:00"}));
}

TEST(Cron, WhatComesTwiceRunsTheFirstTimeTheLastOrBoth) {
  EXPECT_EQ(
      slots({"30 2 * * *", "Europe/Berlin", Gap::shift, Fold::first}, "2026-10-24T12:00:00Z", 2),
      (Slots{"10-25T00:30:00", "10-26T01:30:00"}));
  EXPECT_EQ(
      slots({"30 2 * * *", "Europe/Berlin", Gap::shift, Fold::last}, "2026-10-24T12:00:00Z", 2),
      (Slots{"10-25T01:30:00", "10-26T01:30:00"}));
  EXPECT_EQ(
      slots({"30 2 * * *", "Europe/Berlin", Gap::shift, Fold::both}, "2026-10-24T12:00:00Z", 3),
      (Slots{"10-25T00:30:00", "10-25T01:30:00", "10-26T01:30:00"}));
  EXPECT_EQ(
      slots({"*/30 * * * *", "Europe/Berlin", Gap::shift, Fold::both}, "2026-10-24T23:59:00Z", 5),
      (Slots{"10-25T00:00:00", "10-25T00:30:00", "10-25T01:00:00", "10-25T01:30:00",
             "10-25T02:00:00"}));
  EXPECT_EQ(
      slots({"*/30 * * * *", "Europe/Berlin", Gap::shift, Fold::first}, "2026-10-25T00:00:00Z", 3),
      (Slots{"10-25T00:30:00", "10-25T02:00:00", "10-25T02:30:00"}));
}

TEST(Cron, TheSameSlotIsFoundFromAnyMomentBeforeIt) {
  const auto cron = Cron::parse("30 2 * * *", "Europe/Berlin", Gap::shift, Fold::last);
  const WallTime slot = *parse_time("2026-10-25T01:30:00Z");
  for (WallTime at = *parse_time("2026-10-24T01:00:00Z"); at < slot; at += 601 * kSecond) {
    if (at >= *parse_time("2026-10-24T00:30:00Z"))
      EXPECT_EQ(cron->next(at), slot) << format_time(at);
  }
}

TEST(Cron, MistakesAreNamed) {
  for (const auto& [text, word] :
       std::initializer_list<std::pair<const char*, const char*>>{{"", "five fields"},
                                                                  {"* * * *", "five fields"},
                                                                  {"* * * * * * *", "five fields"},
                                                                  {"60 * * * *", "minute"},
                                                                  {"* 24 * * *", "hour"},
                                                                  {"* * 0 * *", "day"},
                                                                  {"* * * 13 *", "month"},
                                                                  {"* * * * fun", "weekday"},
                                                                  {"*/0 * * * *", "minute"},
                                                                  {"5-1 * * * *", "minute"},
                                                                  {"1,,2 * * * *", "minute"},
                                                                  {"@never", "five fields"}}) {
    const auto cron = Cron::parse(text);
    ASSERT_FALSE(cron.has_value()) << text;
    EXPECT_NE(cron.error().message.find(word), std::string::npos) << cron.error().message;
  }
  EXPECT_FALSE(Cron::parse("* * * * *", "Europe/Atlantis").has_value());
}

}  // namespace
}  // namespace headroom::tasks
