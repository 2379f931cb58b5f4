#include "headroom/tasks/schedule.h"

#include "headroom/base/hash.h"
#include "headroom/tasks/board_fixture_test.h"

namespace headroom::tasks {
namespace {

Schedule schedule(std::string_view more = "", std::string_view cron = "0 * * * *") {
  auto read = Schedule::read(
      "hourly", fmt::format(R"({{"cron":"{}","job":{{"jobtype":"Tick","args":[]}}{}{}}})", cron,
                            more.empty() ? "" : ",", more));
  EXPECT_TRUE(read.has_value()) << (read ? "" : read.error().message);
  return read.value_or(Schedule{});
}

TEST(Schedule, ItsTextKeepsEverything) {
  Schedule one = schedule(
      R"("zone":"Europe/Berlin","jitter_s":30,"catch_up":"all","catch_up_limit":7,"gap":"skip","fold":"both","paused":true)");
  one.last = *parse_time("2026-11-21T12:00:00Z");
  const auto again = Schedule::read("hourly", one.text());
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(again->text(), one.text());
  EXPECT_EQ(again->last, one.last);
  EXPECT_EQ(again->fold, Fold::both);
}

TEST(Schedule, MistakesAreNamed) {
  for (const auto& [text, word] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"job":{"jobtype":"T","args":[]}})", "cron"},
           {R"({"cron":"* * * * *"})", "job"},
           {R"({"cron":"* * * *","job":{"jobtype":"T","args":[]}})", "five fields"},
           {R"({"cron":"* * * * *","job":{"args":[]}})", "jobtype"},
           {R"({"cron":"* * * * *","job":{"jobtype":"T","args":[],"jid":"12345678"}})", "jid"},
           {R"({"cron":"* * * * *","job":{"jobtype":"T","args":[]},"catch_up":"maybe"})",
            "catch_up"},
           {R"({"cron":"* * * * *","job":{"jobtype":"T","args":[]},"zone":"Nowhere"})", "zone"},
           {R"({"cron":"* * * * *","job":{"jobtype":"T","args":[]},"colour":1})", "colour"}}) {
    const auto read = Schedule::read("s", text);
    ASSERT_FALSE(read.has_value()) << text;
    EXPECT_NE(read.error().message.find(word), std::string::npos) << read.error().message;
  }
}

class SchedulesTest : public BoardTest {
 protected:
  void put(const Schedule& one) {
    ASSERT_TRUE(write([&](Board& b) { return b.put_schedule(one, now_); }).has_value());
  }
  // The slots of the jobs that can be had, from their jids.
  std::vector<std::string> slots() {
    std::vector<std::string> found;
    while (auto taken = *board().take({"default"}, "", now_)) {
      const auto document = json::parse(taken->body);
      const std::string jid(*document->root().find("jid")->string());
      found.push_back(
          format_time(std::stoll(jid.substr(jid.rfind('-') + 1)) * kSecond).substr(11, 8));
      EXPECT_TRUE(write([&](Board& b) { return b.acknowledge(jid, "", now_); }).has_value());
    }
    return found;
  }
  using Slots = std::vector<std::string>;
};

TEST_F(SchedulesTest, EachSlotRunsOnce) {
  put(schedule());
  pass_time(3599s);
  EXPECT_EQ(slots(), Slots{});
  pass_time(1s);
  upkeep();
  EXPECT_EQ(slots(), Slots{"13:00:00"});
  crash();
  upkeep();
  EXPECT_EQ(slots(), Slots{});
  pass_time(3600s);
  EXPECT_EQ(slots(), Slots{"14:00:00"});
  EXPECT_EQ(board().schedules().rows.front().runs, 1U);  // since the start
}

TEST_F(SchedulesTest, ASlotWhoseJobCouldNotBeStoredRunsLater) {
  put(schedule());
  now_.wall += 3600 * kSecond;
  faults().commit_fails = true;
  EXPECT_FALSE(write([&](Board& b) { return b.upkeep(now_); }).has_value());
  EXPECT_EQ(slots(), Slots{});
  faults().commit_fails = false;
  upkeep();
  EXPECT_EQ(slots(), Slots{"13:00:00"});
}

TEST_F(SchedulesTest, WhatWasMissedRunsByTheRuleOfTheSchedule) {
  const auto after_six_hours = [&](std::string_view rule) {
    put(schedule(rule));
    now_.wall += 6 * 3600 * kSecond + 120 * kSecond;
    crash();
    upkeep();
    const Slots found = slots();
    EXPECT_TRUE(write([](Board& b) { return b.remove_schedule("hourly"); }).has_value());
    now_.wall = *parse_time("2026-11-21T12:00:00Z");
    return found;
  };
  EXPECT_EQ(after_six_hours(R"("catch_up":"skip")"), Slots{});
  EXPECT_EQ(after_six_hours(R"("catch_up":"once")"), Slots{"18:00:00"});
  EXPECT_EQ(after_six_hours(R"("catch_up":"all")"),
            (Slots{"13:00:00", "14:00:00", "15:00:00", "16:00:00", "17:00:00", "18:00:00"}));
  EXPECT_EQ(after_six_hours(R"("catch_up":"all","catch_up_limit":2)"),
            (Slots{"17:00:00", "18:00:00"}));
}

TEST_F(SchedulesTest, AClockThatJumpsBackRunsNoSlotAgain) {
  put(schedule());
  pass_time(3600s);
  EXPECT_EQ(slots(), Slots{"13:00:00"});
  now_.wall -= 1800 * kSecond;
  upkeep();
  pass_time(1801s);
  EXPECT_EQ(slots(), Slots{});
  pass_time(3600s);
  EXPECT_EQ(slots(), Slots{"14:00:00"});
}

TEST_F(SchedulesTest, AYearOfMissedSecondsIsNotGoneThroughOneByOne) {
  put(schedule(R"("catch_up":"all","catch_up_limit":3)", "* * * * * *"));
  now_.wall += 366LL * 86400 * kSecond;
  upkeep();
  EXPECT_EQ(slots(), (Slots{"11:59:58", "11:59:59", "12:00:00"}));
}

TEST_F(SchedulesTest, JitterDelaysEachSlotByTheSameTimeAlways) {
  put(schedule(R"("jitter_s":600)"));
  pass_time(3600s);
  EXPECT_EQ(status().scheduled + waiting(), 1U);
  pass_time(600s);
  EXPECT_EQ(slots(), Slots{"13:00:00"});
}

TEST_F(SchedulesTest, APausedScheduleRunsNothingAndCatchesNothingUp) {
  put(schedule(R"("paused":true)"));
  pass_time(std::chrono::hours(5));
  EXPECT_EQ(slots(), Slots{});
  put(schedule());
  EXPECT_EQ(slots(), Slots{});
  pass_time(3600s);
  EXPECT_EQ(slots(), Slots{"18:00:00"});
}

TEST_F(SchedulesTest, AUniqueJobIsNotMadeTwice) {
  auto read = Schedule::read(
      "hourly",
      R"({"cron":"0 * * * *","job":{"jobtype":"Tick","args":[],"custom":{"unique_for":86400}}})");
  put(*read);
  pass_time(3600s);
  pass_time(3600s);
  EXPECT_EQ(waiting(), 1U);
  EXPECT_EQ(slots(), Slots{"13:00:00"});
  pass_time(3600s);
  EXPECT_EQ(slots(), Slots{"15:00:00"});
}

// As it was always meant: slot by slot from the last one.
DueSlots walked(const Schedule& of, const Cron& cron, WallTime now) {
  DueSlots due{.run = {}, .last = of.last};
  const std::size_t most =
      of.catch_up == CatchUp::all ? std::max<std::size_t>(of.catch_up_limit, 1) : 1;
  for (auto slot = cron.next(of.last); slot && *slot <= now; slot = cron.next(*slot)) {
    due.last = *slot;
    if (of.catch_up == CatchUp::skip && now - *slot > Schedule::kOnTime) continue;
    if (due.run.size() == most) due.run.erase(due.run.begin());
    due.run.push_back(*slot);
  }
  return due;
}

TEST(Schedule, TheSlotsThatAreDueAreTheSameAsWhenAllAreWalked) {
  Random random(11);
  const WallTime begin = *parse_time("2026-10-20T00:00:00Z");  // clocks go back on the 25th
  for (const char* cron : {"*/20 * 2 * * *", "30 2 * * *", "0 * * * *", "* 2 25 * *", "0 0 1 * *",
                           "15,45 1-3 * 10 sun"}) {
    for (const char* more : {R"("catch_up":"skip")", R"("catch_up":"once")",
                             R"("catch_up":"all","catch_up_limit":5,"fold":"both")",
                             R"("catch_up":"all","catch_up_limit":0)"}) {
      Schedule one = schedule(fmt::format(R"("zone":"Europe/Berlin",{})", more), cron);
      const Cron parsed = *one.parsed();
      for (int i = 0; i < 8; ++i) {
        const WallTime days = i % 2 == 0 ? 1 : 7;
        one.last = begin + static_cast<WallTime>(random.below(7 * 86400)) * kSecond;
        const WallTime now =
            one.last +
            static_cast<WallTime>(random.below(static_cast<std::uint64_t>(days * 86400 * kSecond)));
        const DueSlots due = due_slots(one, parsed, now);
        const DueSlots wanted = walked(one, parsed, now);
        ASSERT_EQ(due.run, wanted.run) << cron << ' ' << more << ' ' << format_time(one.last);
        ASSERT_EQ(due.last, wanted.last) << cron << ' ' << more << ' ' << format_time(one.last);
      }
    }
  }
}

TEST(Schedule, AfterYearsTheLatestSlotsAreFoundWithoutGoingThroughAll) {
  Schedule one =
      schedule(R"("zone":"Europe/Berlin","catch_up":"all","catch_up_limit":1000)", "* * * * * *");
  one.last = *parse_time("2017-11-21T12:00:00Z");
  const WallTime now = *parse_time("2026-11-21T12:00:00.5Z");
  const DueSlots due = due_slots(one, *one.parsed(), now);  // of 284 million
  ASSERT_EQ(due.run.size(), 1000U);
  EXPECT_EQ(due.run.front(), now / kSecond * kSecond - 999 * kSecond);
  EXPECT_EQ(due.last, due.run.back());
}

}  // namespace
}  // namespace headroom::tasks
