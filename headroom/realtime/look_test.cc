#include "headroom/realtime/look.h"

#include "headroom/realtime/hub_fixture_test.h"

namespace headroom::realtime {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// Somebody who looks, on the second worker.
class LookTest : public HubTest {
 protected:
  void TearDown() override {
    if (look_) worker().run_and_wait([&] { look_.reset(); });
    if (group_) worker().run_and_wait([&] { group_.reset(); });
    HubTest::TearDown();
  }
  net::Worker& worker() { return shards().part_at(1).worker(); }
  void look(const std::string& pattern) {
    worker().run_and_wait([&] {
      group_ = std::make_unique<net::TaskGroup>(worker());
      look_ = std::make_unique<Look>(shards(), *group_, "app", pattern);
    });
    settle();
  }
  std::vector<Sight> seen(std::size_t most = 1000) {
    std::vector<Sight> all;
    settle();
    worker().run_and_wait([&] { all = look_->take(most); });
    return all;
  }
  std::uint64_t skipped() {
    std::uint64_t count = 0;
    worker().run_and_wait([&] { count = look_->skipped(); });
    return count;
  }
  std::vector<std::string> data() {
    std::vector<std::string> all;
    for (const Sight& each : seen()) all.push_back(each.data);
    return all;
  }

 private:
  std::unique_ptr<net::TaskGroup> group_;
  std::unique_ptr<Look> look_;
};

TEST_F(LookTest, WhoLooksSeesWhatIsPublishedToChannelsOfThatNameAlone) {
  Ear& ann = ear();
  ann.subscribe("orders-1");
  look("orders-*");
  publish("orders-1", "1");
  publish("news", "2");
  publish("orders-2", "3", Priority::critical);
  const auto all = seen();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].channel, "orders-1");
  EXPECT_EQ(all[0].offset, 1U);
  EXPECT_FALSE(all[0].critical);
  EXPECT_EQ(all[1].channel, "orders-2");
  EXPECT_EQ(all[1].offset, 0U) << "nobody listens to it";
  EXPECT_TRUE(all[1].critical);
}

TEST_F(LookTest, WhoLooksIsNoSubscriber) {
  look("quiet");
  publish("quiet", "1");
  EXPECT_THAT(seen(), SizeIs(1));
  EXPECT_EQ(home_of("quiet"), nullptr);
}

TEST_F(LookTest, WhatComesFasterThanItIsTakenIsSkippedAndCounted) {
  look("flood");
  for (int i = 0; i < 250; ++i) publish("flood", std::to_string(i));
  const auto some = seen();
  EXPECT_THAT(some, SizeIs(Tap::kMostWaiting));
  EXPECT_EQ(some.back().data, "199");
  EXPECT_EQ(skipped(), 50U);
  publish("flood", "again");
  EXPECT_THAT(data(), ElementsAre("again")) << "and it recovers";
  EXPECT_EQ(skipped(), 0U);
}

TEST_F(LookTest, LongDataIsCutBetweenCharacters) {
  look("long");
  const std::string umlauts = [] {
    std::string text = "x";
    while (text.size() < 5000) text += "ä";
    return text;
  }();
  publish("long", umlauts);
  const auto all = seen();
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(all[0].bytes, umlauts.size());
  EXPECT_EQ(all[0].data, umlauts.substr(0, Look::kMostData - 1));
}

TEST_F(LookTest, NoMoreMayLookThanTheLimit) {
  look("a");
  worker().run_and_wait([&] {
    net::TaskGroup group(worker());
    std::vector<std::unique_ptr<Look>> others;
    for (std::uint64_t i = 1; i < Tap::kMostTaps; ++i) {
      others.push_back(std::make_unique<Look>(shards(), group, "app", "a"));
      EXPECT_TRUE(static_cast<bool>(*others.back()));
    }
    EXPECT_FALSE(static_cast<bool>(Look(shards(), group, "app", "a")));
    others.pop_back();
    EXPECT_TRUE(static_cast<bool>(Look(shards(), group, "app", "a"))) << "and it recovers";
  });
}

}  // namespace
}  // namespace headroom::realtime
