#include "headroom/edge/waiting.h"

#include <gtest/gtest.h>

#include <future>

#include "headroom/net/worker.h"

namespace headroom::edge {
namespace {

using Needs = Waiting::Turn::Needs;

// A number of places that are taken and given back by requests on two workers.
class WaitingTest : public testing::Test {
 protected:
  WaitingTest() {
    workers_.start();
    for (const auto& worker : workers_)
      groups_.push_back(std::make_unique<net::TaskGroup>(*worker));
  }
  ~WaitingTest() override {
    for (auto& group : groups_) {
      group->stop_and_join();
      group->worker().run_and_wait([&] { group.reset(); });
    }
  }

  bool take() {
    int free = free_.load(std::memory_order_seq_cst);
    while (free > 0) {
      if (free_.compare_exchange_weak(free, free - 1, std::memory_order_seq_cst)) return true;
    }
    return false;
  }
  void give() {
    free_.fetch_add(1, std::memory_order_seq_cst);
    waiting_.free();
  }

  // Begins to wait on a worker; the future tells what came of it.
  std::future<Errc> begin(Priority priority, Needs needs = Needs::any, std::size_t worker = 0,
                          Duration patience = 10s, bool may = true) {
    auto result = std::make_shared<std::promise<Errc>>();
    const std::size_t before = waiting_.size();
    net::TaskGroup& group = *groups_[worker];
    group.worker().run_and_wait([&] {
      EXPECT_TRUE(
          group.spawn([this, &group, result, priority, needs, patience, may]() -> net::Task<> {
            const std::function<bool()> take = [this, may] { return may && this->take(); };
            const Waiting::Turn turn{priority, needs, Clock::now() + patience};
            auto done = co_await waiting_.wait(group, turn, take);
            result->set_value(done ? Errc{} : done.error().code);
          }));
    });
    auto future = result->get_future();
    while (waiting_.size() == before && future.wait_for(0s) != std::future_status::ready)
      std::this_thread::yield();
    return future;
  }
  static bool still(const std::future<Errc>& waiter) {
    return waiter.wait_for(30ms) == std::future_status::timeout;
  }
  static bool served(std::future<Errc>& waiter) {
    return waiter.wait_for(5s) == std::future_status::ready && waiter.get() == Errc{};
  }

  net::Workers workers_{2};
  std::vector<std::unique_ptr<net::TaskGroup>> groups_;
  std::atomic<int> free_{0};
  Waiting waiting_{4};
};

TEST_F(WaitingTest, CriticalOnesFirstThenInOrderOfArrival) {
  auto first = begin(Priority::normal, Needs::any, 0);
  auto second = begin(Priority::normal, Needs::any, 1);
  auto critical = begin(Priority::critical, Needs::any, 1);
  EXPECT_TRUE(waiting_.ahead(Priority::critical));
  give();
  EXPECT_TRUE(served(critical));
  EXPECT_TRUE(still(first));
  give();
  EXPECT_TRUE(served(first));
  EXPECT_TRUE(still(second));
  give();
  EXPECT_TRUE(served(second));
  EXPECT_FALSE(waiting_.ahead(Priority::background));
}

TEST_F(WaitingTest, OneSignalServesForAllPlacesThatAreFree) {
  auto first = begin(Priority::normal);
  auto second = begin(Priority::normal, Needs::any, 1);
  free_ = 2;
  waiting_.free();
  EXPECT_TRUE(served(first));
  EXPECT_TRUE(served(second));
}

TEST_F(WaitingTest, BackgroundOnesDoNotWaitAndTheQueueIsBounded) {
  EXPECT_EQ(begin(Priority::background).get(), Errc::overloaded);
  std::vector<std::future<Errc>> waiters;
  for (int i = 0; i < 4; ++i) waiters.push_back(begin(Priority::normal));
  EXPECT_EQ(begin(Priority::normal).get(), Errc::overloaded);
  for (int i = 0; i < 4; ++i) waiters.push_back(begin(Priority::critical));
  EXPECT_EQ(begin(Priority::critical).get(), Errc::overloaded);
  free_ = 8;
  waiting_.free();
  for (auto& waiter : waiters) EXPECT_TRUE(served(waiter));
}

TEST_F(WaitingTest, WhoGivesUpLeavesItsSignalToTheNext) {
  auto impatient = begin(Priority::normal, Needs::any, 0, 60ms);
  auto patient = begin(Priority::normal, Needs::any, 1);
  EXPECT_EQ(impatient.get(), Errc::timeout);
  EXPECT_EQ(waiting_.size(), 1U);
  give();
  EXPECT_TRUE(served(patient));
}

TEST_F(WaitingTest, WhoCannotUseAnyPlaceHoldsNobodyUp) {
  auto choosy = begin(Priority::normal, Needs::some, 0, 10s, false);
  EXPECT_FALSE(waiting_.ahead(Priority::normal));
  auto second = begin(Priority::normal, Needs::any, 1);
  EXPECT_TRUE(still(second));
  give();
  EXPECT_TRUE(served(second));
  EXPECT_TRUE(still(choosy));
  free_ = 1;
  auto third =
      begin(Priority::normal);  // a place is free: no waiting behind one that cannot use it
  EXPECT_TRUE(served(third));
}

TEST_F(WaitingTest, AReloadLetsNewOnesPassThoseThatMayWaitForOtherPlaces) {
  auto old = begin(Priority::normal, Needs::any, 0, 10s, false);
  EXPECT_TRUE(waiting_.ahead(Priority::normal));
  waiting_.renew(1);
  EXPECT_FALSE(waiting_.ahead(Priority::normal));
  free_ = 1;
  EXPECT_EQ(begin(Priority::normal).get(), Errc::overloaded);  // the new limit
  waiting_.renew(4);
  auto next = begin(Priority::normal);
  EXPECT_TRUE(served(next));
  EXPECT_TRUE(still(old));
}

// A wake-up that is lost would leave a waiter until its deadline.
TEST_F(WaitingTest, NoWakeUpIsLostBetweenWorkers) {
  waiting_.renew(100);
  free_ = 1;
  std::atomic<int> served_requests{0};
  std::atomic<int> failed{0};
  for (auto& group : groups_) {
    for (int client = 0; client < 4; ++client) {
      group->worker().run_and_wait([&] {
        EXPECT_TRUE(group->spawn([&, this]() -> net::Task<> {
          net::TaskGroup& mine = *group;
          const std::function<bool()> take = [this] { return this->take(); };
          for (int i = 0; i < 2000; ++i) {
            if (waiting_.ahead(Priority::normal) || !this->take()) {
              const Waiting::Turn turn{Priority::normal, Needs::any, Clock::now() + 5s};
              auto done = co_await waiting_.wait(mine, turn, take);
              if (!done) {
                ++failed;
                continue;
              }
            }
            if (i % 3 == 0) co_await boost::asio::post(mine.worker().executor(), net::kToken);
            give();
            ++served_requests;
          }
        }));
      });
    }
  }
  while (served_requests + failed < 16000) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(free_, 1);
  EXPECT_EQ(waiting_.size(), 0U);
}

}  // namespace
}  // namespace headroom::edge
