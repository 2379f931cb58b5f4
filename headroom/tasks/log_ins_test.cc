#include "headroom/tasks/log_ins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/net/worker.h"

namespace headroom::tasks {
namespace {

class LogInsTest : public ::testing::Test {
 protected:
  LogInsTest() {
    workers_.start();
    workers_[0].run_and_wait([&] { group_ = std::make_unique<net::TaskGroup>(workers_[0]); });
  }
  ~LogInsTest() override {
    group_->stop_and_join();
    workers_[0].run_and_wait([&] { group_.reset(); });
  }
  // `count` of them from there line up; the first of all is held until release().
  void come(std::string_view address, int count) {
    const IpAddress from = *IpAddress::parse(address);
    workers_[0].run_and_wait([&] {
      for (int i = 0; i < count; ++i) {
        auto task = [this, from, name = std::string(address)]() -> net::Task<> {
          auto work = [this, name] {
            if (!std::exchange(began_, true)) held_.wait();
            const std::scoped_lock lock(mutex_);
            order_.push_back(name);
            return name;
          };
          const auto answer = co_await log_ins_.run(workers_[0], from, work);
          if (!answer) EXPECT_EQ(answer.error().code, ended_ ? Errc::cancelled : Errc::overloaded);
          (answer && *answer == name) ? ++done_ : ++refused_;
        };
        HR_ASSERT(group_->spawn(std::move(task)));
      }
    });
  }
  std::vector<std::string> release() {
    held_.count_down();
    group_->stop_and_join();
    return order_;
  }

  net::Workers workers_{1};
  std::unique_ptr<net::TaskGroup> group_;
  LogIns log_ins_;
  std::latch held_{1};
  bool ended_ = false;  // nobody is refused then for want of room
  bool began_ = false;  // on the thread that looks at passwords
  std::mutex mutex_;
  std::vector<std::string> order_;
  int done_ = 0;
  int refused_ = 0;
};

TEST_F(LogInsTest, AddressesTakeTurnsWhateverTheLengthOfTheirLines) {
  come("192.0.2.1", 50);
  come("192.0.2.2", 3);
  come("2001:db8::1", 1);
  come("2001:db8::2", 1);  // of the same network
  const std::vector<std::string> order = release();
  ASSERT_EQ(order.size(), 55U);
  const auto last_of = [&](std::string_view address) {
    return order.rend() - std::find(order.rbegin(), order.rend(), address);  // from 1
  };
  EXPECT_LE(last_of("192.0.2.2"), 11);
  EXPECT_LE(last_of("2001:db8::1"), 6);
  EXPECT_GT(last_of("2001:db8::2"), last_of("2001:db8::1"));
  EXPECT_EQ(done_, 55);
}

TEST_F(LogInsTest, ALineHasItsLimitAndOthersAreStillLetIn) {
  constexpr int kTooMany = static_cast<int>(LogIns::kMostOfAddress) + 100;
  come("192.0.2.1", kTooMany);
  come("192.0.2.2", 1);
  (void)release();
  EXPECT_GE(refused_, 99);  // one may have left the line to be looked at
  EXPECT_EQ(done_ + refused_, kTooMany + 1);
}

TEST_F(LogInsTest, AtTheEndWhoWaitsIsToldSoAndNotLookedAt) {
  come("192.0.2.1", 1000);
  ended_ = true;
  log_ins_.end();
  EXPECT_LE(release().size(), 1U);  // who was being looked at
  EXPECT_EQ(done_ + refused_, 1000);
  EXPECT_GE(refused_, 999);
}

}  // namespace
}  // namespace headroom::tasks
