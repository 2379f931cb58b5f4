#include "headroom/tasks/board.h"

#include "headroom/tasks/board_fixture_test.h"

namespace headroom::tasks {
namespace {

TEST_F(BoardTest, JobsComeInTheOrderTheyWerePushed) {
  for (const char* jid : {"aaaa", "bbbb", "cccc"}) ASSERT_TRUE(push(jid).has_value());
  EXPECT_EQ(take(), "aaaa");
  EXPECT_EQ(take(), "bbbb");
  EXPECT_EQ(take(), "cccc");
  EXPECT_EQ(take(), "");
}

TEST_F(BoardTest, TheMoreUrgentComesFirst) {
  ASSERT_TRUE(push("low1", R"("priority":1)").has_value());
  ASSERT_TRUE(push("mid1").has_value());
  ASSERT_TRUE(push("high", R"("priority":9)").has_value());
  ASSERT_TRUE(push("mid2", R"("priority":5)").has_value());
  EXPECT_EQ(take(), "high");
  EXPECT_EQ(take(), "mid1");
  EXPECT_EQ(take(), "mid2");
  EXPECT_EQ(take(), "low1");
}

TEST_F(BoardTest, QueuesAreAskedInTheOrderGiven) {
  ASSERT_TRUE(push("bulk", R"("queue":"bulk")").has_value());
  ASSERT_TRUE(push("crit", R"("queue":"critical")").has_value());
  EXPECT_EQ(take("", {"critical", "bulk"}), "crit");
  EXPECT_EQ(take("", {"critical", "unknown", "bulk"}), "bulk");
}

TEST_F(BoardTest, WhatIsNotCommittedIsNotSeen) {
  faults().commit_fails = true;
  EXPECT_EQ(push("aaaa").error().code, Errc::overloaded);
  EXPECT_EQ(take(), "");
  faults().commit_fails = false;
  EXPECT_TRUE(push("aaaa").has_value());  // and it recovers
  EXPECT_EQ(take(), "aaaa");
  faults().commit_fails = true;
  EXPECT_FALSE(ack("aaaa").has_value());
  faults().commit_fails = false;
  EXPECT_EQ(status().running, 1U);
  EXPECT_TRUE(ack("aaaa").has_value());
  EXPECT_EQ(status().running, 0U);
  EXPECT_EQ(status().done, 1U);
}

TEST_F(BoardTest, ACrashReturnsWhatWasLeasedAndForgetsWhatWasAcknowledged) {
  for (const char* jid : {"aaaa", "bbbb", "cccc"}) ASSERT_TRUE(push(jid).has_value());
  EXPECT_EQ(take(), "aaaa");
  EXPECT_EQ(take(), "bbbb");
  ASSERT_TRUE(ack("bbbb").has_value());
  crash();
  EXPECT_EQ(waiting(), 2U);
  EXPECT_EQ(take(), "aaaa");
  EXPECT_EQ(take(), "cccc");
  EXPECT_EQ(take(), "");
}

TEST_F(BoardTest, ALateAcknowledgementAfterACrashCounts) {
  ASSERT_TRUE(push("aaaa").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  crash();
  ASSERT_TRUE(ack("aaaa", "w1").has_value());
  EXPECT_EQ(take(), "");
  EXPECT_EQ(waiting(), 0U);
}

TEST_F(BoardTest, AnAcknowledgementOfAJobThatNobodyFetchedChangesNothing) {
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(ack("aaaa").has_value());
  EXPECT_EQ(take(), "aaaa");
  ASSERT_TRUE(ack("none").has_value());
}

TEST_F(BoardTest, OnlyTheWorkerThatHoldsTheLeaseEndsIt) {
  connect("w1");
  connect("w2");
  ASSERT_TRUE(push("aaaa").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  ASSERT_TRUE(ack("aaaa", "w2").has_value());
  EXPECT_EQ(fail_it("aaaa", "w2").error().code, Errc::not_found);
  EXPECT_EQ(status().running, 1U);
  ASSERT_TRUE(ack("aaaa", "w1").has_value());
  EXPECT_EQ(status().running, 0U);
}

TEST_F(BoardTest, AFailedJobIsTriedAgainLaterAndThenDies) {
  ASSERT_TRUE(push("aaaa", R"("retry":1)").has_value());
  EXPECT_EQ(take(), "aaaa");
  ASSERT_TRUE(fail_it("aaaa").has_value());
  EXPECT_EQ(status().retries, 1U);
  pass_time(14s);
  EXPECT_EQ(take(), "");
  pass_time(35s);
  EXPECT_EQ(take(), "aaaa");
  EXPECT_NE(last_.body.find(R"("retry_count":0)"), std::string::npos) << last_.body;
  ASSERT_TRUE(fail_it("aaaa").has_value());
  EXPECT_EQ(status().dead, 1U);
  EXPECT_EQ(status().failed, 2U);
}

TEST_F(BoardTest, RetryZeroIsDiscardedAndMinusOneIsDeadAtOnce) {
  ASSERT_TRUE(push("zero", R"("retry":0)").has_value());
  ASSERT_TRUE(push("minus", R"("retry":-1)").has_value());
  take();
  take();
  ASSERT_TRUE(fail_it("zero").has_value());
  ASSERT_TRUE(fail_it("minus").has_value());
  EXPECT_EQ(status().dead, 1U);
  EXPECT_EQ(status().retries, 0U);
}

TEST_F(BoardTest, AScheduledJobWaitsForItsTimeAlsoOverARestart) {
  ASSERT_TRUE(push("later", R"("at":"2026-11-21T12:01:00Z")").has_value());
  ASSERT_TRUE(push("pastt", R"("at":"2026-11-21T11:00:00Z")").has_value());
  EXPECT_EQ(take(), "pastt");
  EXPECT_EQ(take(), "");
  crash();
  pass_time(59s);
  EXPECT_EQ(take(), "pastt");
  EXPECT_EQ(take(), "");
  pass_time(1s);
  EXPECT_EQ(take(), "later");
}

TEST_F(BoardTest, AClockThatJumpsForwardMakesJobsDueAndOneThatJumpsBackLosesNone) {
  ASSERT_TRUE(push("later", R"("at":"2026-11-21T13:00:00Z")").has_value());
  ASSERT_TRUE(push("work1").has_value());
  EXPECT_EQ(take(), "work1");
  now_.wall += 7200 * kSecond;
  upkeep();
  EXPECT_EQ(status().running, 1U);  // leases are not measured by the wall clock
  EXPECT_EQ(take(), "later");
  now_.wall -= 3 * 86400 * kSecond;
  ASSERT_TRUE(push("soon1", R"("at":"2026-11-18T14:00:05Z")").has_value());
  upkeep();
  EXPECT_EQ(take(), "");
  pass_time(10s);
  EXPECT_EQ(take(), "soon1");
  for (const char* jid : {"work1", "later", "soon1"}) ASSERT_TRUE(ack(jid).has_value());
  EXPECT_EQ(status().done, 3U);
}

TEST_F(BoardTest, AnExpiredJobIsNotHandedOut) {
  ASSERT_TRUE(push("quick", R"("custom":{"expires_in":10})").has_value());
  ASSERT_TRUE(push("fixed", R"("custom":{"expires_at":"2026-11-21T12:00:30Z"})").has_value());
  ASSERT_TRUE(push("plain").has_value());
  pass_time(11s);
  EXPECT_EQ(take(), "fixed");
  EXPECT_EQ(take(), "plain");
  upkeep();
  EXPECT_EQ(waiting(), 0U);
  crash();
  EXPECT_EQ(waiting(), 2U);  // the two that were leased
}

TEST_F(BoardTest, ALeaseThatRunsOutIsAFailureAndALateAcknowledgementStillCounts) {
  ASSERT_TRUE(push("aaaa", R"("reserve_for":60)").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  pass_time(59s);
  EXPECT_EQ(status().running, 1U);
  pass_time(2s);
  EXPECT_EQ(status().running, 0U);
  EXPECT_EQ(status().retries, 1U);
  ASSERT_TRUE(ack("aaaa", "w1").has_value());
  EXPECT_EQ(status().retries, 0U);
  pass_time(3600s);
  EXPECT_EQ(take(), "");
}

TEST_F(BoardTest, TheJobsOfAWorkerWhoseConnectionsHaveEndedReturnAfterTheGrace) {
  connect("w1");
  connect("w1");
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(push("bbbb").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  board().disconnect("w1", now_);
  pass_time(10s);
  EXPECT_EQ(status().running, 1U);
  board().disconnect("w1", now_);
  pass_time(4s);
  EXPECT_EQ(status().running, 1U);
  pass_time(1s);
  EXPECT_EQ(status().running, 0U);
  EXPECT_EQ(take("w2"), "aaaa");  // before those that came later
  EXPECT_TRUE(status().workers.empty());
}

TEST_F(BoardTest, AWorkerThatComesBackWithinTheGraceKeepsItsLease) {
  connect("w1");
  ASSERT_TRUE(push("aaaa").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  board().disconnect("w1", now_);
  pass_time(4s);
  connect("w1");
  pass_time(60s);
  EXPECT_EQ(status().running, 1U);
}

TEST_F(BoardTest, AWorkerWithoutHeartbeatsIsDead) {
  connect("w1");
  ASSERT_TRUE(board().beat("w1", "", 0, now_).has_value());
  ASSERT_TRUE(push("aaaa").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  pass_time(59s);
  EXPECT_EQ(status().running, 1U);
  pass_time(1s);
  EXPECT_EQ(status().running, 0U);
  board().disconnect("w1", now_);
  pass_time(options_.worker_grace);
  EXPECT_EQ(board().beat("w1", "", 0, now_).error().code, Errc::not_found);
}

TEST_F(BoardTest, AJobThatKillsTwoWorkersIsPutAside) {
  ASSERT_TRUE(push("poison").has_value());
  for (const char* wid : {"w1", "w2"}) {
    connect(wid);
    EXPECT_EQ(take(wid), "poison");
    board().disconnect(wid, now_);
    pass_time(5s);
    if (std::string_view(wid) == "w1") crash();  // what it has done is remembered
  }
  EXPECT_EQ(status().dead, 1U);
  EXPECT_EQ(take(), "");
}

TEST_F(BoardTest, AQuietWorkerGetsNothingAndIsToldSo) {
  connect("w1");
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(board().order("w1", "quiet").has_value());
  EXPECT_EQ(take("w1"), "");
  EXPECT_EQ(*board().beat("w1", "", 0, now_), "quiet");
  ASSERT_TRUE(board().order("*", "terminate").has_value());
  EXPECT_EQ(*board().beat("w1", "quiet", 0, now_), "terminate");
  EXPECT_EQ(take("w2"), "aaaa");
}

TEST_F(BoardTest, APausedQueueGivesNothingAlsoAfterARestart) {
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(write([](Board& b) { return b.set_paused({"*"}, true); }).has_value());
  EXPECT_EQ(take(), "");
  crash();
  EXPECT_EQ(take(), "");
  ASSERT_TRUE(write([](Board& b) { return b.set_paused({"default"}, false); }).has_value());
  EXPECT_TRUE(board().take_news(now_));
  EXPECT_EQ(take(), "aaaa");
}

TEST_F(BoardTest, AUniqueJobIsRefusedWhileItsTwinIsThere) {
  const char* unique = R"("custom":{"unique_for":600})";
  ASSERT_TRUE(push("aaaa", unique).has_value());
  const auto again = push("bbbb", unique);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().message, "Job not unique");
  crash();
  EXPECT_FALSE(push("bbbb", unique).has_value());
  EXPECT_TRUE(push("plain").has_value());  // jobs without unique_for pass
  EXPECT_EQ(take(), "aaaa");
  EXPECT_FALSE(push("bbbb", unique).has_value());
  ASSERT_TRUE(fail_it("aaaa").has_value());
  EXPECT_FALSE(push("bbbb", unique).has_value());  // it will be tried again: its lock stays
  pass_time(60s);
  EXPECT_EQ(take(), "aaaa");
  ASSERT_TRUE(ack("aaaa").has_value());
  EXPECT_TRUE(push("bbbb", unique).has_value());
}

TEST_F(BoardTest, AUniqueJobUntilStartMayComeAgainOnceItsTwinHasBegun) {
  const char* unique = R"("custom":{"unique_for":600,"unique_until":"start"})";
  ASSERT_TRUE(push("aaaa", unique).has_value());
  EXPECT_FALSE(push("bbbb", unique).has_value());
  EXPECT_EQ(take(), "aaaa");
  EXPECT_TRUE(push("bbbb", unique).has_value());
  ASSERT_TRUE(ack("aaaa").has_value());
  EXPECT_FALSE(push("cccc", unique).has_value());  // the lock is bbbb's now
}

TEST_F(BoardTest, AUniqueLockEndsWithItsTime) {
  const char* unique = R"("custom":{"unique_for":60})";
  ASSERT_TRUE(push("aaaa", unique).has_value());
  pass_time(61s);
  EXPECT_TRUE(push("bbbb", unique).has_value());
}

TEST_F(BoardTest, ALockWhoseJobCouldNotBeStoredIsNotHeld) {
  const char* unique = R"("custom":{"unique_for":600})";
  faults().commit_fails = true;
  EXPECT_FALSE(push("aaaa", unique).has_value());
  faults().commit_fails = false;
  EXPECT_TRUE(push("aaaa", unique).has_value());
}

TEST_F(BoardTest, ABacklogLargerThanMemoryComesInOrder) {
  options_.memory_limit = Bytes{60'000};  // some hundred jobs
  constexpr int kJobs = 3000;
  for (int i = 0; i < kJobs; i += 500) {
    ASSERT_TRUE(write([&](Board& b) -> Result<> {
                  for (int k = i; k < i + 500; ++k) {
                    auto job = read_job(text(fmt::format("{:05}", k)), now_.wall);
                    if (auto pushed = b.push(*job, now_); !pushed) return pushed;
                  }
                  return {};
                }).has_value());
  }
  EXPECT_EQ(waiting(), static_cast<std::uint64_t>(kJobs));
  EXPECT_LE(status().bytes_held, 100'000U);
  ASSERT_TRUE(push("urgent", R"("priority":9)").has_value());
  EXPECT_EQ(take("w1"), "urgent");
  for (int i = 0; i < kJobs; ++i) {
    ASSERT_EQ(take("w1"), fmt::format("{:05}", i));
    if (i % 2 == 0) ASSERT_TRUE(ack(fmt::format("{:05}", i), "w1").has_value());
    if (i == 1000) ASSERT_TRUE(push("second", R"("priority":9)").has_value());
    if (i == 1000) EXPECT_EQ(take("w1"), "second");
  }
  EXPECT_EQ(take("w1"), "");
  EXPECT_EQ(waiting(), 0U);
  crash();
  EXPECT_EQ(waiting(), static_cast<std::uint64_t>(kJobs / 2 + 2));
  EXPECT_EQ(take(), "urgent");
  EXPECT_EQ(take(), "second");
  EXPECT_EQ(take(), "00001");
}

TEST_F(BoardTest, LeasesLiveThroughAnOrderlyRestart) {
  connect("w1");
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(push("bbbb").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  restart();
  EXPECT_EQ(status().running, 1U);
  EXPECT_EQ(waiting(), 1U);
  EXPECT_EQ(take("w2"), "bbbb");
  connect("w1");
  pass_time(61s);
  EXPECT_EQ(status().running, 2U);
  ASSERT_TRUE(ack("aaaa", "w1").has_value());
  crash();
  EXPECT_EQ(take(), "bbbb");
  EXPECT_EQ(take(), "");
  EXPECT_EQ(status().pushed, 2U);  // totals live through it too
}

TEST_F(BoardTest, ALeaseWhoseWorkerDoesNotComeBackAfterARestartEnds) {
  connect("w1");
  ASSERT_TRUE(push("aaaa").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  restart();
  pass_time(59s);
  EXPECT_EQ(status().running, 1U);
  pass_time(1s);
  EXPECT_EQ(take(), "aaaa");
}

TEST_F(BoardTest, AJobThatItsWorkerNeverHeardOfGoesBackToItsPlace) {
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(push("bbbb").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  board().give_back(last_.lease());
  EXPECT_EQ(take("w2"), "aaaa");
  EXPECT_EQ(status().running, 1U);
}

TEST_F(BoardTest, DeadJobsAreKeptUpToTheLimitAndForTheirTime) {
  options_.dead_limit = 3;
  for (int i = 0; i < 5; ++i) {
    const std::string jid = fmt::format("dead{}", i);
    ASSERT_TRUE(push(jid, R"("retry":-1)").has_value());
    take();
    ASSERT_TRUE(fail_it(jid).has_value());
    pass_time(1s);
  }
  EXPECT_EQ(status().dead, 3U);
  pass_time(std::chrono::hours(4320));
  EXPECT_EQ(status().dead, 0U);
}

TEST_F(BoardTest, SweepingFindsJobsInMemoryAndBehindIt) {
  options_.memory_limit = Bytes{30'000};
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(push(fmt::format("{:04}", i)).has_value());
  const LaneId lane = board().lanes_of("default").at(0);
  const auto odd = [](const Job& job) { return (job.jid.back() - '0') % 2 == 1; };
  const auto sweep = [&](LaneId from, Board::Act act, const Board::Filter& filter) {
    Key after{std::numeric_limits<std::int64_t>::min(), 0};
    std::uint64_t matched = 0;
    for (bool end = false; !end;) {
      EXPECT_TRUE(write([&](Board& b) -> Result<> {
                    auto swept = b.sweep(from, after, 50, act, filter, now_);
                    if (!swept) return pass(swept);
                    after = swept->last;
                    end = swept->end;
                    matched += swept->matched;
                    return {};
                  }).has_value());
    }
    return matched;
  };
  EXPECT_EQ(sweep(lane, Board::Act::kill, odd), 150U);
  EXPECT_EQ(waiting(), 150U);
  EXPECT_EQ(status().dead, 150U);
  EXPECT_EQ(take(), "0000");
  EXPECT_EQ(take(), "0002");
  EXPECT_EQ(sweep(lane, Board::Act::remove, {}), 148U);
  EXPECT_EQ(status().running, 2U);
  EXPECT_EQ(waiting(), 0U);
  ASSERT_TRUE(ack("0000").has_value());
  ASSERT_TRUE(ack("0002").has_value());
  EXPECT_EQ(sweep(kDead, Board::Act::requeue, {}), 150U);
  EXPECT_EQ(waiting(), 150U);
  EXPECT_EQ(take(), "0001");
  crash();
  EXPECT_EQ(waiting(), 150U);
}

TEST_F(BoardTest, ClearTakesEverythingAndGoesOn) {
  connect("w1");
  ASSERT_TRUE(push("aaaa").has_value());
  ASSERT_TRUE(push("bbbb", R"("at":"2026-11-22T12:00:00Z")").has_value());
  EXPECT_EQ(take("w1"), "aaaa");
  ASSERT_TRUE(write([](Board& b) { return b.clear(); }).has_value());
  EXPECT_EQ(status().running, 0U);
  EXPECT_EQ(status().scheduled, 0U);
  EXPECT_EQ(fail_it("aaaa", "w1").error().code, Errc::not_found);
  ASSERT_TRUE(push("cccc").has_value());
  EXPECT_EQ(take("w1"), "cccc");
}

TEST_F(BoardTest, ThereAreAtMostSoManyQueues) {
  options_.queues_limit = 2;
  EXPECT_TRUE(push("aaaa", R"("queue":"one")").has_value());
  EXPECT_TRUE(push("bbbb", R"("queue":"two")").has_value());
  EXPECT_EQ(push("cccc", R"("queue":"three")").error().code, Errc::overloaded);
  EXPECT_TRUE(push("dddd", R"("queue":"two")").has_value());
}

TEST_F(BoardTest, TwoJobsOfOneNameAreTwoJobs) {
  ASSERT_TRUE(push("same", R"("queue":"one")").has_value());
  ASSERT_TRUE(push("same", R"("queue":"two")").has_value());
  EXPECT_EQ(take("w1", {"one"}), "same");
  EXPECT_EQ(take("w2", {"two"}), "same");
  ASSERT_TRUE(ack("same", "w2").has_value());
  EXPECT_EQ(status().running, 1U);
  ASSERT_TRUE(ack("same", "w1").has_value());
  EXPECT_EQ(status().running, 0U);
}

}  // namespace
}  // namespace headroom::tasks
