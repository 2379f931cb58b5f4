// Whose lease it is: of a job that was leased before, of a process that took another's name, of all while everything stood still.
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

TEST_F(BoardLivesTest, QueuesAreNotMoreThanTheirLimitWhateverComesBack) {
  options_.queues_limit = 3;
  constexpr int kQueues = 10;
  for (int i = 0; i < kQueues; ++i)
    ASSERT_TRUE(push(fmt::format("{:04}", i),
                     fmt::format(R"("queue":"q-{}","at":"2026-11-21T12:01:00Z")", i))
                    .has_value());
  pass_time(61s);
  EXPECT_EQ(board().queue_names().size(), 3U);
  EXPECT_EQ(status().scheduled, 7U);
  // Others are not kept from their turn.
  const std::string known = board().queue_names().at(0);
  ASSERT_TRUE(
      push("last", fmt::format(R"("queue":"{}","at":"2026-11-21T12:01:05Z")", known)).has_value());
  pass_time(5s);
  EXPECT_EQ(waiting(), 4U);
  std::set<std::string> done;
  for (int round = 0; round < 10; ++round) {
    EXPECT_LE(board().queue_names().size(), 3U);
    for (std::string jid; !(jid = take("", board().queue_names())).empty();) {
      ASSERT_TRUE(ack(jid).has_value());
      done.insert(jid);
    }
    pass_time(11s);
  }
  EXPECT_EQ(done.size(), kQueues + 1U);
}

}  // namespace
}  // namespace headroom::tasks
