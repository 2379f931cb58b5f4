#include "headroom/postgres/connection_limit.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

namespace headroom::postgres {
namespace {

struct Limits : testing::Test {
  ~Limits() override { std::filesystem::remove(path); }
  [[nodiscard]] std::shared_ptr<const SharedPlaces> open() const {
    return *SharedPlaces::open(path);
  }
  const std::string path =
      std::filesystem::temp_directory_path() / ("headroom-limit." + std::to_string(::getpid()));
};

TEST_F(Limits, WithoutAFileThisProcessAloneCounts) {
  ConnectionLimit limit("db", 2, nullptr);
  EXPECT_TRUE(limit.take(this) && limit.take(this));
  EXPECT_FALSE(limit.is_wanted(nullptr, Clock::now()));
  EXPECT_FALSE(limit.take(this));
  EXPECT_TRUE(limit.is_wanted(nullptr, Clock::now()));
  EXPECT_FALSE(limit.is_wanted(this, Clock::now()));
  EXPECT_FALSE(limit.is_wanted(nullptr, Clock::now() + 2s));
  limit.give();
  EXPECT_TRUE(limit.take(this));
  EXPECT_EQ(limit.taken(), 2U);
}

// As two processes: each has opened the file for itself.
TEST_F(Limits, AllWhoShareAFileCountTogether) {
  ConnectionLimit old("db", 3, open());
  auto fresh = std::make_unique<ConnectionLimit>("db", 3, open());
  EXPECT_TRUE(old.take(this) && old.take(this) && fresh->take(this));
  EXPECT_FALSE(fresh->take(this));
  EXPECT_FALSE(old.take(this));
  old.give();
  EXPECT_TRUE(fresh->take(this));
  EXPECT_FALSE(old.take(this));
  fresh.reset();  // what it held is free
  EXPECT_TRUE(old.take(this) && old.take(this));
}

TEST_F(Limits, OtherNamesAreOtherLimits) {
  const auto file = open();
  ConnectionLimit one("a", 1, file);
  ConnectionLimit two("b", 1, file);
  EXPECT_TRUE(one.take(this) && two.take(this));
  EXPECT_FALSE(one.take(this));
}

TEST_F(Limits, WhatAKilledProcessHeldIsFree) {
  ConnectionLimit ours("db", 1, open());
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ConnectionLimit theirs("db", 1, open());
    const char answer = theirs.take(this) ? 'y' : 'n';
    (void)!::write(ready[1], &answer, 1);
    ::pause();
    ::_exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_FALSE(ours.take(this));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(ours.take(this));
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace headroom::postgres
