#include "headroom/tasks/job.h"

#include <gtest/gtest.h>

#include "headroom/json/json.h"
#include "headroom/tasks/batch.h"
#include "headroom/tasks/schedule.h"

namespace headroom::tasks {
namespace {

const WallTime kNow = *parse_time("2026-11-21T12:00:00Z");

TEST(Time, IsReadAsTheProtocolsWriteIt) {
  EXPECT_EQ(parse_time("1970-01-01T00:00:01Z"), kSecond);
  EXPECT_EQ(parse_time("2026-11-21T13:00:00+01:00"), kNow);
  EXPECT_EQ(parse_time("2026-11-21t12:00:00.123456789z"), kNow + 123456);
  EXPECT_EQ(format_time(kNow + 5), "2026-11-21T12:00:00.000005Z");
  EXPECT_EQ(parse_time(format_time(kNow + 999999)), kNow + 999999);
  for (const char* wrong :
       {"", "2026-11-21", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T12:00:00", "2026-11-21T12:00:00.Z", "2026-11-21T12:00:00Zx",
        "1969-11-21T12:00:00Z", "2026-11-21T12:00:00+1:00", "2026-1-21T12:00:00Z"}) {
    EXPECT_FALSE(parse_time(wrong).has_value()) << wrong;
  }
}

TEST(Job, IsReadWithItsDefaults) {
  const auto job = read_job(R"({"jid":"12345678","jobtype":"Mail","args":[]})", kNow);
  ASSERT_TRUE(job.has_value()) << job.error().message;
  EXPECT_EQ(job->queue, "default");
  EXPECT_EQ(job->priority, 5);
  EXPECT_EQ(job->reserve_s, 1800U);
  EXPECT_EQ(job->at, 0);
  EXPECT_TRUE(job->unique_key.empty());
}

TEST(Job, KeepsWhatItDoesNotKnowByteForByteAndAddsWhatIsMissing) {
  const std::string text =
      R"({"jid":"12345678","jobtype":"Mail","args":[12345678901234567890123, 1.10],"other":{"x": [1 ,2]}})";
  const auto job = read_job(text, kNow);
  ASSERT_TRUE(job.has_value()) << job.error().message;
  EXPECT_TRUE(job->body.starts_with(text.substr(0, text.size() - 1))) << job->body;
  EXPECT_EQ(
      job->body.substr(text.size() - 1),
      R"(,"queue":"default","created_at":"2026-11-21T12:00:00.000000Z","enqueued_at":"2026-11-21T12:00:00.000000Z"})");
}

TEST(Job, ReservationsKeepToTheirBounds) {
  const auto reserve = [](std::string_view value) {
    const auto job = read_job(
        R"({"jid":"12345678","jobtype":"T","args":[],"reserve_for":)" + std::string(value) + "}",
        kNow);
    return job ? static_cast<int>(job->reserve_s) : -1;
  };
  EXPECT_EQ(reserve("0"), 1800);
  EXPECT_EQ(reserve("1"), 60);
  EXPECT_EQ(reserve("86400"), 86400);
  EXPECT_EQ(reserve("86401"), -1);
  EXPECT_EQ(reserve("-1"), -1);
}

TEST(Job, WhatIsWrongIsNamed) {
  const auto error = [](std::string_view text) {
    const auto job = read_job(text, kNow);
    return job ? std::string("accepted") : job.error().message;
  };
  EXPECT_NE(error(R"({"jobtype":"T","args":[]})").find("jid"), std::string::npos);
  EXPECT_NE(error(R"({"jid":"short","jobtype":"T","args":[]})").find("jid"), std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","args":[]})").find("jobtype"), std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","jobtype":"T"})").find("args"), std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","jobtype":"T","args":{}})").find("args"), std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","jobtype":"T","args":[],"queue":"a b"})").find("queue"),
            std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","jobtype":"T","args":[],"queue":")" +
                  std::string(10240, 'q') + "\"}")
                .find("queue"),
            std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","jobtype":"T","args":[],"at":"tomorrow"})").find("at"),
            std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","jobtype":"T","args":[],"retry":"x"})").find("retry"),
            std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","jobtype":"T","args":[],"custom":{"unique_until":"never"}})")
                .find("unique_until"),
            std::string::npos);
  EXPECT_NE(error("[]").find("object"), std::string::npos);
  EXPECT_NE(error("{").find("Invalid job"), std::string::npos);
  EXPECT_NE(error(R"({"jid":"12345678","jobtype":"T","args":)" + std::string(100, '[') +
                  std::string(100, ']') + "}")
                .find("Invalid job"),
            std::string::npos);
}

TEST(Job, ArgumentsThatMeanTheSameAreOneUniqueJob) {
  const auto key = [](std::string_view args, std::string_view queue = "default") {
    const auto job =
        read_job(R"({"jid":"12345678","jobtype":"T","custom":{"unique_for":5},"queue":")" +
                     std::string(queue) + R"(","args":)" + std::string(args) + "}",
                 kNow);
    return job ? job->unique_key : job.error().message;
  };
  EXPECT_EQ(key(R"([{"a":1,"b":[2]}])"), key(R"([ {"b":[2], "a":1} ])"));
  EXPECT_NE(key("[1]"), key("[2]"));
  EXPECT_NE(key("[1]"), key("[1]", "other"));
  EXPECT_NE(key("[[1],2]"), key("[[1,2]]"));
}

TEST(Job, BacksOffAsFaktoryDoes) {
  Random random(1);
  for (std::uint64_t n = 0; n < 25; ++n) {
    const std::uint64_t least = n * n * n * n + 15;
    for (int i = 0; i < 100; ++i) {
      const std::uint64_t wait = backoff_seconds(n, random);
      EXPECT_GE(wait, least);
      EXPECT_LE(wait, least + 29 * (n + 1));
    }
  }
}

TEST(Job, AFailureIsWrittenIntoItAndCountsUp) {
  Random random(1);
  auto job = *read_job(R"({"jid":"12345678","jobtype":"T","args":[],"retry":2})", kNow);
  const Failure failure{"Boom", "it \"broke\"", {"line 1", "line 2"}};
  Verdict verdict = judge(job, failure, kNow, Backoffs(), random);
  EXPECT_EQ(verdict.next, Verdict::Next::retry);
  EXPECT_GE(verdict.at, kNow + 15 * kSecond);
  const auto first = json::parse(verdict.body);
  ASSERT_TRUE(first.has_value()) << verdict.body;
  const auto said = first->root().find("failure");
  ASSERT_TRUE(said.has_value());
  EXPECT_EQ(said->find("retry_count")->integer(), 0);
  EXPECT_EQ(said->find("remaining")->integer(), 1);
  EXPECT_EQ(said->find("message")->string(), "it \"broke\"");
  EXPECT_EQ(said->find("backtrace")->size(), 2U);
  job.body = verdict.body;
  verdict = judge(job, failure, kNow, Backoffs(), random);
  EXPECT_EQ(verdict.next, Verdict::Next::retry);
  job.body = verdict.body;
  EXPECT_EQ(judge(job, failure, kNow, Backoffs(), random).next, Verdict::Next::dead);
}

TEST(Job, EachTypeMayHaveABackOffOfItsOwn) {
  Random random(1);
  BackoffOptions rule{.jobtype = "Mail",
                      .formula = BackoffFormula::exponential,
                      .base = 10s,
                      .factor = 3,
                      .limit = 200s,
                      .jitter = 0};
  const auto waits = [&](const BackoffOptions& options, std::string_view type) {
    std::vector<WallTime> found;
    for (std::uint64_t n = 0; n < 4; ++n)
      found.push_back(Backoffs({options}).wait(type, n, random) / kSecond);
    return found;
  };
  EXPECT_EQ(waits(rule, "Mail"), (std::vector<WallTime>{10, 30, 90, 200}));
  rule.formula = BackoffFormula::linear;
  EXPECT_EQ(waits(rule, "Mail"), (std::vector<WallTime>{10, 20, 30, 40}));
  rule.formula = BackoffFormula::constant;
  EXPECT_EQ(waits(rule, "Mail"), (std::vector<WallTime>{10, 10, 10, 10}));
  const auto others = waits(rule, "Report");  // Faktory's
  for (WallTime n = 0; n < 4; ++n) {
    EXPECT_GE(others[static_cast<std::size_t>(n)], n * n * n * n + 15);
    EXPECT_LE(others[static_cast<std::size_t>(n)], n * n * n * n + 15 + 29 * (n + 1));
  }
  rule.jitter = 0.5;
  for (int i = 0; i < 100; ++i) {
    const WallTime wait = Backoffs({rule}).wait("Mail", 0, random);
    EXPECT_GE(wait, 5 * kSecond);
    EXPECT_LE(wait, 15 * kSecond);
  }
  rule.jobtype = "*";
  rule.jitter = 0;
  EXPECT_EQ(waits(rule, "Whatever")[0], 10);
  EXPECT_EQ(Backoffs({rule}).wait("T", std::uint64_t{1} << 63U, random), 10 * kSecond);
}

TEST(Job, AChainIsCheckedWhenItComesAndGivesItsJobsOneAfterTheOther) {
  const auto job = [](std::string_view chain) {
    return read_job(R"({"jid":"12345678","jobtype":"A","args":[],"custom":{"chain":)" +
                        std::string(chain) + "}}",
                    kNow);
  };
  const auto good = job(
      R"([{"jobtype":"B","args":[1],"queue":"q","custom":{"key":"k"}},{"jobtype":"C","args":[2]}])");
  ASSERT_TRUE(good.has_value()) << good.error().message;
  EXPECT_TRUE(good->chained);
  EXPECT_EQ(good->queues_behind, (std::vector<std::string>{"q", "default"}));
  const auto second = next_in_chain(good->body, "second-job");
  ASSERT_TRUE(second.has_value());
  const auto read = read_job(*second, kNow);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ((std::tuple{read->jid, read->jobtype, read->queue, read->key, read->chained}),
            (std::tuple{"second-job", "B", "q", "k", true}));
  const auto third = next_in_chain(*second, "third-job");
  ASSERT_TRUE(third.has_value());
  EXPECT_EQ(read_job(*third, kNow)->jobtype, "C");
  EXPECT_FALSE(next_in_chain(*third, "x").has_value());
  for (const char* wrong :
       {"{}", "[1]", R"([{"jobtype":"B"}])",
        R"([{"jobtype":"B","args":[],"custom":{"chain":[{"jobtype":"C","args":[]}]}}])"}) {
    const auto refused = job(wrong);
    ASSERT_FALSE(refused.has_value()) << wrong;
    EXPECT_NE(refused.error().message.find("chain"), std::string::npos) << refused.error().message;
  }
}

// Readers of JSON differ in which of them they take.
TEST(Job, AMemberThatStandsTwiceIsRefused) {
  const auto refused = [](const auto& read) {
    return !read.has_value() && read.error().message.contains("twice");
  };
  EXPECT_TRUE(refused(
      read_job(R"({"jid":"12345678","jobtype":"A","args":[],"custom":{},"custom":{}})", kNow)));
  EXPECT_TRUE(refused(Batch::read(R"({"success":{"jobtype":"A"},"success":{}})", kNow)));
  EXPECT_TRUE(refused(Schedule::read("s", R"({"cron":"* * * * *","job":{},"job":{}})")));
}

TEST(Job, AMemberIsPutInFrontOfTheOthers) {
  EXPECT_EQ(with_member(R"({"a":1})", "b", "2"), R"({"b":2,"a":1})");
  EXPECT_EQ(with_member("{ }", "b", "2"), R"({"b":2 })");
  EXPECT_EQ(with_jid(R"({"jid":"mine"})", "other"), R"({"jid":"mine"})");
}

TEST(JobText, WhatAFailedJobHoldsStaysByteForByte) {
  const std::string_view text =
      R"({"jid":"job-00000001", "jobtype":"T","args":[123456789012345678901234567890, 19.90,{"a":1.0}],"fail\u0075re":{"retry_count":1},"x" : "},\"{"})";
  auto job = read_job(text, 0);
  ASSERT_TRUE(job.has_value());
  Random random(1);
  const Backoffs backoffs(std::vector<BackoffOptions>{});
  for (int i = 0; i < 3; ++i)
    job->body = judge(*job, {"E", "m", {}}, 1'000'000, backoffs, random).body;
  EXPECT_NE(job->body.find(R"("args":[123456789012345678901234567890, 19.90,{"a":1.0}])"),
            std::string::npos);
  EXPECT_NE(job->body.find(R"("x":"},\"{")"), std::string::npos);
  const auto document = json::parse(job->body);
  ASSERT_TRUE(document.has_value()) << job->body;
  EXPECT_EQ(document->root().find("failure")->find("retry_count")->integer(), 4);
}

TEST(JobText, TheNextOfAChainIsByteForByteWhatItsProducerWrote) {
  const auto next = next_in_chain(
      R"({"jid":"a","custom":{"chain":[{"jobtype":"A","args":[1.10],"custom":{"k":2.0}},{"jobtype":"B","args":[3.0]}]}})",
      "job-00000002");
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(
      *next,
      R"({"jid":"job-00000002","jobtype":"A","args":[1.10],"custom":{"k":2.0,"chain":[{"jobtype":"B","args":[3.0]}]}})");
  EXPECT_EQ(*next_in_chain(*next, "job-00000003"),
            R"({"jid":"job-00000003","jobtype":"B","args":[3.0],"custom":{}})");
  EXPECT_FALSE(next_in_chain(*next_in_chain(*next, "job-00000003"), "x").has_value());
}

}  // namespace
}  // namespace headroom::tasks
