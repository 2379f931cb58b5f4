#include "headroom/tasks/engine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/net/task_group.h"
#include "headroom/net/worker.h"
#include "headroom/tasks/desk_fixture_test.h"
#include "headroom/tasks/metrics.h"
#include "headroom/tasks/sqlite_store.h"

namespace headroom::tasks {
namespace {

const Board::Filter kAll;

class EngineTest : public ::testing::Test {
 protected:
  EngineTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("headroom-engine-" + text::random_hex(8))),
        options_(tasks_section().defaults()) {
    workers_.start();
    open();
  }
  // Runs `body(group)` as a task on a worker, to its end and that of the tasks it spawned.
  template <class F>
  void run(F body, std::size_t on = 0) {
    std::unique_ptr<net::TaskGroup> outer;
    std::unique_ptr<net::TaskGroup> group;
    auto whole = [&group, &body]() -> net::Task<> {
      co_await body(*group);
      co_await group->join();
    };
    workers_[on].run_and_wait([&] {
      outer = std::make_unique<net::TaskGroup>(workers_[on]);
      group = std::make_unique<net::TaskGroup>(workers_[on]);
      HR_ASSERT(outer->spawn(whole) == true);
    });
    outer->stop_and_join();  // nothing waits in it: a join
    workers_[on].run_and_wait([&] {
      group.reset();
      outer.reset();
    });
  }
  ~EngineTest() override {
    engine_.reset();
    std::filesystem::remove_all(directory_);
  }
  void open() {
    engine_.reset();
    auto store = SqliteStore::open(directory_ / "tasks.db");
    HR_ASSERT(store.has_value());
    engine_ = std::make_unique<Engine>(workers_, registry_, std::move(*store), options_);
    const auto started = engine_->start();
    HR_ASSERT(started.has_value());
  }
  static Job job(const std::string& jid) {
    auto read = read_job(fmt::format(R"({{"jid":"{}","jobtype":"T","args":[]}})", jid), wall_now());
    HR_ASSERT(read.has_value());
    return *read;
  }

  net::Workers workers_{2};
  std::filesystem::path directory_;
  TasksOptions options_;
  metrics::Registry registry_{2};
  std::unique_ptr<Engine> engine_;
};

// Coroutines on both workers produce and work; threads look and change meanwhile.
TEST_F(EngineTest, ManyAtOnceLoseNothingAndSeeNothingTwice) {
  constexpr int kProducers = 8;
  constexpr int kJobs = 50;
  std::mutex mutex;
  std::multiset<std::string> seen;
  std::atomic<int> left{kProducers * kJobs};
  const auto body = [&](net::TaskGroup& group) -> net::Task<> {
    net::Worker& worker = group.worker();
    for (int p = 0; p < kProducers / 2; ++p) {
      auto produce = [&, p]() -> net::Task<> {
        for (int n = 0; n < kJobs; ++n) {
          const Job made = job(fmt::format("job-{}-{}-{:04}", worker.index(), p, n));
          auto push = [&made](Board& board, const Now& now) { return board.push(made, now); };
          const auto done = co_await engine_->write(worker, std::move(push));
          HR_ASSERT(done.has_value());
          int count = 0;
          auto look = [&count](Board& board, const Now& now) {
            count += static_cast<int>(board.status(now).queues.size());
          };
          (void)co_await engine_->read(worker, std::move(look));
          HR_ASSERT(count == 1);
        }
      };
      HR_ASSERT(group.spawn(std::move(produce)));
      auto work = [&, p]() -> net::Task<> {
        const std::vector<std::string> queues{"default"};
        const std::string wid = fmt::format("worker-{}-{}", worker.index(), p);
        while (left > 0) {
          auto taken = co_await engine_->fetch(worker, queues, wid, Clock::now() + 20ms);
          HR_ASSERT(taken.has_value());
          if (!*taken) continue;
          const auto document = json::parse((*taken)->body);
          const std::string jid(*document->root().find("jid")->string());
          auto acknowledge = [&](Board& board, const Now& now) {
            return board.acknowledge(jid, wid, now);
          };
          const auto done = co_await engine_->write(worker, std::move(acknowledge));
          HR_ASSERT(done.has_value());
          --left;
          const std::lock_guard lock(mutex);
          seen.insert(jid);
        }
      };
      HR_ASSERT(group.spawn(std::move(work)));
    }
    co_return;
  };
  std::thread other([&] { run(body, 1); });
  std::thread people([&] {
    while (left > 0) {
      (void)at_desk(*engine_, workers_[1], [](Desk& desk) { return desk.overview(); });
      (void)at_desk(*engine_, workers_[0],
                    [](Desk& desk) { return desk.list("waiting", "default", Desk::kBegin, 100); });
      (void)engine_->last_status();
    }
  });
  run(body, 0);
  other.join();
  people.join();
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kProducers * kJobs));
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), seen.size());
  EXPECT_EQ(engine_->last_status().dead, 0U);
}

TEST_F(EngineTest, AfterItsEndRequestsAreRefusedAndNobodyWaits) {
  const auto body = [&](net::TaskGroup& group) -> net::Task<> {
    net::Worker& worker = group.worker();
    const std::vector<std::string> queues{"default"};
    auto taken = co_await engine_->fetch(worker, queues, "w", Clock::now() + 60s);
    EXPECT_TRUE(taken.has_value() && !*taken);
    co_return;
  };
  std::thread stopper([&] {
    std::this_thread::sleep_for(50ms);
    engine_->stop_waiting();
    engine_->stop();
  });
  run(body);
  stopper.join();
  EXPECT_EQ(engine_->run_write([](Board& board, const Now&) { return board.clear(); }).error().code,
            Errc::unavailable);
  open();  // and it recovers
  EXPECT_TRUE(engine_
                  ->run_write([](Board& board, const Now& now) {
                    return board.push(job("again-it-works"), now);
                  })
                  .has_value());
}

TEST_F(EngineTest, TheDeskFindsCancelsAndRetries) {
  const auto ask = [this](auto task) { return at_desk(*engine_, workers_[0], task); };
  const auto find = [&](std::string_view jid) {
    return ask([jid](Desk& desk) { return desk.find(jid); });
  };
  const auto retry = [&] { return ask([](Desk& desk) { return desk.retry("named-job"); }); };
  const auto list = [&](std::string_view set) {
    return ask([set](Desk& desk) { return desk.list(set, "default", Desk::kBegin, 10); })->jobs;
  };
  const auto sweep = [&](std::string_view set, Board::Act act) {
    return ask([=](Desk& desk) { return desk.sweep(set, "default", act, kAll); })->matched;
  };
  const std::vector<std::string> texts{R"({"jobtype":"A","args":[]})",
                                       R"({"jid":"named-job","jobtype":"B","args":[],"retry":-1})",
                                       "{"};
  const auto pushed = ask([&](Desk& desk) { return desk.enqueue(texts); });
  ASSERT_TRUE(pushed.has_value()) << pushed.error().message;
  EXPECT_EQ(pushed->jids[0].size(), 24U);
  EXPECT_EQ(pushed->jids[1], "named-job");
  ASSERT_EQ(pushed->refusals.size(), 1U);
  EXPECT_EQ(pushed->refusals[0].first, 2U);
  EXPECT_EQ(find(pushed->jids[0])->state, "waiting");
  EXPECT_EQ(find("unknown-job").error().code, Errc::not_found);
  const std::string& first = pushed->jids[0];
  ASSERT_TRUE(ask([&](Desk& desk) { return desk.cancel(first); }).has_value());
  EXPECT_EQ(find(pushed->jids[0]).error().code, Errc::not_found);
  EXPECT_EQ(retry().error().code, Errc::conflict);
  std::optional<Leased> leased;
  ASSERT_TRUE(engine_
                  ->run_read([&](Board& board, const Now& now) {
                    leased = *board.take({"default"}, "w1", now);
                  })
                  .has_value());
  EXPECT_EQ(find("named-job")->state, "running");
  EXPECT_EQ(find("named-job")->wid, "w1");
  ASSERT_TRUE(engine_
                  ->run_write([](Board& board, const Now& now) {
                    return board.fail_job("named-job", "w1", {"E", "m", {}}, now);
                  })
                  .has_value());
  EXPECT_EQ(find("named-job")->state, "dead");
  EXPECT_EQ(list("dead").size(), 1U);
  ASSERT_TRUE(retry().has_value());
  EXPECT_EQ(find("named-job")->state, "waiting");
  EXPECT_EQ(sweep("waiting", Board::Act::kill), 1U);
  EXPECT_EQ(sweep("dead", Board::Act::remove), 1U);
  EXPECT_EQ(list("waiting").size(), 0U);
  EXPECT_EQ(ask([](Desk& desk) { return desk.set_paused("none", true); }).error().code,
            Errc::not_found);
}

TEST_F(EngineTest, AListOverSeveralLinesLeavesNothingOut) {
  const std::string filling(900'000, 'x');
  std::vector<std::string> texts;
  for (int i = 0; i < 12; ++i)
    texts.push_back(fmt::format(
        R"({{"jid":"the-job-{:03}","jobtype":"T","args":["{}"],"custom":{{"key":"{}"}}}})", i,
        i < 8 ? filling : "", i == 6 || i > 8 ? "small" : "large"));
  ASSERT_TRUE(
      at_desk(*engine_, workers_[0], [&](Desk& desk) { return desk.enqueue(texts); }).has_value());
  for (const std::size_t limit : {1U, 3U, 100U}) {
    std::vector<std::string> seen;
    std::optional<Key> after = Desk::kBegin;
    while (after) {
      const auto page = at_desk(*engine_, workers_[0], [&](Desk& desk) {
        return desk.list("waiting", "default", *after, limit);
      });
      ASSERT_TRUE(page.has_value());
      for (const JobView& job : page->jobs) seen.push_back(job.job.jid);
      after = page->next;
    }
    std::vector<std::string> wanted;
    for (int i = 0; i < 12; ++i) wanted.push_back(fmt::format("the-job-{:03}", i));
    EXPECT_EQ(seen, wanted) << limit;
  }
}

TEST_F(EngineTest, CancelledTogetherTheyShareTheirCommit) {
  constexpr int kJobs = 50;
  std::vector<std::string> texts;
  for (int i = 0; i < kJobs; ++i)
    texts.push_back(fmt::format(R"({{"jid":"the-job-{:03}","jobtype":"T","args":[]}})", i));
  ASSERT_TRUE(
      at_desk(*engine_, workers_[0], [&](Desk& desk) { return desk.enqueue(texts); }).has_value());
  const metrics::Counter& commits = registry_.counter(kCommits);
  const std::uint64_t before = commits.total();
  int cancelled = 0;
  run([&](net::TaskGroup& group) -> net::Task<> {
    for (int i = 0; i < kJobs; ++i) {
      auto cancel = [&, i]() -> net::Task<> {
        Desk desk(*engine_, group);
        const Result<> done = co_await desk.cancel(fmt::format("the-job-{:03}", i));
        cancelled += done ? 1 : 0;
      };
      HR_ASSERT(group.spawn(std::move(cancel)));
    }
    co_return;
  });
  EXPECT_EQ(cancelled, kJobs);
  EXPECT_LE(commits.total() - before, 3U);
}

TEST_F(EngineTest, WhoLooksForAJobIsAnsweredAlsoWhenTheEngineEnds) {
  auto many = [](Board& board, const Now& now) -> Result<> {
    for (int n = 0; n < 30'000; ++n) {
      auto pushed = board.push(job(fmt::format("many-{:06}", n)), now);
      if (!pushed) return pushed;
    }
    return {};
  };
  ASSERT_TRUE(engine_->run_write(many).has_value());
  std::atomic<int> found{0};
  std::atomic<int> not_found{0};
  std::atomic<int> ended{0};
  const auto body = [&](net::TaskGroup& group) -> net::Task<> {
    for (const char* jid : {"many-029999", "many-020001", "nobody"}) {
      auto look = [&, jid]() -> net::Task<> {
        Searches::Sought sought{.jid = jid};
        const auto place = co_await engine_->locate(group.worker(), std::move(sought));
        if (!place) {
          EXPECT_EQ(place.error().code, Errc::cancelled);
          ++ended;
        } else {
          *place ? ++found : ++not_found;
        }
      };
      HR_ASSERT(group.spawn(std::move(look)));
    }
    co_return;
  };
  run(body);
  EXPECT_EQ(found, 2);
  EXPECT_EQ(not_found, 1);
  engine_->stop_waiting();
  run(body);
  EXPECT_EQ(found + not_found + ended, 6);
  EXPECT_GE(ended, 1);
}

}  // namespace
}  // namespace headroom::tasks
