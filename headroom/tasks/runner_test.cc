#include "headroom/tasks/runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <latch>
#include <set>
#include <thread>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/tasks/desk_fixture_test.h"
#include "headroom/tasks/push.h"
#include "headroom/tasks/sqlite_store.h"

namespace headroom::tasks {
namespace {

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("headroom-runner-" + text::random_hex(8))),
        options_(tasks_section().defaults()) {
    workers_.start();
    auto store = SqliteStore::open(directory_ / "tasks.db");
    HR_ASSERT(store.has_value());
    engine_ = std::make_unique<Engine>(workers_, registry_, std::move(*store), options_);
    HR_ASSERT(engine_->start().has_value());
  }
  ~RunnerTest() override {
    engine_.reset();
    std::filesystem::remove_all(directory_);
  }
  // Puts jobs in by the library's own function, on a worker.
  std::vector<Result<std::string>> put(const std::vector<NewJob>& jobs) {
    std::vector<Result<std::string>> answers;
    net::TaskGroup* group = nullptr;
    workers_[0].run_and_wait([&] {
      group = new net::TaskGroup(workers_[0]);
      HR_ASSERT(group->spawn([&]() -> net::Task<> {
        for (const NewJob& job : jobs) {
          auto answer = co_await enqueue(*engine_, workers_[0], job);
          answers.push_back(std::move(answer));
        }
      }));
    });
    group->stop_and_join();
    workers_[0].run_and_wait([&] { delete group; });
    return answers;
  }
  template <class F>
  static void eventually(F question) {
    for (int i = 0; i < 2000 && !question(); ++i) std::this_thread::sleep_for(5ms);
    EXPECT_TRUE(question());
  }
  Result<JobView> find(std::string_view jid) {
    return at_desk(*engine_, workers_[1], [jid](Desk& desk) { return desk.find(jid); });
  }
  BoardStatus status() {
    return at_desk(*engine_, workers_[1], [](Desk& desk) { return desk.overview(); })->shown->board;
  }

  net::Workers workers_{2};
  std::filesystem::path directory_;
  TasksOptions options_;
  metrics::Registry registry_{2};
  std::unique_ptr<Engine> engine_;
};

TEST_F(RunnerTest, JobsOfTheLibraryAreRunOnceEachOnAllWorkersAtOnce) {
  Runner runner(*engine_, workers_, {.at_once = 8});
  std::atomic<int> ran = 0;
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  runner.on("Add", [&](Work& work) -> net::Task<Result<>> {
    most = std::max(most.load(), ++now);
    (void)co_await net::sleep(work.group(), 5ms);
    --now;
    ++ran;
    co_return Result<>{};
  });
  runner.start();
  std::vector<NewJob> jobs(200, NewJob{.jobtype = "Add", .args = "[1,2]"});
  for (const auto& answer : put(jobs)) EXPECT_TRUE(answer.has_value());
  eventually([&] { return status().done == 200; });
  EXPECT_EQ(ran, 200);
  EXPECT_GT(most, 1);
  EXPECT_LE(most, 8);
  engine_->stop_waiting();
  runner.stop();
  EXPECT_FALSE(put({{.jobtype = ""}})[0].has_value());
}

TEST_F(RunnerTest, ALeaseLastsAsLongAsTheRunnerSaysWhateverTheJobSays) {
  Runner runner(*engine_, workers_, {.lease = 3600s});
  std::atomic<bool> begun = false;
  std::atomic<bool> may_end = false;
  runner.on("*", [&](Work& work) -> net::Task<Result<>> {
    begun = true;
    while (!may_end) (void)co_await net::sleep(work.group(), 5ms);
    co_return Result<>{};
  });
  runner.start();
  const std::string text = R"({"jid":"short-lease-1","jobtype":"T","args":[],"reserve_for":60})";
  ASSERT_TRUE(engine_
                  ->run_write([&](Board& board, const Now& now) {
                    return board.push(*read_job(text, now.wall), now);
                  })
                  .has_value());
  eventually([&] { return begun.load(); });
  // What time would bring in half an hour, but for the heartbeats that will have come.
  ASSERT_TRUE(engine_
                  ->run_write([&](Board& board, const Now& now) {
                    const Now later{now.steady + 1800s, now.wall};
                    (void)board.beat(runner.wid(), "", 0, later);
                    return board.upkeep(later);
                  })
                  .has_value());
  EXPECT_EQ(status().running, 1U);
  EXPECT_EQ(status().retries, 0U);
  may_end = true;
  eventually([&] { return status().done == 1; });
  engine_->stop_waiting();
}

TEST_F(RunnerTest, WhatRunsEndsInPeaceOnceNothingMoreIsTaken) {
  Runner runner(*engine_, workers_, {.at_once = 2});
  std::atomic<int> begun = 0;
  std::atomic<bool> may_end = false;
  runner.on("*", [&](Work& work) -> net::Task<Result<>> {
    ++begun;
    while (!may_end) (void)co_await net::sleep(work.group(), 5ms);
    co_return Result<>{};
  });
  runner.start();
  for (const auto& answer : put(std::vector<NewJob>(5, NewJob{.jobtype = "T"})))
    EXPECT_TRUE(answer.has_value());
  eventually([&] { return begun == 2; });
  runner.fetch_no_more();
  EXPECT_EQ(runner.running(), 2U);
  may_end = true;
  eventually([&] { return runner.running() == 0; });
  EXPECT_EQ(status().done, 2U);
  EXPECT_EQ(status().running, 0U);
  EXPECT_EQ(begun, 2);
  engine_->stop_waiting();
  runner.stop();
}

TEST_F(RunnerTest, AFailureAnExceptionAndAMissingHandlerAreTheJobsFailure) {
  Runner runner(*engine_, workers_, {});
  runner.on("Fails", [](Work& work) -> net::Task<Result<>> {
    work.retry_at(wall_now() + 1000000 * kSecond);
    co_return fail(Errc::unavailable, "no line today");
  });
  runner.on("Throws", [](Work&) -> net::Task<Result<>> {
    throw std::runtime_error("thrown out");
    co_return Result<>{};
  });
  runner.start();
  for (const auto& answer : put({{.jobtype = "Fails", .jid = "the-job-fails"},
                                 {.jobtype = "Throws", .jid = "the-job-throws", .retry = -1},
                                 {.jobtype = "Unknown", .jid = "the-job-unknown", .retry = -1}}))
    EXPECT_TRUE(answer.has_value());
  eventually([&] { return status().failed == 3; });
  EXPECT_NE(find("the-job-fails")->job.body.find("no line today"), std::string::npos);
  EXPECT_GT(find("the-job-fails")->place.key.rank, wall_now() + 900000 * kSecond);
  EXPECT_NE(find("the-job-throws")->job.body.find("thrown out"), std::string::npos);
  EXPECT_NE(find("the-job-unknown")->job.body.find("no handler"), std::string::npos);
  engine_->stop_waiting();
}

TEST_F(RunnerTest, ProgressAndResultAreKeptAndACancelledJobIsStopped) {
  Runner runner(*engine_, workers_, {});
  std::atomic<bool> stopped = false;
  runner.on("Long", [&](Work& work) -> net::Task<Result<>> {
    (void)co_await work.progress(40, "well begun");
    const Result<> slept = co_await net::sleep(work.group(), 60s);
    stopped = !slept && work.cancelled();
    co_return slept;
  });
  runner.on("Short", [](Work& work) -> net::Task<Result<>> {
    work.set_result(R"({"sum":3})");
    co_return Result<>{};
  });
  runner.start();
  put({{.jobtype = "Long", .jid = "the-long-job", .custom = R"({"track":1})"},
       {.jobtype = "Short", .jid = "the-short-job", .custom = R"({"track":1})"}});
  eventually([&] {
    const auto found = find("the-long-job");
    return found && found->track.percent == 40;
  });
  eventually([&] { return find("the-short-job")->track.result == R"({"sum":3})"; });
  EXPECT_TRUE(at_desk(*engine_, workers_[1], [](Desk& desk) {
                return desk.cancel("the-long-job");
              }).has_value());
  eventually([&] { return stopped.load(); });
  EXPECT_EQ(find("the-long-job")->state, "cancelled");
  EXPECT_EQ(status().failed, 0U);
  engine_->stop_waiting();
}

TEST_F(RunnerTest, WhatItsEndCutsShortGoesBackAndIsNoFailure) {
  auto runner = std::make_unique<Runner>(*engine_, workers_, RunnerOptions{});
  std::latch begun(1);
  runner->on("Long", [&](Work& work) -> net::Task<Result<>> {
    begun.count_down();
    co_return co_await net::sleep(work.group(), 60s);
  });
  runner->start();
  put({{.jobtype = "Long", .jid = "the-long-job"}});
  begun.wait();
  runner->stop();
  eventually([&] { return find("the-long-job")->state == "waiting"; });
  EXPECT_EQ(status().failed, 0U);
  runner.reset();
}

TEST(Push, UrlsAreReadAndWhatIsWrongIsNamed) {
  const auto url = parse_push_url("https://app.example:8443/jobs/in?x=1");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ((std::tuple{url->tls, url->host, url->port, url->authority, url->target}),
            (std::tuple{true, "app.example", 8443, "app.example:8443", "/jobs/in?x=1"}));
  EXPECT_EQ(parse_push_url("http://[2001:db8::1]")->host, "2001:db8::1");
  EXPECT_EQ(parse_push_url("http://a.example")->port, 80);
  EXPECT_EQ(parse_push_url("http://a.example")->target, "/");
  for (const char* wrong : {"", "app.example/x", "ftp://a.example/", "https://user:x@a.example/",
                            "https://a.example/#f", "https:///x", "http://a.example:0/"})
    EXPECT_FALSE(parse_push_url(wrong).has_value()) << wrong;
}

TEST(Push, OnlyPublicAddressesAreReached) {
  for (const char* text : {"127.0.0.1",        "10.1.2.3",        "172.16.0.1", "172.31.255.255",
                           "192.168.1.1",      "169.254.169.254", "100.64.0.1", "0.0.0.0",
                           "224.0.0.1",        "255.255.255.255", "::1",        "::",
                           "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1",    "fd00:ec2::254",
                           "64:ff9b::7f00:1",  "2002:7f00:1::",   "ff02::1",    "198.18.0.1"})
    EXPECT_FALSE(is_public(*IpAddress::parse(text))) << text;
  for (const char* text : {"8.8.8.8", "172.32.0.1", "193.0.0.1", "2606:4700::1111"})
    EXPECT_TRUE(is_public(*IpAddress::parse(text))) << text;
}

TEST(Push, TheSignatureIsThatOfTheTimeAndTheBody) {
  // printf '1795257600.{"a":1}' | openssl dgst -sha256 -hmac secret
  EXPECT_EQ(signature("secret", R"({"a":1})", 1795257600 * kSecond),
            "t=1795257600,v1=f8c57f5c240963531fff926ed40abd4dff2e9551e50749ec06a455406684ed17");
}

TEST(Push, RetryAfterIsSecondsOrADateAndAtMostADay) {
  const WallTime now = *parse_time("2026-11-21T12:00:00Z");
  EXPECT_EQ(retry_time("120", now), now + 120 * kSecond);
  EXPECT_EQ(retry_time("Sat, 21 Nov 2026 12:05:00 GMT", now), now + 300 * kSecond);
  EXPECT_EQ(retry_time("99999999999999999", now), now + 86400 * kSecond);
  EXPECT_EQ(retry_time("Sat, 21 Nov 2020 12:05:00 GMT", now), 0);
  EXPECT_EQ(retry_time("soon", now), 0);
}

TEST_F(RunnerTest, WhoWaitsForAResultHasItAtOnceWhenTheJobEnds) {
  Runner runner(*engine_, workers_, {.at_once = 2});
  std::latch go_on(1);
  runner.on("Sum", [&](Work& work) -> net::Task<Result<>> {
    while (!go_on.try_wait()) (void)co_await net::sleep(work.group(), 5ms);
    work.set_result("42");
    co_return Result<>{};
  });
  runner.on("Fails", [](Work&) -> net::Task<Result<>> { co_return fail(Errc::invalid, "no"); });
  runner.start();
  const auto jids = put({{.jobtype = "Sum", .custom = R"({"track":1})"},
                         {.jobtype = "Fails", .retry = -1, .custom = R"({"track":1})"},
                         {.jobtype = "Sum"}});
  std::vector<Result<Track>> seen;
  net::TaskGroup* group = nullptr;
  workers_[0].run_and_wait([&] {
    group = new net::TaskGroup(workers_[0]);
    HR_ASSERT(group->spawn([&]() -> net::Task<> {
      const auto ask = [&](std::size_t i, Duration wait) {
        return engine_->outcome(workers_[0], *jids[i], Clock::now() + wait);
      };
      auto early = co_await ask(0, 20ms);
      seen.push_back(std::move(early));
      go_on.count_down();
      for (const std::size_t i : {0U, 1U, 2U}) {
        auto track = co_await ask(i, 20s);
        seen.push_back(std::move(track));
      }
    }));
  });
  group->stop_and_join();
  workers_[0].run_and_wait([&] { delete group; });
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_FALSE(seen[0]->has_outcome());
  EXPECT_EQ(seen[1]->state, TrackState::success);
  EXPECT_EQ(seen[1]->result, "42");
  EXPECT_EQ(seen[2]->state, TrackState::dead);
  EXPECT_EQ(seen[3].error().code, Errc::not_found);  // it is not tracked
  runner.stop();
}

}  // namespace
}  // namespace headroom::tasks
