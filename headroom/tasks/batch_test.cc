#include "headroom/tasks/board_fixture_test.h"

namespace headroom::tasks {
namespace {

class BatchTest : public BoardTest {
 protected:
  Result<> make(const std::string& bid, const std::string& parent = "",
                std::string_view callbacks = "complete success") {
    std::string text = R"({"description":"all of it")";
    if (!parent.empty()) text += fmt::format(R"(,"parent_bid":"{}")", parent);
    for (const std::string_view which : {"complete", "success"}) {
      if (callbacks.find(which) != std::string_view::npos)
        text += fmt::format(
            R"(,"{}":{{"jid":"the-job-{}-{}","jobtype":"Call","args":[],"queue":"calls"}})", which,
            bid, which);
    }
    auto batch = Batch::read(text + "}", now_.wall);
    if (!batch) return pass(batch);
    batch->bid = bid;
    return write([&](Board& b) { return b.add_batch(*batch, now_); });
  }
  Result<> commit(std::string_view bid) {
    return write([&](Board& b) { return b.commit_batch(bid, now_); });
  }
  Result<> join(std::string_view bid, std::string_view jid, std::string_view more = "") {
    return push(jid,
                fmt::format(R"("custom":{{"bid":"{}"}}{}{})", bid, more.empty() ? "" : ",", more));
  }
  std::string call() { return take("", {"calls"}); }
  // "pending/failed/total complete success"
  std::string status(std::string_view bid) {
    const auto batch = board().batch(bid);
    if (!batch) return "";
    const auto document = json::parse(batch->status());
    const json::Value root = document->root();
    const auto word = [&](std::string_view name) {
      return std::string(*root.find(name)->string());
    };
    return fmt::format("{}/{}/{} '{}' '{}'", batch->pending, batch->failed, batch->total,
                       word("complete_st"), word("success_st"));
  }
};

TEST_F(BatchTest, CallsBackWhenAllWereTriedAndThenWhenAllSucceeded) {
  ASSERT_TRUE(make("b").has_value());
  ASSERT_TRUE(join("b", "1").has_value());
  ASSERT_TRUE(join("b", "2").has_value());
  EXPECT_EQ(status("b"), "2/0/2 '' ''");
  EXPECT_EQ(take(), "1");
  ASSERT_TRUE(ack("1").has_value());
  ASSERT_TRUE(commit("b").has_value());
  EXPECT_EQ(status("b"), "1/0/2 '' ''");
  EXPECT_EQ(call(), "");
  EXPECT_EQ(take(), "2");
  ASSERT_TRUE(fail_it("2").has_value());
  EXPECT_EQ(status("b"), "1/1/2 '1' ''");  // tried, not succeeded
  EXPECT_EQ(call(), "b-complete");
  EXPECT_NE(last_.body.find(R"("_bid":"b","_cb":"complete")"), std::string::npos) << last_.body;
  ASSERT_TRUE(ack("b-complete").has_value());
  EXPECT_EQ(status("b"), "1/1/2 '2' ''");
  EXPECT_EQ(call(), "");
  pass_time(3600s);
  EXPECT_EQ(take(), "2");
  ASSERT_TRUE(fail_it("2").has_value());  // again: counted once
  EXPECT_EQ(status("b"), "1/1/2 '2' ''");
  pass_time(3600s);
  EXPECT_EQ(take(), "2");
  ASSERT_TRUE(ack("2").has_value());
  EXPECT_EQ(status("b"), "0/0/2 '2' '1'");
  EXPECT_EQ(call(), "b-success");
  ASSERT_TRUE(ack("b-success").has_value());
  EXPECT_EQ(status("b"), "0/0/2 '2' '2'");
  pass_time(3600s);
  EXPECT_EQ(status("b"), "");  // kept half an hour
}

TEST_F(BatchTest, NothingIsCalledBeforeTheCommitAndAnEmptyBatchIsCalledAtOnce) {
  ASSERT_TRUE(make("b").has_value());
  ASSERT_TRUE(join("b", "1").has_value());
  EXPECT_EQ(take(), "1");
  ASSERT_TRUE(ack("1").has_value());
  EXPECT_EQ(call(), "");
  ASSERT_TRUE(commit("b").has_value());
  EXPECT_EQ(call(), "b-complete");
  ASSERT_TRUE(make("empty", "", "success").has_value());
  ASSERT_TRUE(commit("empty").has_value());
  EXPECT_EQ(status("empty"), "0/0/0 '' '1'");
  EXPECT_EQ(call(), "empty-success");
}

TEST_F(BatchTest, TheBatchAroundWaitsForTheCallbacksWithin) {
  ASSERT_TRUE(make("outer", "", "success").has_value());
  ASSERT_TRUE(make("inner", "outer", "success").has_value());
  ASSERT_TRUE(make("innermost", "inner", "success").has_value());
  for (const char* bid : {"outer", "inner", "innermost"}) {
    ASSERT_TRUE(join(bid, bid).has_value());
    ASSERT_TRUE(commit(bid).has_value());
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(ack(take()).has_value());
  for (const char* bid : {"innermost", "inner", "outer"}) {
    EXPECT_EQ(call(), fmt::format("{}-success", bid));
    EXPECT_EQ(call(), "");
    ASSERT_TRUE(ack(fmt::format("{}-success", bid)).has_value());
  }
  EXPECT_TRUE(board().batch("outer")->has_succeeded);
}

TEST_F(BatchTest, ACrashBetweenAnyTwoStepsLosesNoCallback) {
  ASSERT_TRUE(make("b").has_value());
  for (const char* jid : {"1", "2", "3"}) ASSERT_TRUE(join("b", jid).has_value());
  crash();
  ASSERT_TRUE(commit("b").has_value());
  for (const char* jid : {"1", "2", "3"}) {
    crash();
    EXPECT_EQ(take(), jid);
    ASSERT_TRUE(ack(jid).has_value());
  }
  crash();
  EXPECT_EQ(status("b"), "0/0/3 '1' ''");
  EXPECT_EQ(call(), "b-complete");
  crash();
  EXPECT_EQ(call(), "b-complete");  // its lease was lost, it was not
  ASSERT_TRUE(ack("b-complete").has_value());
  crash();
  EXPECT_EQ(call(), "b-success");
  ASSERT_TRUE(ack("b-success").has_value());
  crash();
  EXPECT_EQ(call(), "");
  EXPECT_EQ(status("b"), "0/0/3 '2' '2'");
}

TEST_F(BatchTest, WhatCouldNotBeStoredIsNotCounted) {
  ASSERT_TRUE(make("b").has_value());
  ASSERT_TRUE(join("b", "1").has_value());
  ASSERT_TRUE(commit("b").has_value());
  EXPECT_EQ(take(), "1");
  faults().commit_fails = true;
  EXPECT_FALSE(ack("1").has_value());
  EXPECT_FALSE(join("b", "2").has_value());
  EXPECT_FALSE(make("c").has_value());
  faults().commit_fails = false;
  EXPECT_EQ(status("b"), "1/0/1 '' ''");
  EXPECT_EQ(status("c"), "");
  ASSERT_TRUE(ack("1").has_value());
  EXPECT_EQ(status("b"), "0/0/1 '1' ''");
}

TEST_F(BatchTest, AJobThatIsGoneWithoutSuccessLetsItCompleteButNotSucceed) {
  ASSERT_TRUE(make("b").has_value());
  ASSERT_TRUE(join("b", "1", R"("retry":0)").has_value());
  ASSERT_TRUE(join("b", "2").has_value());
  ASSERT_TRUE(commit("b").has_value());
  EXPECT_EQ(take(), "1");
  ASSERT_TRUE(fail_it("1").has_value());  // discarded
  const LaneId lane = board().lanes_of("default").at(0);
  ASSERT_TRUE(write([&](Board& b) -> Result<> {
                auto swept = b.sweep(lane, {std::numeric_limits<std::int64_t>::min(), 0}, 10,
                                     Board::Act::remove, {}, now_);
                return swept ? Result<>() : pass(swept);
              }).has_value());
  EXPECT_EQ(status("b"), "2/2/2 '1' ''");
  EXPECT_EQ(call(), "b-complete");
  ASSERT_TRUE(ack("b-complete").has_value());
  EXPECT_EQ(call(), "");
}

TEST_F(BatchTest, MistakesAreNamed) {
  EXPECT_FALSE(make("b", "", "").has_value());
  EXPECT_EQ(join("nowhere", "1").error().message, "No such batch nowhere");
  EXPECT_EQ(commit("nowhere").error().message, "No such batch nowhere");
  EXPECT_EQ(make("b", "nowhere").error().message, "No such batch nowhere");
  ASSERT_TRUE(make("b", "", "success").has_value());
  ASSERT_TRUE(commit("b").has_value());
  EXPECT_FALSE(join("b", "1").has_value());  // it has been called
  EXPECT_EQ(waiting(), 1U);
}

TEST_F(BatchTest, OneThatIsNeverCommittedEndsAndIsOutOfTheWay) {
  ASSERT_TRUE(make("outer", "", "complete").has_value());
  ASSERT_TRUE(make("left", "outer").has_value());
  ASSERT_TRUE(commit("outer").has_value());
  EXPECT_EQ(call(), "");
  pass_time(1900s);
  EXPECT_EQ(status("left"), "");
  EXPECT_EQ(call(), "outer-complete");
}

TEST_F(BatchTest, ThereAreAtMostSoManyAndClearTakesThem) {
  options_.batches_limit = 2;
  ASSERT_TRUE(make("a").has_value());
  ASSERT_TRUE(make("b").has_value());
  EXPECT_EQ(make("c").error().code, Errc::overloaded);
  ASSERT_TRUE(write([](Board& b) { return b.clear(); }).has_value());
  crash();
  EXPECT_TRUE(board().batches(10).empty());
  ASSERT_TRUE(make("c").has_value());
}

TEST_F(BatchTest, AChainBringsItsNextJobWithTheSuccessOfTheOneBefore) {
  ASSERT_TRUE(
      push(
          "1",
          R"("custom":{"chain":[{"jobtype":"B","args":[2]},{"jobtype":"C","args":[3],"queue":"later"}]})")
          .has_value());
  EXPECT_EQ(take(), "1");
  ASSERT_TRUE(fail_it("1").has_value());
  EXPECT_EQ(waiting(), 0U);
  pass_time(3600s);
  EXPECT_EQ(take(), "1");
  ASSERT_TRUE(ack("1").has_value());
  crash();
  const auto second = board().take({"default"}, "", now_);
  ASSERT_TRUE(second.has_value() && *second);
  EXPECT_NE((*second)->body.find(R"("jobtype":"B")"), std::string::npos);
  const auto job = read_job((*second)->body, now_.wall);
  ASSERT_TRUE(write([&](Board& b) { return b.acknowledge(job->jid, "", now_); }).has_value());
  const auto third = board().take({"later"}, "", now_);
  ASSERT_TRUE(third.has_value() && *third);
  ASSERT_TRUE(write([&](Board& b) {
                return b.acknowledge(read_job((*third)->body, now_.wall)->jid, "", now_);
              }).has_value());
  EXPECT_EQ(waiting(), 0U);
}

class TrackTest : public BoardTest {
 protected:
  std::string state(std::string_view jid) {
    return std::string(to_string(board().track_of(fmt::format("the-job-{}", jid)).state));
  }
  Result<> tracked(std::string_view jid, std::string_view more = "") {
    return push(jid, fmt::format(R"("custom":{{"track":1}}{})", more));
  }
  Result<> progress(std::string_view jid, std::int64_t percent, WallTime until = 0) {
    const Board::Progress said{.jid = fmt::format("the-job-{}", jid),
                               .percent = percent,
                               .desc = "half way",
                               .reserve_until = until};
    return write([&](Board& b) { return b.note_progress(said, now_); });
  }
};

TEST_F(TrackTest, FollowsAJobFromItsPushToHalfAnHourAfterItsEnd) {
  ASSERT_TRUE(tracked("1").has_value());
  ASSERT_TRUE(push("2").has_value());
  EXPECT_EQ(state("1"), "enqueued");
  EXPECT_EQ(state("2"), "unknown");
  EXPECT_EQ(take(), "1");
  EXPECT_EQ(state("1"), "working");
  ASSERT_TRUE(progress("1", 33).has_value());
  ASSERT_TRUE(fail_it("1").has_value());
  EXPECT_EQ(state("1"), "failed");
  pass_time(3600s);
  EXPECT_EQ(state("1"), "enqueued");
  crash();
  EXPECT_EQ(board().track_of("the-job-1").percent, 33);
  EXPECT_EQ(board().track_of("the-job-1").desc, "half way");
  while (take() != "1") {
  }
  ASSERT_TRUE(write([this](Board& b) {
                return b.acknowledge("the-job-1", "", now_, R"({"sum":7})");
              }).has_value());
  crash();
  EXPECT_EQ(state("1"), "success");
  EXPECT_EQ(board().track_of("the-job-1").result, R"({"sum":7})");
  EXPECT_NE(board().track_of("the-job-1").shown().find(R"("result":{"sum":7})"), std::string::npos);
  pass_time(1700s);
  EXPECT_EQ(state("1"), "success");
  pass_time(200s);
  EXPECT_EQ(state("1"), "unknown");
  crash();
  EXPECT_EQ(state("1"), "unknown");
}

TEST_F(TrackTest, ProgressMayLengthenALeaseAndNeverShortensIt) {
  ASSERT_TRUE(tracked("1", R"(,"reserve_for":100,"retry":-1)").has_value());
  EXPECT_EQ(take("w"), "1");
  ASSERT_TRUE(progress("1", 1, now_.wall + 10 * kSecond).has_value());
  pass_time(99s);
  EXPECT_EQ(state("1"), "working");
  ASSERT_TRUE(progress("1", 1, now_.wall + 500 * kSecond).has_value());
  pass_time(499s);
  EXPECT_EQ(state("1"), "working");
  pass_time(2s);
  EXPECT_EQ(state("1"), "dead");
}

TEST_F(TrackTest, AWorkerHearsOfTheJobThatWasCancelled) {
  connect("w");
  ASSERT_TRUE(tracked("1").has_value());
  EXPECT_EQ(take("w"), "1");
  const LaneId lane = board().lanes_of("default").at(0);
  ASSERT_TRUE(write([&](Board& b) -> Result<> {
                auto swept = b.sweep(lane, {std::numeric_limits<std::int64_t>::min(), 0}, 10,
                                     Board::Act::remove, {}, now_, Board::Running::taken);
                return swept ? Result<>() : pass(swept);
              }).has_value());
  EXPECT_EQ(board().take_cancelled("w"), std::vector<std::string>{"the-job-1"});
  EXPECT_TRUE(board().take_cancelled("w").empty());
  EXPECT_EQ(state("1"), "cancelled");
  const auto said = progress("1", 50);
  ASSERT_FALSE(said.has_value());
  EXPECT_EQ(said.error().code, Errc::conflict);
  EXPECT_TRUE(ack("1", "w").has_value());
  EXPECT_EQ(state("1"), "cancelled");
}

TEST_F(TrackTest, TheOnesThatEndedFirstMakeRoom) {
  options_.tracks_limit = 2;
  for (const char* jid : {"1", "2"}) ASSERT_TRUE(tracked(jid).has_value());
  ASSERT_TRUE(tracked("3").has_value());
  EXPECT_EQ(state("3"), "unknown");  // nobody has ended: it is not followed, and works all the same
  EXPECT_EQ(take(), "1");
  ASSERT_TRUE(ack("1").has_value());
  ASSERT_TRUE(tracked("4").has_value());
  EXPECT_EQ(state("1"), "unknown");
  EXPECT_EQ(state("4"), "enqueued");
}

}  // namespace
}  // namespace headroom::tasks
