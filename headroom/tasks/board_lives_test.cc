// Whose lease it is: of a job that was leased before, of a process that took another's name, of all while everything stood still.
#include <set>

#include "headroom/tasks/board_fixture_test.h"

namespace headroom::tasks {
namespace {

using BoardLivesTest = BoardTest;

TEST_F(BoardLivesTest, ALeaseThatIsOverCannotBeGivenBack) {
  ASSERT_TRUE(push("aaaa").has_value());
  connect("w1");
  connect("w2");
  EXPECT_EQ(take("w1"), "aaaa");
  const Lease first = last_.lease();
  pass_time(1s);
  board().give_back(first);
  EXPECT_EQ(take("w2"), "aaaa");
  board().give_back(first);
  EXPECT_EQ(take("w1"), "");
  EXPECT_TRUE(ack("aaaa", "w2").has_value());
  EXPECT_EQ(status().done, 1U);
}

TEST_F(BoardLivesTest, ALeaseIsLengthenedNeverShortened) {
  ASSERT_TRUE(push("aaaa", R"("reserve_for":60)").has_value());
  EXPECT_EQ(take(), "aaaa");
  const Lease lease = last_.lease();
  board().lengthen(lease, now_.steady + 200s);
  board().lengthen(lease, now_.steady + 10s);
  pass_time(199s);
  EXPECT_EQ(status().running, 1U);
  pass_time(2s);
  EXPECT_EQ(status().retries, 1U);
  board().lengthen(lease, now_.steady + 200s);  // it is over
}

TEST_F(BoardLivesTest, ATimeInWhichAllStoodStillCountsAgainstNobody) {
  for (const char* jid : {"aaaa", "bbbb"})
    ASSERT_TRUE(push(jid, R"("reserve_for":60)").has_value());
  for (const char* wid : {"beats", "alone"}) {
    connect(wid);
    ASSERT_NE(take(wid), "");
    ASSERT_TRUE(board().beat(wid, "", 0, now_).has_value());
  }
  pass_time(50s);
  ASSERT_TRUE(board().beat("beats", "", 0, now_).has_value());
  board().disconnect("alone", now_);
  now_.steady += 300s;
  board().excuse(300s);
  upkeep();
  EXPECT_EQ(status().running, 2U);
  pass_time(6s);  // more than worker_grace
  EXPECT_EQ(status().running, 1U);
  pass_time(5s);  // the lease of 60 s
  EXPECT_EQ(status().running, 0U);
  EXPECT_EQ(status().retries, 1U);
}

TEST_F(BoardLivesTest, WhoTakesTheNameOfAWorkerThatIsGoneDoesNotKeepItsJobs) {
  ASSERT_TRUE(push("aaaa").has_value());
  board().connect({.wid = "pod-0", .hostname = "pod-0", .pid = 7}, now_);
  EXPECT_EQ(take("pod-0"), "aaaa");
  board().disconnect("pod-0", now_);
  board().connect({.wid = "pod-0", .hostname = "pod-0", .pid = 8}, now_);
  upkeep();
  EXPECT_EQ(waiting(), 1U);
  EXPECT_EQ(status().running, 0U);
  upkeep();
  EXPECT_EQ(status().workers.size(), 1U);
  EXPECT_EQ(take("pod-0"), "aaaa");
  EXPECT_TRUE(ack("aaaa", "pod-0").has_value());
  EXPECT_EQ(status().done, 1U);
}

TEST_F(BoardLivesTest, AProcessThatConnectsAgainKeepsItsJobs) {
  ASSERT_TRUE(push("aaaa").has_value());
  for (int i = 0; i < 2; ++i) {
    board().connect({.wid = "pod-0", .hostname = "pod-0", .pid = 7}, now_);
    if (i == 0) EXPECT_EQ(take("pod-0"), "aaaa");
    if (i == 0) board().disconnect("pod-0", now_);
    upkeep();
  }
  EXPECT_EQ(status().running, 1U);
  restart();  // who comes back after that is not known
  board().connect({.wid = "pod-0", .hostname = "pod-0", .pid = 7}, now_);
  upkeep();
  EXPECT_EQ(status().running, 1U);
}

TEST_F(BoardLivesTest, ALateAcknowledgementCountsAlsoOnceTheJobWaitsInItsQueueAgain) {
  for (const bool spilled : {false, true}) {
    if (spilled) options_.memory_limit = Bytes{30'000};
    if (spilled) crash();
    std::vector<std::string> jids;
    for (int i = 0; i < 150; ++i) jids.push_back(fmt::format("{}-{:04}", spilled, i));
    for (const std::string& jid : jids)
      ASSERT_TRUE(push(jid, R"("reserve_for":60,"priority":1)").has_value());
    for (const std::string& jid : jids) EXPECT_EQ(take("w1"), jid);
    for (int i = 0; i < 150; ++i)
      ASSERT_TRUE(push(fmt::format("urgent-{}-{:04}", spilled, i), R"("priority":9)").has_value());
    pass_time(61s);
    EXPECT_EQ(status().retries, jids.size());
    pass_time(100s);
    for (int i = 0; i < 20; ++i) upkeep();
    EXPECT_EQ(status().retries, 0U);
    const std::uint64_t done = status().done;
    for (const std::string& jid : jids) ASSERT_TRUE(ack(jid, "w1").has_value());
    EXPECT_EQ(status().done, done + jids.size());
    for (std::string jid; !(jid = take("w2")).empty();) {
      EXPECT_TRUE(jid.starts_with("urgent")) << jid;
      ASSERT_TRUE(ack(jid, "w2").has_value());
    }
  }
}

TEST_F(BoardLivesTest, AWordAfterACrashIsNotTakenForOneAboutANewJobOfThatName) {
  options_.memory_limit = Bytes{30'000};
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(push(fmt::format("{:04}", i)).has_value());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(take("w1"), fmt::format("{:04}", i));
  for (int i = 0; i < 600; ++i)
    ASSERT_TRUE(push(fmt::format("urgent-{:04}", i), R"("priority":9)").has_value());
  crash();
  ASSERT_TRUE(push("0003", R"("priority":200)").has_value());
  EXPECT_TRUE(board().may_be_older("the-job-0003", "w1"));
  const Place old{board().lanes_of("default").at(0), {-5, 4}};
  ASSERT_TRUE(write([&](Board& b) {
                return b.acknowledge_at("the-job-0003", old, "w1", now_);
              }).has_value());
  EXPECT_EQ(status().done, 1U);
  EXPECT_EQ(take("w2"), "0003");  // the new one
  EXPECT_EQ(last_.seq, 606U);
  std::set<std::string> rest;
  for (std::string jid; !(jid = take("w2")).empty();) rest.insert(jid);
  EXPECT_EQ(rest.size(), 604U);
  EXPECT_FALSE(rest.contains("0003"));
  // Leased to another by now.
  const Place leased{old.lane, {-5, 1}};
  ASSERT_TRUE(write([&](Board& b) {
                return b.acknowledge_at("the-job-0000", leased, "w1", now_);
              }).has_value());
  EXPECT_EQ(status().done, 1U);
  EXPECT_TRUE(ack("0000", "w2").has_value());
  EXPECT_EQ(status().done, 2U);
}

TEST_F(BoardLivesTest, WhatLeavesMemoryAfterACrashIsLookedForOnTheDisk) {
  options_.memory_limit = Bytes{30'000};
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(push(fmt::format("{:04}", i)).has_value());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(take("w1"), fmt::format("{:04}", i));
  crash();
  EXPECT_FALSE(board().may_be_older("the-job-0003", "w1"));
  for (int i = 0; i < 600; ++i)
    ASSERT_TRUE(push(fmt::format("urgent-{:04}", i), R"("priority":9)").has_value());
  ASSERT_TRUE(board().may_be_older("the-job-0003", "w1"));
  const Place place{board().lanes_of("default").at(0), {-5, 4}};
  ASSERT_TRUE(write([&](Board& b) {
                return b.acknowledge_at("the-job-0003", place, "w1", now_);
              }).has_value());
  EXPECT_EQ(waiting(), 604U);
}

TEST_F(BoardLivesTest, AQueueIsKeptForItsScheduledAndRetryingJobsAndAnotherIsRefused) {
  options_.queues_limit = 3;
  ASSERT_TRUE(push("late", R"("queue":"mine","at":"2026-11-21T12:01:00Z")").has_value());
  ASSERT_TRUE(push("tried", R"("queue":"yours")").has_value());
  EXPECT_EQ(take("", {"yours"}), "tried");
  ASSERT_TRUE(fail_it("tried").has_value());
  for (const bool restarted : {false, true}) {
    if (restarted) crash();
    ASSERT_TRUE(push("aaaa", R"("queue":"a")").has_value());
    EXPECT_EQ(push("bbbb", R"("queue":"b")").error().code, Errc::overloaded);
    EXPECT_EQ(take("", {"a"}), "aaaa");
    ASSERT_TRUE(ack("aaaa").has_value());
    ASSERT_TRUE(write([](Board& b) { return b.remove_queue("mine"); }).has_value());
    EXPECT_EQ(board().queue_names().size(), 3U);
  }
  pass_time(61s);
  EXPECT_EQ(take("", {"mine"}), "late");
  ASSERT_TRUE(ack("late").has_value());
  EXPECT_EQ(take("", {"yours"}), "tried");
  ASSERT_TRUE(ack("tried").has_value());
  for (const char* queue : {"b", "c", "d"})
    ASSERT_TRUE(push("more", fmt::format(R"("queue":"{}")", queue)).has_value()) << queue;
}

TEST_F(BoardLivesTest, WhatNoQueueIsKeptForIsCountedAsJobsComeAndGo) {
  options_.queues_limit = 2;
  const std::string_view later = R"("queue":"mine","at":"2026-11-21T12:01:00Z")";
  for (const char* jid : {"aaaa", "bbbb"}) ASSERT_TRUE(push(jid, later).has_value());
  ASSERT_TRUE(push("full", R"("queue":"other")").has_value());
  const auto refused = [&] { return !push("more", R"("queue":"more")").has_value(); };
  EXPECT_TRUE(refused());
  for (const Board::Act act : {Board::Act::kill, Board::Act::remove}) {
    EXPECT_TRUE(refused());
    ASSERT_TRUE(write([&](Board& b) -> Result<> {
                  auto done = b.sweep(kScheduled, {0, 0}, 1, act, {}, now_);
                  return done ? Result<>{} : pass(done);
                }).has_value());
  }
  EXPECT_FALSE(refused());
}

TEST_F(BoardLivesTest, AfterARestartManyScheduledJobsAreCountedStepByStepWhileTheyComeAndGo) {
  constexpr std::string_view kLater = R"("queue":"mine","at":"2026-11-21T12:01:00Z")";
  options_.queues_limit = 2;
  ASSERT_TRUE(write([&](Board& b) -> Result<> {
                for (int i = 0; i < 21'000; ++i) {
                  auto job = read_job(text(fmt::format("{:05}", i), kLater), now_.wall);
                  if (auto pushed = b.push(*job, now_); !pushed) return pushed;
                }
                return {};
              }).has_value());
  ASSERT_TRUE(push("full", R"("queue":"other")").has_value());
  crash();
  const auto refused = [&] { return push("more", R"("queue":"more")"); };
  EXPECT_NE(refused().error().message.find("being counted"), std::string::npos);
  EXPECT_FALSE(*board().count_step());
  const auto remove = [&](std::uint64_t after, std::size_t limit, std::string_view but = "") {
    Board::Swept swept;
    const auto fits = [&](const Job& job) { return job.jid != but; };
    EXPECT_TRUE(write([&](Board& b) -> Result<> {
                  const Key key{*parse_time("2026-11-21T12:01:00Z"), after};
                  swept = *b.sweep(kScheduled, key, limit, Board::Act::remove, fits, now_);
                  return {};
                }).has_value());
    return swept;
  };
  EXPECT_GT(remove(0, 50).matched, 0U);       // counted already
  EXPECT_GT(remove(15'000, 50).matched, 0U);  // not yet
  ASSERT_TRUE(push("last", kLater).has_value());
  int steps = 0;
  while (!*board().count_step()) ASSERT_LT(++steps, 100);
  EXPECT_GT(steps, 5);
  for (Board::Swept swept; !swept.end;) swept = remove(swept.last.seq, 5000, "the-job-last");
  EXPECT_EQ(status().scheduled, 1U);
  EXPECT_FALSE(refused().has_value());
  EXPECT_EQ(remove(0, 10).matched, 1U);
  EXPECT_TRUE(refused().has_value());
}

TEST_F(BoardLivesTest, ADeadJobWhoseQueueHasGoneIsRequeuedOnceThereIsRoomForItsQueue) {
  options_.queues_limit = 2;
  ASSERT_TRUE(push("dead", R"("queue":"mine","retry":-1)").has_value());
  EXPECT_EQ(take("", {"mine"}), "dead");
  ASSERT_TRUE(fail_it("dead").has_value());
  for (const char* jid : {"aaaa", "bbbb"})
    ASSERT_TRUE(push(jid, fmt::format(R"("queue":"{}")", jid)).has_value());
  const auto requeue = [&] {
    Board::Swept swept;
    EXPECT_TRUE(write([&](Board& b) -> Result<> {
                  swept = *b.sweep(kDead, {0, 0}, 10, Board::Act::requeue, {}, now_);
                  return {};
                }).has_value());
    return std::pair(swept.matched, swept.left);
  };
  EXPECT_EQ(requeue(), std::pair(0UL, 1UL));
  const Place place{kDead, {now_.wall, 1}};
  const auto alone =
      write([&](Board& b) { return b.act_on("the-job-dead", place, Board::Act::requeue, now_); });
  EXPECT_EQ(alone.error().code, Errc::overloaded);
  EXPECT_EQ(status().dead, 1U);
  EXPECT_EQ(take("", {"aaaa"}), "aaaa");
  ASSERT_TRUE(ack("aaaa").has_value());
  EXPECT_EQ(requeue(), std::pair(1UL, 0UL));
  EXPECT_EQ(take("", {"mine"}), "dead");
}

}  // namespace
}  // namespace headroom::tasks
