// Channels, their homes and outlets together: what a subscriber is given, in which order, and what becomes of one that does not read.
#include "headroom/realtime/hub_fixture_test.h"

namespace headroom::realtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::vector<std::string> numbers(int from, int to) {
  std::vector<std::string> all;
  for (int i = from; i < to; ++i) all.push_back(std::to_string(i));
  return all;
}

class ChannelTest : public HubTest {
 protected:
  // On the home of that channel, in the order of the calls, none of which has been done when the last is made.
  template <class F>
  void in_one_turn(const std::string& channel, F calls) {
    const std::size_t home = shards().home_of(channel_key("app", channel));
    on_worker(home, [&] {
      calls([&](const std::string& name, const std::string& data) {
        shards().post(home, [name, data](Shard& shard) {
          shard.homes.publish(channel_key("app", name),
                              {.app = "app", .channel = name, .event = "e", .data = data});
        });
      });
    });
    settle();
  }
  void publish_numbers(const std::string& channel, int from, int to, std::size_t padding = 0) {
    for (int i = from; i < to; ++i)
      publish(channel, padding == 0
                           ? std::to_string(i)
                           : "[" + std::to_string(i) + ",\"" + std::string(padding, 'x') + "\"]");
  }
  static std::vector<int> firsts(const std::vector<std::string>& data) {
    std::vector<int> all;
    for (const std::string& each : data)
      if (each.starts_with('[')) all.push_back(std::stoi(each.substr(1)));
    return all;
  }
};

TEST_F(ChannelTest, SubscribersOnAllWorkersGetTheSameInTheSameOrder) {
  std::vector<Ear*> all;
  for (std::size_t worker = 0; worker < kWorkers; ++worker) {
    all.push_back(&ear(worker));
    all.back()->subscribe("news");
  }
  publish_numbers("news", 0, 20);
  for (Ear* each : all) EXPECT_EQ(each->data(20), numbers(0, 20));
}

TEST_F(ChannelTest, AnExceptionInAWriteEndsThatConnectionAlone) {
  Ear& ann = ear();
  Ear& bob = ear();
  Ear& eve = ear();
  for (Ear* each : {&ann, &bob, &eve}) each->subscribe("news");
  bob.throws();
  publish_numbers("news", 0, 3);
  EXPECT_EQ(ann.data(3), numbers(0, 3));
  EXPECT_EQ(eve.data(3), numbers(0, 3));
  EXPECT_TRUE(bob.was_cut());
  EXPECT_FALSE(ann.was_cut());
}

TEST_F(ChannelTest,
       WhereWorkBetweenWorkersEndsByAnExceptionAllComeBackAndNobodyGoesOnAsIfNothingWasLost) {
  rule("kept").history = 5;
  Ear& ann = ear(0);
  Ear& bob = ear(1);
  ann.subscribe("kept");
  bob.subscribe("kept");
  bob.subscribe("presence-room", {}, "bob");
  publish("kept", "1");
  EXPECT_EQ(ann.data(1), numbers(1, 2));
  const Position before{ann.how("kept").position.epoch, 1};
  EXPECT_EQ(ear(2).how_since("kept", before).begun, Channel::Begun::recovered);

  shards().post(2, [](Shard&) { throw std::bad_alloc(); });
  EXPECT_TRUE(ann.ends());
  EXPECT_TRUE(bob.ends());
  settle();
  EXPECT_EQ(home_of("presence-room")->roster.size(), 0U);
  // And it recovers.
  for (int worker = 0; worker < static_cast<int>(kWorkers); ++worker) {
    Ear& again = ear(static_cast<std::size_t>(worker));
    EXPECT_EQ(again.how_since("kept", before).begun, Channel::Begun::lost);
    publish("kept", std::to_string(worker + 2));
    EXPECT_EQ(again.data(1), numbers(worker + 2, worker + 3));
    EXPECT_FALSE(again.ended());
  }
}

TEST_F(ChannelTest, WhatIsPublishedBeforeAndAfterAnEntryArrivesInItsOrder) {
  Ear& ann = ear(shards().home_of(channel_key("app", "presence-room")));
  ann.subscribe("presence-room", {}, "ann");
  Ear& bob = ear(shards().home_of(channel_key("app", "presence-room")));
  in_one_turn("presence-room", [&](auto publish) {
    publish("presence-room", "1");
    bob.begin_subscribing("presence-room", "bob");
    publish("presence-room", "2");
  });
  const auto got = ann.data(3);
  ASSERT_EQ(got.size(), 3U);
  EXPECT_EQ(got[0], "1");
  EXPECT_THAT(got[1], HasSubstr("bob"));
  EXPECT_EQ(got[2], "2");
  EXPECT_EQ(bob.data(1), numbers(2, 3));
}

TEST_F(ChannelTest, WhoJoinsGetsWhatIsPublishedBehindThePositionThatItIsTold) {
  const std::size_t home = shards().home_of(channel_key("app", "news"));
  std::string other = "other";
  while (shards().home_of(channel_key("app", other)) != home) other += "-";
  Ear& ann = ear(home);
  ann.subscribe(other);
  Ear& bob = ear(home);
  in_one_turn("news", [&](auto publish) {
    publish(other, "0");
    bob.begin_subscribing("news");
    publish("news", "1");
  });
  EXPECT_EQ(bob.data(1), numbers(1, 2));
  EXPECT_EQ(bob.how("news").position.offset, 0U);
  EXPECT_EQ(ann.data(1), numbers(0, 1));
}

TEST_F(ChannelTest, WhoLeavesGetsNothingMoreAndTheHomeEnds) {
  Ear& ann = ear();
  ann.subscribe("news");
  EXPECT_NE(home_of("news"), nullptr);
  ann.unsubscribe("news");
  settle();
  EXPECT_EQ(home_of("news"), nullptr);
  publish("news", "1");
  EXPECT_THAT(ann.data(1, 100), IsEmpty());
}

TEST_F(ChannelTest, APositionGivesWhatCameSinceOrSaysThatItCannot) {
  rule("kept").history = 5;
  Ear& ann = ear(1);
  ann.subscribe("kept");
  publish_numbers("kept", 0, 10);
  EXPECT_EQ(ann.data(10), numbers(0, 10));
  const Position head{ann.how("kept").position.epoch, 10};
  Ear& bob = ear(2);
  bob.subscribe("kept", Position{head.epoch, 7});
  EXPECT_EQ(bob.how("kept").begun, Channel::Begun::recovered);
  EXPECT_EQ(bob.data(3), numbers(7, 10));
  for (const Position lost :
       {Position{head.epoch, 2}, Position{head.epoch + 2, 7}, Position{head.epoch, 11}}) {
    Ear& eve = ear();
    eve.subscribe("kept", lost);
    EXPECT_EQ(eve.how("kept").begun, Channel::Begun::lost) << lost.text();
    EXPECT_THAT(eve.data(1, 50), IsEmpty());
  }
}

TEST_F(ChannelTest, AHistoryOutlivesItsListeners) {
  rule("kept").history = 5;
  Ear& ann = ear();
  ann.subscribe("kept");
  const Position position = ann.how("kept").position;
  ann.unsubscribe("kept");
  publish_numbers("kept", 0, 3);
  ann.subscribe("kept", position);
  EXPECT_EQ(ann.data(3), numbers(0, 3));
}

TEST_F(ChannelTest, ACriticalMessageOvertakesWhatWaitsForABlockedConnection) {
  options().distance_messages = 1000;
  Ear& ann = ear();
  ann.subscribe("busy");
  publish_numbers("busy", 0, 200, 1000);
  EXPECT_TRUE(ann.blocked());
  publish("busy", "\"now\"", Priority::critical);
  const auto data = ann.data(201);
  ASSERT_THAT(data, SizeIs(201));
  const auto at = std::ranges::find(data, "\"now\"") - data.begin();
  EXPECT_LT(at, 100);  // what the kernel and one chunk held
  EXPECT_EQ(firsts(data).size(), 200U);
  EXPECT_TRUE(std::ranges::is_sorted(firsts(data)));
}

TEST_F(ChannelTest, WhoIsTooFarBehindIsEndedWhereTheRuleIsClose) {
  options().distance_messages = 50;
  Ear& slow = ear();
  Ear& good = ear();
  for (Ear* each : {&slow, &good}) each->subscribe("busy");
  for (int i = 0; i < 400; i += 10) {
    publish_numbers("busy", i, i + 10, 1000);
    EXPECT_THAT(good.data(10), SizeIs(10));
  }
  const TimePoint deadline = Clock::now() + 5s;  // it is looked at once a second
  while (!slow.ended() && Clock::now() < deadline) settle();
  EXPECT_TRUE(slow.ended());
  EXPECT_FALSE(good.ended());
}

struct RuleCase {
  Slow slow;
  const char* told;
};

class OvertakenTest : public ChannelTest {
 protected:
  // A listener that takes nothing of 300 messages, of which it may be 50 behind, while another gets all; then what it gets.
  std::vector<std::string> overtaken(Slow slow, std::uint64_t history = 0) {
    options().distance_messages = 50;
    rule("busy").slow = slow;
    options().channels.back().history = history;
    Ear& good = ear();
    Ear& late = ear();
    for (Ear* each : {&good, &late}) each->subscribe("busy");
    for (int i = 0; i < 300; i += 10) {
      publish_numbers("busy", i, i + 10, 1000);
      EXPECT_THAT(good.data(10), SizeIs(10));
    }
    late_ = &late;
    return late.data(300, 500);
  }
  Ear* late_ = nullptr;
};

TEST_F(OvertakenTest, DropOldestGoesOnWithTheNewest) {
  const auto got = overtaken(Slow::drop_oldest);
  const auto first = firsts(got);
  EXPECT_EQ(first.back(), 299);
  EXPECT_LT(first.size(), 120U);
  EXPECT_TRUE(std::ranges::any_of(got, [&](const std::string& each) {
    return each == "\"missed " + std::to_string(300 - first.size()) + "\"";
  }));
}

TEST_F(OvertakenTest, LatestGoesOnWithTheNewestAlone) {
  const auto got = overtaken(Slow::latest);
  EXPECT_EQ(firsts(got).back(), 299);
  EXPECT_LT(firsts(got).size(), 60U);
}

TEST_F(ChannelTest, LatestByAKeyGivesWhoWasSlowTheNewestOfEachKey) {
  rule("prices").slow = Slow::latest;
  options().channels.back().latest_by = "symbol";
  Ear& good = ear(0);
  Ear& slow = ear(1);
  for (Ear* each : {&good, &slow}) each->subscribe("prices");
  const auto price = [](int i) {
    return R"({"symbol":"s)" + std::to_string(i % 7) + R"(","n":)" + std::to_string(i) +
           R"(,"x":")" + std::string(1000, 'x') + "\"}";
  };
  for (int i = 0; i < 300; i += 10) {
    for (int j = i; j < i + 10; ++j) publish("prices", price(j));
    EXPECT_THAT(good.data(10), SizeIs(10)) << "who keeps up gets all";
  }
  EXPECT_TRUE(slow.blocked());
  const auto got = slow.data(300, 500);
  ASSERT_GT(got.size(), 8U);
  std::uint64_t missed = 0;
  for (const std::string& each : got)
    if (each.starts_with("\"missed ")) missed += std::stoul(each.substr(8));
  std::size_t messages = 0;
  for (const std::string& each : got) messages += each.starts_with("{") ? 1 : 0;
  EXPECT_EQ(messages + missed, 300U) << "what it was not given it was told of";
  EXPECT_LT(messages, 100U);
  std::vector<std::string> end;
  for (const std::string& each : got)
    if (each.starts_with("{")) end.push_back(each);
  for (int i = 293; i < 300; ++i)
    EXPECT_EQ(end[end.size() - static_cast<std::size_t>(300 - i)], price(i));
  publish("prices", price(1));
  EXPECT_THAT(slow.data(1), ElementsAre(price(1))) << "and it recovers";
}

TEST_F(OvertakenTest, DropNewestGivesTheOldestThenGoesOn) {
  const auto got = overtaken(Slow::drop_newest);
  const auto first = firsts(got);
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i], static_cast<int>(i));
  EXPECT_EQ(got.back(), "\"missed " + std::to_string(300 - first.size()) + "\"");
  publish("busy", "\"next\"");
  EXPECT_THAT(late_->data(1), ElementsAre("\"next\""));
}

TEST_F(OvertakenTest, PauseStopsWithAPositionAndGoesOnFromThere) {
  const auto got = overtaken(Slow::pause, 1000);
  const auto first = firsts(got);
  ASSERT_FALSE(first.empty());
  EXPECT_EQ(got.back(), "\"paused " + std::to_string(first.size()) + "\"");
  publish("busy", "\"not yet\"");
  EXPECT_THAT(late_->data(1, 50), IsEmpty());
  const Position at{late_->how("busy").position.epoch, first.size()};
  late_->unsubscribe("busy");
  late_->subscribe("busy", at);
  EXPECT_EQ(late_->how("busy").begun, Channel::Begun::recovered);
  const auto rest = late_->data(301 - first.size());
  EXPECT_EQ(rest.back(), "\"not yet\"");
  EXPECT_EQ(firsts(rest).front(), static_cast<int>(first.size()));
}

TEST_F(ChannelTest, PresenceTellsEachEnteringAndLeavingOnce) {
  Ear& ann = ear(0);
  Ear& bob = ear(1);
  Ear& again = ear(2);
  ann.subscribe("presence-room", {}, "ann");
  bob.subscribe("presence-room", {}, "bob");
  again.subscribe("presence-room", {}, "bob");
  EXPECT_THAT(ann.data(1), ElementsAre(R"({"user_id":"bob"})"));
  bob.unsubscribe("presence-room");
  settle();
  EXPECT_THAT(ann.data(1, 50), IsEmpty());
  again.unsubscribe("presence-room");
  EXPECT_THAT(ann.lines(1), ElementsAre(::testing::HasSubstr("presence_left")));
}

TEST_F(ChannelTest, AFullPresenceChannelRefuses) {
  options().presence_members = 1;
  Ear& ann = ear();
  Ear& bob = ear();
  ann.subscribe("presence-room", {}, "ann");
  bob.subscribe("presence-room", {}, "bob");
  EXPECT_TRUE(bob.was_refused("presence-room"));
}

TEST_F(ChannelTest, WhoEntersALargeRoomAmidChangesLearnsOfThoseAfterIt) {
  options().presence_batch = 1;
  Ear& ann = ear(0);
  Ear& bob = ear(1);
  Ear& cid = ear(2);
  ann.subscribe("presence-large", {}, "ann");
  bob.subscribe("presence-large", {}, "bob");
  EXPECT_THAT(ann.lines(1), ElementsAre(HasSubstr("presence_joined")));
  bob.unsubscribe("presence-large");
  cid.subscribe("presence-large", {},
                "cid");  // its list is without bob, of whose leaving nobody was told
  EXPECT_THAT(*cid.how("presence-large").members, Not(HasSubstr("bob")));
  bob.subscribe("presence-large", {}, "bob");
  std::vector<std::string> told = cid.lines(1);
  while (!told.empty() && !told.back().contains("bob")) told = cid.lines(1);
  ASSERT_FALSE(told.empty()) << "it never learns of bob";
  EXPECT_THAT(told.back(), HasSubstr("presence_joined"));
}

TEST_F(ChannelTest, HistoryGrowsOldWhereSomebodyListensToo) {
  rule("kept").history = 100;
  options().channels.back().history_ttl = 1s;
  Ear& ann = ear(0);
  ann.subscribe("kept");
  publish("kept", "1");
  EXPECT_THAT(ann.data(1), ElementsAre("1"));
  const auto kept = [&] {
    std::uint64_t size = 0;
    net::Worker& worker = shards().part_at(0).worker();
    worker.run_and_wait([&] {
      size = shards()
                 .part(worker)
                 .channels()
                 .at(channel_key("app", "kept"))
                 ->log(Priority::normal)
                 .size();
    });
    return size;
  };
  const TimePoint deadline = Clock::now() + 10s;
  while (kept() > 0 && Clock::now() < deadline) settle();
  EXPECT_EQ(kept(), 0U);
}

// A reader in which something goes wrong that is no error of its peer's.
class Failing final : public Reader {
 public:
  void read() override { throw std::bad_alloc(); }
  void give_up() override { gave_up_ = true; }
  [[nodiscard]] bool gave_up() const { return gave_up_; }

 private:
  std::atomic<bool> gave_up_{false};
};

TEST_F(ChannelTest, AnExceptionInOneConnectionEndsThatOneAlone) {
  Ear& ann = ear(0);
  ann.subscribe("news");
  Failing failing;
  net::Worker& worker = shards().part_at(0).worker();
  worker.run_and_wait([&] { shards().part_at(0).add_readable(failing); });
  publish("news", "1");
  EXPECT_THAT(ann.data(1), ElementsAre("1"));
  EXPECT_TRUE(failing.gave_up());
  EXPECT_FALSE(ann.ended());
}

}  // namespace
}  // namespace headroom::realtime
