// What must end, make room or be told apart, found by people who tried to break the board.
#include <map>
#include <set>

#include "headroom/sqlite/database.h"
#include "headroom/tasks/board_fixture_test.h"
#include "headroom/tasks/filter.h"
#include "headroom/tasks/searches.h"

namespace headroom::tasks {
namespace {

using BoardBoundsTest = BoardTest;

TEST_F(BoardBoundsTest, AUniqueJobUntilStartLeavesNoLockBehindItsEnd) {
  const std::string_view unique = R"("custom":{"unique_for":3600,"unique_until":"start"})";
  ASSERT_TRUE(push("aaaa", unique).has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  ASSERT_TRUE(ack("aaaa", "w1").has_value());
  crash();
  EXPECT_TRUE(store_->locks()->empty());
  EXPECT_TRUE(push("bbbb", unique).has_value());
}

TEST_F(BoardBoundsTest, TheEndOfAStartedTwinLeavesTheLockToTheOneThatWaits) {
  const std::string_view unique = R"("custom":{"unique_for":3600,"unique_until":"start"})";
  ASSERT_TRUE(push("aaaa", unique).has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  ASSERT_TRUE(push("bbbb", unique).has_value());
  ASSERT_TRUE(ack("aaaa", "w1").has_value());
  EXPECT_EQ(push("cccc", unique).error().code, Errc::conflict);
  crash();
  EXPECT_EQ(push("cccc", unique).error().code, Errc::conflict);
}

TEST_F(BoardBoundsTest, LocksThatAreOverAreNotKeptInTheStore) {
  ASSERT_TRUE(push("aaaa", R"("custom":{"unique_for":10})").has_value());
  pass_time(11s);
  crash();
  EXPECT_TRUE(store_->locks()->empty());
}

TEST_F(BoardBoundsTest, AKilledJobFreesItsLock) {
  ASSERT_TRUE(push("aaaa", R"("custom":{"unique_for":3600})").has_value());
  const LaneId lane = board().lanes_of("default").at(0);
  ASSERT_TRUE(write([&](Board& b) -> Result<> {
                auto swept = b.sweep(lane, {std::numeric_limits<std::int64_t>::min(), 0}, 10,
                                     Board::Act::kill, {}, now_);
                return swept ? Result<>{} : pass(swept);
              }).has_value());
  EXPECT_TRUE(push("bbbb", R"("custom":{"unique_for":3600})").has_value());
}

TEST_F(BoardBoundsTest, ExpiredJobsAreForgottenOnceTheyAreRemoved) {
  for (int i = 0; i < 1500; ++i)
    ASSERT_TRUE(push(fmt::format("{:04}", i), R"("custom":{"expires_in":1})").has_value());
  ASSERT_TRUE(push("good").has_value());
  now_.wall += 2 * kSecond;
  EXPECT_EQ(take(), "");  // a step at a time
  EXPECT_TRUE(board().take_news(now_));
  faults().commit_fails = true;
  EXPECT_FALSE(write([&](Board& b) { return b.upkeep(now_); }).has_value());
  faults().commit_fails = false;
  EXPECT_TRUE(board().needs_upkeep(now_));  // what was rolled back stays to be done
  upkeep();
  EXPECT_EQ(take(), "good");
  upkeep();
  EXPECT_FALSE(board().needs_upkeep(now_));
  crash();
  EXPECT_EQ(waiting(), 1U);
}

TEST_F(BoardBoundsTest, AWorkerThatWasSilentForTooLongIsKnownAgainAtItsNextWord) {
  connect("w1");
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(board().beat("w1", "", 0, now_).has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  pass_time(61s);
  EXPECT_EQ(status().running, 0U);
  ASSERT_TRUE(board().beat("w1", "", 0, now_).has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  pass_time(61s);  // silent again: what it fetched since is its own
  EXPECT_EQ(status().running, 0U);
  EXPECT_EQ(status().dead, 1U);  // two workers, as far as anybody can know
}

TEST_F(BoardBoundsTest, AConnectionFromBeforeTheSilenceDoesNotCountForTheOneAfter) {
  connect("w1");
  ASSERT_TRUE(board().beat("w1", "", 0, now_).has_value());
  pass_time(61s);
  connect("w1");
  board().disconnect("w1", now_);
  pass_time(10s);
  ASSERT_TRUE(push("aaaa").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  pass_time(30s);
  EXPECT_EQ(status().running, 1U);  // one connection is left
  board().disconnect("w1", now_);
  pass_time(6s);
  EXPECT_EQ(status().running, 0U);
  EXPECT_EQ(status().workers.size(), 0U);
}

TEST_F(BoardBoundsTest, QueuesInWhichNothingIsMakeRoomForOthers) {
  options_.queues_limit = 3;
  ASSERT_TRUE(push("aaaa", R"("queue":"one")").has_value());
  ASSERT_TRUE(push("bbbb", R"("queue":"two")").has_value());
  ASSERT_TRUE(push("cccc", R"("queue":"three")").has_value());
  EXPECT_EQ(take("", {"three"}), "cccc");
  ASSERT_TRUE(ack("cccc").has_value());
  ASSERT_TRUE(write([](Board& b) { return b.set_paused({"three"}, true); }).has_value());
  EXPECT_EQ(take("", {"one"}), "aaaa");
  EXPECT_EQ(push("cccc", R"("queue":"four")").error().code,
            Errc::overloaded);  // what runs may return
  ASSERT_TRUE(ack("aaaa").has_value());
  EXPECT_TRUE(push("cccc", R"("queue":"four")").has_value());
  EXPECT_EQ(board().queue_names(), (std::vector<std::string>{"four", "three", "two"}));
  EXPECT_EQ(status().pushed, 4U);
  EXPECT_EQ(status().done, 2U);
  restart();
  EXPECT_EQ(board().queue_names(), (std::vector<std::string>{"four", "three", "two"}));
  EXPECT_EQ(status().pushed, 4U);
  EXPECT_EQ(status().done, 2U);
}

TEST_F(BoardBoundsTest, WhatWasCountedOfQueuesThatHaveGoneSinceIsKeptOverACrash) {
  for (const std::string queue : {"one", "two", "three"}) {
    ASSERT_TRUE(push("of-" + queue, fmt::format(R"("queue":"{}")", queue)).has_value());
    EXPECT_EQ(take("", {queue}), "of-" + queue);
    ASSERT_TRUE(ack("of-" + queue).has_value());
  }
  ASSERT_TRUE(write([](Board& b) { return b.remove_queue("three"); }).has_value());
  restart();
  for (const std::string queue : {"one", "two"})
    ASSERT_TRUE(write([&](Board& b) { return b.remove_queue(queue); }).has_value());
  crash();
  EXPECT_EQ(status().pushed, 3U);
  EXPECT_EQ(status().done, 3U);
}

TEST_F(BoardBoundsTest, AQueueThatIsTakenAwayIsGoneAlsoWhenItWasPaused) {
  ASSERT_TRUE(push("aaaa", R"("queue":"one")").has_value());
  EXPECT_EQ(take("", {"one"}), "aaaa");
  ASSERT_TRUE(ack("aaaa").has_value());
  EXPECT_EQ(write([](Board& b) { return b.set_paused({"one", "nobody"}, true); }).error().code,
            Errc::not_found);
  EXPECT_FALSE(status().queues.at(0).paused);
  ASSERT_TRUE(write([](Board& b) { return b.set_paused({"one"}, true); }).has_value());
  ASSERT_TRUE(push("bbbb", R"("queue":"two","custom":{"key":"shop"})").has_value());
  for (const std::string name : {"one", "two", "nobody"})
    ASSERT_TRUE(write([&](Board& b) { return b.remove_queue(name); }).has_value());
  EXPECT_EQ(board().queue_names(), std::vector<std::string>{"two"});
  EXPECT_EQ(take("", {"two"}), "bbbb");
  ASSERT_TRUE(ack("bbbb").has_value());
  ASSERT_TRUE(write([](Board& b) { return b.remove_queue("two"); }).has_value());
  crash();
  EXPECT_TRUE(board().queue_names().empty());
  ASSERT_TRUE(push("cccc", R"("queue":"two","custom":{"key":"shop"})").has_value());
  EXPECT_EQ(take("", {"two"}), "cccc");
}

TEST_F(BoardBoundsTest, AQueueWhoseRemovalWasRolledBackIsThereAgainAfterARestart) {
  ASSERT_TRUE(push("aaaa", R"("queue":"one")").has_value());
  EXPECT_EQ(take("", {"one"}), "aaaa");
  ASSERT_TRUE(ack("aaaa").has_value());
  faults().commit_fails = true;
  EXPECT_FALSE(write([](Board& b) { return b.remove_queue("one"); }).has_value());
  faults().commit_fails = false;
  ASSERT_TRUE(push("bbbb", R"("queue":"one")").has_value());
  crash();
  EXPECT_EQ(take("", {"one"}), "bbbb");
}

TEST_F(BoardBoundsTest, WhatComesBackToItsQueueIsNeverRefusedOne) {
  options_.queues_limit = 3;
  ASSERT_TRUE(push("late", R"("queue":"later","at":"2026-11-21T12:01:00Z")").has_value());
  ASSERT_TRUE(
      push("link", R"("queue":"one","custom":{"chain":[{"jobtype":"B","args":[],"queue":"two"}]})")
          .has_value());
  auto batch = Batch::read(R"({"success":{"jobtype":"C","args":[],"queue":"called"}})", now_.wall);
  batch->bid = "b-1";
  ASSERT_TRUE(write([&](Board& b) { return b.remove_queue("later"); }).has_value());
  ASSERT_TRUE(write([&](Board& b) { return b.add_batch(*batch, now_); }).has_value());
  ASSERT_TRUE(push("part", R"("queue":"one","custom":{"bid":"b-1"})").has_value());
  ASSERT_TRUE(write([&](Board& b) { return b.commit_batch("b-1", now_); }).has_value());
  for (const std::string queue : {"two", "called", "later"})
    ASSERT_TRUE(write([&](Board& b) { return b.remove_queue(queue); }).has_value());
  ASSERT_TRUE(push("full", R"("queue":"other")").has_value());
  EXPECT_EQ(push("none", R"("queue":"more")").error().code, Errc::overloaded);
  EXPECT_EQ(take("", {"one"}), "link");
  EXPECT_TRUE(ack("link").has_value());
  EXPECT_EQ(take("", {"one"}), "part");
  EXPECT_TRUE(ack("part").has_value());
  pass_time(61s);
  for (const std::string queue : {"two", "called", "later"}) {
    const auto taken = board().take({queue}, "", now_);
    EXPECT_TRUE(taken && *taken) << queue;
  }
}

TEST_F(BoardBoundsTest, AQueueWithAnExpiredJobIsNotGivenUpBeforeTheJob) {
  ASSERT_TRUE(push("aaaa", R"("queue":"one","custom":{"expires_in":1})").has_value());
  now_.wall += 2 * kSecond;
  EXPECT_EQ(take("", {"one"}), "");
  ASSERT_TRUE(write([](Board& b) { return b.remove_queue("one"); }).has_value());
  crash();
  EXPECT_EQ(board().queue_names(), std::vector<std::string>{"one"});
  EXPECT_EQ(take("", {"one"}), "");
  upkeep();
  ASSERT_TRUE(write([](Board& b) { return b.remove_queue("one"); }).has_value());
  EXPECT_TRUE(board().queue_names().empty());
}

TEST_F(BoardBoundsTest, JobsOfAQueueThatIsNotThereAreTakenUp) {
  for (const std::string jid : {"aaaa", "bbbb"}) {
    ASSERT_TRUE(push(jid, R"("queue":"one")").has_value());
    const LaneId lane = board().lanes_of("one").at(0);
    ASSERT_TRUE(store_->remove_queue(lane).has_value());
    if (jid == "bbbb") ASSERT_TRUE(store_->put_queue({lane + 10, "one", false}).has_value());
    crash();
    EXPECT_EQ(take("", {"one"}), jid);
    ASSERT_TRUE(ack(jid).has_value());
  }
  crash();
  EXPECT_EQ(waiting(), 0U);
}

TEST_F(BoardBoundsTest, AfterACrashOfWhatLiesOnTheDiskAloneTheDiskIsAsked) {
  options_.memory_limit = Bytes{30'000};
  for (int i = 0; i < 700; ++i) ASSERT_TRUE(push(fmt::format("{:04}", i)).has_value());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(take("w1"), fmt::format("{:04}", i));
  for (int i = 0; i < 600; ++i)
    ASSERT_TRUE(push(fmt::format("urgent-{:04}", i), R"("priority":9)").has_value());
  EXPECT_FALSE(board().may_be_older("the-job-nobody", "w1"));
  crash();
  ASSERT_TRUE(board().may_be_older("the-job-0003", "w1"));
  const Place place{board().lanes_of("default").at(0), {-5, 4}};
  const auto ack_at = [&](const Place& at) {
    return write([&](Board& b) { return b.acknowledge_at("the-job-0003", at, "w1", now_); });
  };
  EXPECT_EQ(ack_at({place.lane, {-5, 5}}).error().code, Errc::conflict);
  EXPECT_EQ(waiting(), 1300U);
  EXPECT_TRUE(ack_at(place).has_value());
  EXPECT_EQ(waiting(), 1299U);
  EXPECT_EQ(ack_at(place).error().code, Errc::conflict);
  board().note_none_older();
  EXPECT_FALSE(board().may_be_older("the-job-0003", "w1"));
  std::set<std::string> rest;
  for (std::string jid; !(jid = take()).empty();) rest.insert(jid);
  EXPECT_EQ(rest.size(), 1299U);
  EXPECT_FALSE(rest.contains("0003"));
}

TEST_F(BoardBoundsTest, AWordAfterACrashCountsThoughMoreUrgentJobsHaveCome) {
  for (int i = 0; i < 700; ++i) ASSERT_TRUE(push(fmt::format("{:04}", i)).has_value());
  for (int i = 0; i < 700; ++i) EXPECT_EQ(take("w1"), fmt::format("{:04}", i));
  for (int i = 0; i < 600; ++i)
    ASSERT_TRUE(push(fmt::format("urgent-{:04}", i), R"("priority":9)").has_value());
  crash();
  for (int i = 0; i < 700; ++i) ASSERT_TRUE(ack(fmt::format("{:04}", i), "w1").has_value());
  EXPECT_EQ(waiting(), 600U);
}

TEST_F(BoardBoundsTest, AWordAboutAJobThatCameBackBehindWhatIsInMemoryCounts) {
  options_.memory_limit = Bytes{30'000};
  connect("w1");
  for (int i = 0; i < 150; ++i)
    ASSERT_TRUE(push(fmt::format("{:04}", i), R"("priority":1)").has_value());
  for (int i = 0; i < 150; ++i) EXPECT_EQ(take("w1"), fmt::format("{:04}", i));
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(push(fmt::format("urgent-{:04}", i), R"("priority":9)").has_value());
  board().disconnect("w1", now_);
  pass_time(6s);
  EXPECT_EQ(waiting(), 450U);
  for (int i = 0; i < 150; ++i) {
    ASSERT_TRUE(ack(fmt::format("{:04}", i), "w1").has_value());
    ASSERT_TRUE(ack(fmt::format("{:04}", i), "w1").has_value());  // a second word changes nothing
  }
  EXPECT_EQ(waiting(), 300U);
  EXPECT_EQ(status().done, 150U);
  crash();
  EXPECT_EQ(waiting(), 300U);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(take("w1"), fmt::format("urgent-{:04}", i));
  EXPECT_EQ(take("w1"), "");
}

TEST_F(BoardBoundsTest, AWorkerThatBeginsAnewIsNotToldWhatItsOldSelfWas) {
  connect("w1");
  ASSERT_TRUE(board().order("w1", "terminate").has_value());
  connect("w1");  // another connection of the same life
  EXPECT_EQ(*board().beat("w1", "", 0, now_), "terminate");
  board().disconnect("w1", now_);
  board().disconnect("w1", now_);
  connect("w1");
  EXPECT_EQ(*board().beat("w1", "", 0, now_), "");
}

TEST_F(BoardBoundsTest, ANewJobWithTheNameOfACancelledOneIsNotCancelled) {
  connect("w1");
  const std::string_view tracked = R"("custom":{"track":1})";
  ASSERT_TRUE(push("aaaa", tracked).has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  const Place place = board().whereabouts("the-job-aaaa", now_)->value().stored.place;
  ASSERT_TRUE(write([&](Board& b) {
                return b.act_on("the-job-aaaa", place, Board::Act::remove, now_);
              }).has_value());
  const auto progress = [&] {
    return write(
        [&](Board& b) { return b.note_progress({.jid = "the-job-aaaa", .percent = 5}, now_); });
  };
  EXPECT_EQ(progress().error().code, Errc::conflict);
  ASSERT_TRUE(push("aaaa", tracked).has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  EXPECT_TRUE(board().take_cancelled("w1").empty());
  EXPECT_TRUE(progress().has_value());
}

TEST_F(BoardBoundsTest, AJobThatSomebodyRetriesHasANewTrial) {
  const auto dies = [this] {
    connect("w2");
    EXPECT_EQ(take("w2"), "aaaa");
    board().disconnect("w2", now_);
    pass_time(6s);
  };
  ASSERT_TRUE(push("aaaa").has_value());
  dies();
  dies();
  ASSERT_EQ(status().dead, 1U);
  for (const bool restarted : {false, true}) {
    if (restarted) crash();
    const Place place = board().whereabouts("the-job-aaaa", now_)->value().stored.place;
    ASSERT_TRUE(write([&](Board& b) {
                  return b.act_on("the-job-aaaa", place, Board::Act::requeue, now_);
                }).has_value());
    if (restarted) crash();
    dies();
    EXPECT_EQ(status().dead, 0U);
    dies();
    EXPECT_EQ(status().dead, 1U);
  }
}

TEST_F(BoardBoundsTest, WhatRunsIsListedInPages) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(push(fmt::format("{:04}", i)).has_value());
  for (int i = 0; i < 10; ++i) take();
  std::vector<std::uint64_t> seen;
  for (std::uint64_t after = 0;;) {
    const auto page = board().running(after, 3, now_);
    if (page.empty()) break;
    for (const auto& each : page) seen.push_back(each.stored.job.seq);
    after = seen.back();
  }
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
}

TEST_F(BoardBoundsTest, ASweepOfAQueuePassesOverWhatRuns) {
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(push("bbbb").has_value());
  EXPECT_EQ(take(), "aaaa");
  const LaneId lane = board().lanes_of("default").at(0);
  const auto sweep = [&](Board::Act act) {
    std::uint64_t matched = 0;
    EXPECT_TRUE(write([&](Board& b) -> Result<> {
                  auto swept = b.sweep(lane, {std::numeric_limits<std::int64_t>::min(), 0}, 10, act,
                                       {}, now_);
                  if (!swept) return pass(swept);
                  matched = swept->matched;
                  return {};
                }).has_value());
    return matched;
  };
  EXPECT_EQ(sweep(Board::Act::none), 1U);
  EXPECT_EQ(sweep(Board::Act::remove), 1U);
  EXPECT_EQ(status().running, 1U);
  EXPECT_EQ(waiting(), 0U);
}

TEST_F(BoardBoundsTest, AJobThatHasMovedMeanwhileIsLeftAlone) {
  ASSERT_TRUE(push("aaaa").has_value());
  const Place place = board().whereabouts("the-job-aaaa", now_)->value().stored.place;
  const auto act = [&](std::string_view jid, const Place& at, Board::Act what) {
    return write([&](Board& b) { return b.act_on(jid, at, what, now_); });
  };
  EXPECT_EQ(act("the-job-bbbb", place, Board::Act::remove).error().code, Errc::conflict);
  EXPECT_EQ(act("the-job-aaaa", {kDead, place.key}, Board::Act::remove).error().code,
            Errc::conflict);
  EXPECT_EQ(act("the-job-aaaa", {place.lane, {0, 99}}, Board::Act::remove).error().code,
            Errc::conflict);
  EXPECT_EQ(take("w1"), "aaaa");
  EXPECT_EQ(act("the-job-aaaa", place, Board::Act::requeue).error().code, Errc::conflict);
  EXPECT_EQ(status().running, 1U);
  EXPECT_TRUE(act("the-job-aaaa", place, Board::Act::remove).has_value());
  EXPECT_EQ(status().running, 0U);
  EXPECT_FALSE(board().holds(place));
}

TEST_F(BoardBoundsTest, AStepOfASweepEndsWithItsTimeAndGoesOnWhereItWas) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(push(fmt::format("{:04}", i)).has_value());
  const LaneId lane = board().lanes_of("default").at(0);
  const auto slow = [](const Job&) {
    const TimePoint until = Clock::now() + Board::kSweepTime / 2;
    while (Clock::now() < until) {
    }
    return true;
  };
  Key after{std::numeric_limits<std::int64_t>::min(), 0};
  int steps = 0;
  std::uint64_t matched = 0;
  for (bool end = false; !end; ++steps) {
    const auto swept = board().sweep(lane, after, 100, Board::Act::none, slow, now_);
    ASSERT_TRUE(swept.has_value());
    matched += swept->matched;
    after = swept->last;
    end = swept->end;
  }
  EXPECT_EQ(matched, 10U);
  EXPECT_GT(steps, 2);
}

TEST_F(BoardBoundsTest, LongJobsAreReadAFewAtATime) {
  const std::string filling(900'000, 'x');
  options_.memory_limit = Bytes::mib(1);
  for (int i = 0; i < 12; ++i)
    ASSERT_TRUE(
        push(fmt::format("{:04}", i), fmt::format(R"("filling":"{}")", filling)).has_value());
  const LaneId lane = board().lanes_of("default").at(0);
  const auto page = store_->read(lane, {std::numeric_limits<std::int64_t>::min(), 0}, 1000);
  ASSERT_TRUE(page.has_value());
  EXPECT_FALSE(page->end);
  EXPECT_EQ(page->jobs.size(), 5U);
  const auto rest = store_->read(lane, page->jobs.back().place.key, 1000);
  EXPECT_EQ(rest->jobs.size(), 5U);
  EXPECT_TRUE(store_->read(lane, rest->jobs.back().place.key, 1000)->end);
  EXPECT_EQ(store_->read(lane, page->jobs.back().place.key, 1000, 1)->jobs.size(), 1U);
}

TEST_F(BoardBoundsTest, MemoryIsKeptToItsLimitWhenLongJobsComeBackFromTheStore) {
  options_.memory_limit = Bytes::mib(2);
  const std::string filling(500'000, 'x');
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(
        push(fmt::format("{:04}", i), fmt::format(R"("filling":"{}")", filling)).has_value());
  crash();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(take("w1"), fmt::format("{:04}", i));
    EXPECT_LE(status().bytes_held, Bytes::mib(2).count + 600'000);
  }
}

TEST_F(BoardBoundsTest, AScheduleOfAnyNameLivesThroughARestart) {
  auto schedule = Schedule::read(
      "\xc3\xbc"
      "ber",
      R"({"cron":"* * * * *","job":{"jobtype":"T","args":[]}})");
  ASSERT_TRUE(schedule.has_value());
  ASSERT_TRUE(write([&](Board& b) { return b.put_schedule(*schedule, now_); }).has_value());
  crash();
  ASSERT_EQ(board().schedules().rows.size(), 1U);
  EXPECT_EQ(board().schedules().rows[0].schedule.name,
            "\xc3\xbc"
            "ber");
}

TEST_F(BoardBoundsTest, AJobPutAsideIsSaidToBeTriedNoMore) {
  connect("w1");
  ASSERT_TRUE(push("aaaa").has_value());
  for (int i = 0; i < 2; ++i) {
    connect("w2");
    EXPECT_EQ(take("w2"), "aaaa");
    board().disconnect("w2", now_);
    pass_time(6s);
  }
  const auto page = store_->read(kDead, {std::numeric_limits<std::int64_t>::min(), 0}, 1);
  ASSERT_EQ(page->jobs.size(), 1U);
  const auto document = json::parse(page->jobs[0].job.body);
  const auto failure = *document->root().find("failure");
  EXPECT_EQ(failure.find("errtype")->string(), "WorkerLost");
  EXPECT_EQ(failure.find("remaining")->integer(), 0);
  EXPECT_FALSE(failure.find("next_at").has_value());
}

TEST(JobFilter, NamesPatternsAndTypesHaveTheirLimits) {
  using Names = JobFilter::Names;
  EXPECT_FALSE(JobFilter::make({.pattern = std::string(257, 'a')}, Names::alone).has_value());
  EXPECT_FALSE(
      JobFilter::make({.jids = std::vector<std::string>(10'001, "x")}, Names::alone).has_value());
  Job job;
  job.jid = "job-1";
  job.jobtype = "Mail";
  job.body = R"({"to":"somebody"})";
  const auto fits = [&](JobFilter::Words words, Names names) {
    return (*JobFilter::make(std::move(words), names))(job);
  };
  EXPECT_TRUE(
      fits({.jids = std::vector<std::string>{"job-0", "job-1"}, .jobtype = "Other"}, Names::alone));
  EXPECT_FALSE(fits({.jids = std::vector<std::string>{"job-0", "job-1"}, .jobtype = "Other"},
                    Names::with_the_rest));
  EXPECT_TRUE(fits({.jobtype = "Mail", .pattern = "*some*"}, Names::alone));
  // A list that came out empty names no job, and not all.
  EXPECT_FALSE(fits({.jids = std::vector<std::string>{}}, Names::alone));
  EXPECT_FALSE(fits({.jids = std::vector<std::string>{}}, Names::with_the_rest));
  EXPECT_TRUE(fits({}, Names::alone));
  EXPECT_FALSE(fits({.jobtype = "Mail", .pattern = "some*"}, Names::alone));
}

TEST_F(BoardBoundsTest, AClockThatWasAheadForAMomentDoesNotStopRecurringTasks) {
  auto schedule = Schedule::read("tick", R"({"cron":"* * * * *","job":{"jobtype":"T","args":[]}})");
  ASSERT_TRUE(write([&](Board& b) { return b.put_schedule(*schedule, now_); }).has_value());
  constexpr WallTime kYear = 365 * 86400 * kSecond;
  now_.wall += kYear;
  pass_time(1s);
  EXPECT_EQ(status().queues.at(0).waiting, 1U);
  now_.wall -= kYear;
  for (const bool restarted : {false, true}) {
    if (restarted) {
      now_.wall += kYear;
      pass_time(61s);
      now_.wall -= kYear;
      crash();
    }
    pass_time(1s);
    const std::uint64_t before = waiting();
    pass_time(60s);
    EXPECT_EQ(waiting(), before + 1);
  }
}

TEST_F(BoardBoundsTest, AClockThatWasAheadForAMomentRemovesNoDeadJobs) {
  ASSERT_TRUE(push("aaaa", R"("retry":-1)").has_value());
  take();
  ASSERT_TRUE(fail_it("aaaa").has_value());
  pass_time(std::chrono::hours(2));
  constexpr WallTime kYear = 365 * 86400 * kSecond;
  now_.wall += kYear;
  pass_time(2s);
  EXPECT_EQ(status().dead, 1U);
  now_.wall -= kYear;
  pass_time(std::chrono::hours(2));
  EXPECT_EQ(status().dead, 1U);
  now_.wall += kYear;  // and stays there
  pass_time(1s);
  pass_time(std::chrono::hours(1));
  EXPECT_EQ(status().dead, 0U);
}

TEST_F(BoardBoundsTest, HeadroomsOwnPoolsAreNotTold) {
  board().connect({.wid = "push-1", .own = true}, now_);
  connect("w1");
  ASSERT_TRUE(board().order("*", "quiet").has_value());
  EXPECT_EQ(board().order("push-1", "terminate").error().code, Errc::conflict);
  EXPECT_TRUE(board().is_quiet("w1"));
  EXPECT_FALSE(board().is_quiet("push-1"));
}

TEST_F(BoardBoundsTest, AResultIsReadByItsOwnNameAlone) {
  for (const char* jid : {"import-1", "import-10"}) {
    ASSERT_TRUE(push(jid, R"("custom":{"track":1})").has_value());
    take("w1");
    ASSERT_TRUE(write([&](Board& b) {
                  return b.acknowledge(fmt::format("the-job-{}", jid), "w1", now_,
                                       fmt::format(R"("{}")", jid));
                }).has_value());
  }
  EXPECT_EQ(board().track_of("the-job-import-1").result, R"("import-1")");
  EXPECT_EQ(board().take_outcomes(),
            (std::vector<std::string>{"the-job-import-1", "the-job-import-10"}));
}

TEST_F(BoardBoundsTest, AJobThatWasLentComesBackWhenItCouldNotBeWritten) {
  auto job = read_job(text("aaaa", R"("more":[1,2])"), now_.wall);
  const std::string body = job->body;
  faults().commit_fails = true;
  EXPECT_FALSE(write([&](Board& b) { return b.offer(*job, now_); }).has_value());
  EXPECT_EQ(job->body, body);
  faults().commit_fails = false;
  EXPECT_TRUE(write([&](Board& b) { return b.offer(*job, now_); }).has_value());
  EXPECT_EQ(take(), "aaaa");
  EXPECT_EQ(last_.body, body);
}

class SearchesTest : public BoardTest {
 protected:
  // Looks for all of them together; where they were found, and in how many steps.
  using Places = std::map<std::string, std::optional<Place>>;
  int look_for(const std::vector<std::string>& jids, Places& places,
               const Searches::Sought& like = {}) {
    Searches searches(*faults_);
    for (const std::string& jid : jids) {
      Searches::Sought sought = like;
      sought.jid = "the-job-" + jid;
      searches.add(sought, [&places, jid](Result<std::optional<Place>> found) {
        HR_ASSERT(found.has_value());
        places[jid] = *found;
      });
    }
    int steps = 0;
    for (; !searches.empty(); ++steps) searches.step();
    return steps;
  }
  void push_many(int count) {
    ASSERT_TRUE(write([&](Board& b) -> Result<> {
                  for (int i = 0; i < count; ++i) {
                    auto pushed = b.push(*read_job(text(fmt::format("{:05}", i)), now_.wall), now_);
                    if (!pushed) return pushed;
                  }
                  return {};
                }).has_value());
  }
};

TEST_F(SearchesTest, AJobIsFoundByItsNameWhereverItLies) {
  options_.memory_limit = Bytes{30'000};
  constexpr int kJobs = 3 * static_cast<int>(Searches::kStep);
  push_many(kJobs);
  ASSERT_TRUE(push("later", R"("at":"2099-01-01T00:00:00Z","priority":9)").has_value());
  Places places;
  EXPECT_EQ(look_for({"14000", "later", "nobody"}, places), 4);  // all of it, once
  EXPECT_EQ(places["14000"], (Place{board().lanes_of("default").at(0), {-5, 14001}}));
  EXPECT_EQ(places["later"]->lane, kScheduled);
  EXPECT_FALSE(places["nobody"].has_value());
  EXPECT_TRUE(*board().job_at("the-job-14000", *places["14000"]));
  EXPECT_FALSE(*board().job_at("the-job-14001", *places["14000"]));
  EXPECT_EQ(look_for({"later"}, places, {.jid = {}, .waiting = true}), 4);
  EXPECT_FALSE(places["later"].has_value());
  look_for({"14000"}, places, {.jid = {}, .up_to = 14000});
  EXPECT_FALSE(places["14000"].has_value());
}

TEST_F(SearchesTest, WhoComesLaterIsToldAfterOneRoundFromThere) {
  push_many(3 * static_cast<int>(Searches::kStep) - 1);
  Searches searches(*faults_);
  std::vector<std::string> told;
  const auto look = [&](const std::string& jid) {
    searches.add({.jid = "the-job-" + jid}, [&told, jid](Result<std::optional<Place>> found) {
      told.push_back(jid + (*found ? " found" : " not found"));
    });
  };
  look("nobody");
  searches.step();
  look("00003");  // is behind
  look("neither");
  for (int i = 0; i < 2; ++i) searches.step();
  EXPECT_EQ(told, std::vector<std::string>{"nobody not found"});
  EXPECT_EQ(searches.take_first_seq(), 1U);
  searches.step();
  EXPECT_EQ(told.back(), "neither not found");
  EXPECT_EQ(told.at(1), "00003 found");
  EXPECT_TRUE(searches.empty());
}

TEST_F(SearchesTest, WhatWasPlacedBeforePlacesHadTagsIsFoundToo) {
  push_many(10);
  auto file = sqlite::Database::open(directory_ / "tasks.db");
  ASSERT_TRUE((*file)->execute("UPDATE places SET tag = 0").has_value());
  Places places;
  look_for({"00007", "nobody"}, places);
  EXPECT_TRUE(places["00007"].has_value());
  EXPECT_FALSE(places["nobody"].has_value());
}

}  // namespace
}  // namespace headroom::tasks
