#include "headroom/tasks/board_fixture_test.h"

namespace headroom::tasks {
namespace {

class SharesTest : public BoardTest {
 protected:
  Result<> push_for(std::string_view key, std::string_view jid, std::string_view more = "") {
    return push(jid,
                fmt::format(R"("custom":{{"key":"{}"}}{}{})", key, more.empty() ? "" : ",", more));
  }
  // What is handed out until there is nothing, by the first letter of the jid.
  std::string order() {
    std::string out;
    for (std::string jid = take(); !jid.empty(); jid = take()) out += jid[0];
    return out;
  }
};

TEST_F(SharesTest, KeysTakeTurnsHoweverLongTheLineOfOneIs) {
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(push_for("big", fmt::format("b{}", i)).has_value());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(push_for("small", fmt::format("s{}", i)).has_value());
  ASSERT_TRUE(push("n0").has_value());  // of nobody
  EXPECT_EQ(order(), "bsnbsbbbb");
}

TEST_F(SharesTest, WhoComesLateDoesNotCatchUpWhatItDidNotAskFor) {
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(push_for("a", fmt::format("a{}", i)).has_value());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(take()[0], 'a');
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(push_for("b", fmt::format("b{}", i)).has_value());
  const std::string rest = order();
  EXPECT_TRUE(rest == "babababa" || rest == "abababab") << rest;
}

TEST_F(SharesTest, TheMoreUrgentGoFirstWhosesoeverTheyAre) {
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(push_for("a", fmt::format("a{}", i), R"("priority":9)").has_value());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(push_for("b", fmt::format("b{}", i)).has_value());
  EXPECT_EQ(order(), "aaabbb");
}

TEST_F(SharesTest, LinesLiveThroughACrashAndSpilledOnesTakeTheirTurns) {
  options_.memory_limit = Bytes::kib(64);
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(push_for("a", fmt::format("a{:03}", i)).has_value());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(push_for("b", fmt::format("b{}", i)).has_value());
  crash();
  const std::string found = order();
  EXPECT_EQ(found.size(), 403U);
  EXPECT_EQ(std::ranges::count(found.substr(0, 7), 'b'), 3) << found.substr(0, 10);
}

TEST_F(SharesTest, LinesThatAreEmptyMakeRoomForOthers) {
  options_.shares_limit = 3;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(push_for(fmt::format("k{}", i), "x1").has_value());
    EXPECT_EQ(take(), "x1");
    ASSERT_TRUE(ack("x1").has_value());
  }
  EXPECT_LE(status().queues[0].shares, 3U);
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(push_for(fmt::format("w{}", i), fmt::format("y{}", i)).has_value());
  EXPECT_EQ(status().queues[0].shares, 3U);
  crash();
  EXPECT_EQ(order(), "yyyyyyyyyy");
}

TEST_F(SharesTest, ALineIsNotGivenUpWhileItsJobRuns) {
  options_.shares_limit = 1;
  ASSERT_TRUE(push_for("a", "a0").has_value());
  connect("w");
  EXPECT_EQ(take("w"), "a0");
  ASSERT_TRUE(push_for("b", "b0").has_value());
  board().disconnect("w", now_);
  pass_time(options_.worker_grace + 1s);
  EXPECT_EQ(order(), "ba");
}

class ThrottleTest : public SharesTest {
 protected:
  void throttle(ThrottleOptions options) { options_.throttles.push_back(std::move(options)); }
};

TEST_F(ThrottleTest, OnlySoManyOfAQueueRunAtOnce) {
  throttle({.queue = "default", .at_once = 2});
  for (const char* jid : {"1", "2", "3"}) ASSERT_TRUE(push(jid).has_value());
  ASSERT_TRUE(push("o", R"("queue":"other")").has_value());
  EXPECT_EQ(take(), "1");
  EXPECT_EQ(take(), "2");
  EXPECT_EQ(take(), "");
  EXPECT_EQ(take("", {"default", "other"}), "o");
  (void)board().take_news(now_);
  ASSERT_TRUE(ack("1").has_value());
  EXPECT_TRUE(board().take_news(now_));  // who waits is served
  EXPECT_EQ(take(), "3");
  EXPECT_EQ(take(), "");
}

TEST_F(ThrottleTest, EveryWayInWhichAJobEndsMakesRoom) {
  throttle({.at_once = 1});
  connect("w");
  for (const char* jid : {"1", "2", "3", "4", "5"})
    ASSERT_TRUE(push(jid, R"("retry":0,"reserve_for":60)").has_value());
  EXPECT_EQ(take(), "1");
  ASSERT_TRUE(fail_it("1").has_value());
  EXPECT_EQ(take(), "2");
  pass_time(61s);  // its lease runs out
  EXPECT_EQ(take("w"), "3");
  board().disconnect("w", now_);
  pass_time(options_.worker_grace + 1s);
  EXPECT_EQ(take(), "3");
  board().give_back(last_.lease());
  EXPECT_EQ(take(), "3");
  ASSERT_TRUE(write([](Board& b) { return b.clear(); }).has_value());
  ASSERT_TRUE(push("6").has_value());
  EXPECT_EQ(take(), "6");
  EXPECT_EQ(take(), "");
}

TEST_F(ThrottleTest, LeasesThatLiveThroughARestartStillCount) {
  throttle({.at_once = 1});
  connect("w");
  for (const char* jid : {"1", "2"}) ASSERT_TRUE(push(jid).has_value());
  EXPECT_EQ(take("w"), "1");
  restart();
  EXPECT_EQ(take(), "");
  ASSERT_TRUE(ack("1", "w").has_value());
  EXPECT_EQ(take(), "2");
}

TEST_F(ThrottleTest, AThrottledTypeStandsInNobodysWay) {
  throttle({.jobtype = "Slow", .at_once = 1});
  for (const char* jid : {"s1", "s2", "s3"}) {
    auto job = read_job(fmt::format(R"({{"jid":"the-job-{}","jobtype":"Slow","args":[]}})", jid),
                        now_.wall);
    ASSERT_TRUE(write([&](Board& b) { return b.push(*job, now_); }).has_value());
  }
  ASSERT_TRUE(push("f1").has_value());
  EXPECT_EQ(take(), "s1");
  EXPECT_EQ(take(), "f1");
  EXPECT_EQ(take(), "");
}

TEST_F(ThrottleTest, EachKeyIsCountedByItself) {
  throttle({.by_key = true, .at_once = 1});
  for (const char* key : {"a", "b"}) {
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(push_for(key, fmt::format("{}{}", key, i)).has_value());
  }
  EXPECT_EQ(order(), "ab");
  ASSERT_TRUE(ack("a0").has_value());
  EXPECT_EQ(order(), "a");
}

TEST_F(ThrottleTest, ARateIsKeptAndWhatWaitedForItGoesOnByItself) {
  throttle({.rate = config::Rate{2, 10s}});
  for (const char* jid : {"1", "2", "3"}) ASSERT_TRUE(push(jid).has_value());
  EXPECT_EQ(order(), "12");
  (void)board().take_news(now_);
  EXPECT_LE(board().next_due(now_), now_.steady + 10s);
  pass_time(9s);
  EXPECT_FALSE(board().take_news(now_));
  EXPECT_EQ(take(), "");
  pass_time(2s);
  EXPECT_TRUE(board().take_news(now_));
  EXPECT_EQ(take(), "3");
}

TEST_F(ThrottleTest, ARateGoesOnOverAnOrderlyRestart) {
  throttle({.rate = config::Rate{2, 60s}});
  for (const char* jid : {"1", "2", "3"}) ASSERT_TRUE(push(jid).has_value());
  EXPECT_EQ(order(), "12");
  restart();
  pass_time(30s);
  EXPECT_EQ(take(), "");
  pass_time(31s);
  EXPECT_EQ(take(), "3");
}

TEST_F(ThrottleTest, ARateGoesOnOverACrashButForTheLastSecond) {
  throttle({.by_key = true, .rate = config::Rate{100, 60s}});
  for (int i = 0; i < 150; ++i) ASSERT_TRUE(push_for("a", fmt::format("a{:03}", i)).has_value());
  ASSERT_TRUE(push_for("b", "b000").has_value());
  int begun = 0;
  while (begun < 60 && !take().empty()) ++begun;
  pass_time(1s);  // noted
  crash();
  while (!take().empty()) ++begun;
  EXPECT_EQ(begun, 102);  // a hundred of the one, and the other's once more after the crash
  pass_time(61s);
  for (begun = 0; !take().empty();) ++begun;
  EXPECT_EQ(begun, 100);
}

TEST_F(ThrottleTest, WhatWasNotedIsNotedOnce) {
  throttle({.rate = config::Rate{2, 60s}});
  ASSERT_TRUE(push("1").has_value());
  EXPECT_EQ(take(), "1");
  pass_time(1s);
  EXPECT_FALSE(board().needs_upkeep(now_));
  pass_time(10s);
  EXPECT_EQ(store_->notes(Throttles::kNote)->size(), 1U);
  options_.throttles[0].rate = config::Rate{3, 60s};  // another throttle than that one
  crash();
  EXPECT_EQ(store_->notes(Throttles::kNote)->size(), 0U);
}

TEST_F(ThrottleTest, ALeaseThatIsTakenUpAgainDoesNotBeginAgain) {
  throttle({.rate = config::Rate{2, 60s}});
  connect("w");
  for (const char* jid : {"1", "2", "3"}) ASSERT_TRUE(push(jid).has_value());
  EXPECT_EQ(take("w"), "1");
  restart();
  EXPECT_EQ(take("w"), "2");
  EXPECT_EQ(take("w"), "");
}

}  // namespace
}  // namespace headroom::tasks
