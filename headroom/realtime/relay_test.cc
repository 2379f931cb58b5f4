#include "headroom/realtime/relay.h"

#include <fcntl.h>

#include <thread>

#include "headroom/realtime/hub_fixture_test.h"

namespace headroom::realtime {
namespace {

using ::testing::ElementsAre;
using Is = RelayLine::Is;

Publication some() {
  Publication what{
      .app = "shop", .channel = "a", .event = "e\n", .data = "line\nfeed", .user_id = "ann"};
  what.except = 77;
  what.priority = Priority::critical;
  what.form = Form::text;
  what.once = ~0ULL;
  what.number = 3;
  return what;
}

TEST(RelayLineTest, EachComesOutAsItWentIn) {
  const Publication what = some();
  for (const Is is : {Is::lead, Is::home, Is::kept, Is::last, Is::told, Is::publish, Is::ordered,
                      Is::bye, Is::where, Is::here}) {
    const RelayLine line{
        .is = is, .what = what, .position = {~0ULL, 5}, .at = TimePoint(9s), .dropped = {4, 2}};
    const std::string text = relay_line(line);
    EXPECT_EQ(text.find('\n'), text.size() - 1);
    const auto got = read_relay_line(std::string_view(text).substr(0, text.size() - 1));
    ASSERT_TRUE(got.has_value()) << got.error().message;
    EXPECT_EQ(got->is, is);
    if (is == Is::lead || is == Is::told || is == Is::bye) continue;
    EXPECT_EQ(std::tie(got->what.app, got->what.channel), std::tie(what.app, what.channel));
    if (is == Is::where || is == Is::here) continue;
    if (is != Is::publish) EXPECT_EQ(got->position, line.position);
    if (is == Is::home) {
      EXPECT_EQ(got->dropped, line.dropped);
      continue;
    }
    EXPECT_EQ(std::tie(got->what.event, got->what.data, got->what.user_id, got->what.except,
                       got->what.once, got->what.number),
              std::tie(what.event, what.data, what.user_id, what.except, what.once, what.number));
    EXPECT_TRUE(got->what.priority == Priority::critical && got->what.form == Form::text &&
                got->what.relayed);
    if (is != Is::publish) EXPECT_EQ(got->at, line.at);
  }
}

TEST(RelayLineTest, WhatIsNoneIsRefused) {
  for (const char* line :
       {"", "{}", "[]", R"({"is":"x"})", R"({"is":"publish","app":"a","channel":"c","event":"e"})",
        R"({"is":"publish","app":1,"channel":"c","event":"e","data":""})",
        R"({"is":"kept","app":"a","channel":"c","event":"e","data":"","epoch":1})",
        R"({"is":"home","app":"a","channel":"c","epoch":-1,"offset":1})"})
    EXPECT_FALSE(read_relay_line(line).has_value()) << line;
  EXPECT_TRUE(
      read_relay_line(R"({"is":"publish","app":"a","channel":"c","event":"e","data":"","later":1})")
          .has_value());
}

// The hub under test is one end of a relay; the test speaks for the other.
class RelayTest : public HubTest {
 protected:
  RelayTest() { rule("kept").history = 100; }
  ~RelayTest() override { hang_up(); }

  // This hub is the old process.
  void be_taken_over() {
    HR_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_.data()) ==
              0);
    shards().relay(ends_[0]);
  }
  void say(const RelayLine& line) {
    const std::string text = relay_line(line);
    HR_ASSERT(::write(ends_[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  // The next lines up to one of this kind.
  std::vector<RelayLine> hear(Is last) {
    std::vector<RelayLine> all;
    for (;;) {
      const std::size_t end = heard_.find('\n');
      if (end != std::string::npos) {
        auto line = read_relay_line(std::string_view(heard_).substr(0, end));
        heard_.erase(0, end + 1);
        HR_ASSERT(line.has_value());
        all.push_back(std::move(*line));
        if (all.back().is == last) return all;
        continue;
      }
      pollfd ready{ends_[1], POLLIN, 0};
      std::array<char, 4096> piece{};
      const ssize_t n =
          ::poll(&ready, 1, 5000) > 0 ? ::read(ends_[1], piece.data(), piece.size()) : 0;
      if (n <= 0) return all;
      heard_.append(piece.data(), static_cast<std::size_t>(n));
    }
  }
  void hang_up() {
    if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
  }
  [[nodiscard]] std::size_t relays() {
    std::size_t count = 0;
    shards().part_at(0).worker().run_and_wait([&] { count = shards().relays(); });
    return count;
  }
  void await_no_relay() {
    const TimePoint deadline = Clock::now() + 5s;
    while (relays() > 0 && Clock::now() < deadline) settle();
    EXPECT_EQ(relays(), 0U);
  }
  [[nodiscard]] static RelayLine message(Is is, Position position, const std::string& data,
                                         std::uint64_t number = 0) {
    RelayLine line{.is = is, .position = position, .at = Clock::now()};
    line.what = {.app = "app", .channel = "kept", .event = "e", .data = data};
    line.what.number = number;
    return line;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
  std::string heard_;
};

TEST_F(RelayTest, OneWhoseOtherEndHasGoneBeforeItLedIsGoneAndNothingHasChanged) {
  Ear& ann = ear(1);
  ann.subscribe("news");
  be_taken_over();
  EXPECT_EQ(relays(), 1U);
  publish("news", "1");
  hang_up();
  await_no_relay();
  publish("news", "2");
  EXPECT_THAT(ann.data(2), ElementsAre("1", "2"));
  EXPECT_FALSE(ann.ended());
}

TEST_F(RelayTest, WhoFollowsTellsItsChannelsAndDeliversWhatTheOtherOrders) {
  Ear& ann = ear(1);
  ann.subscribe("kept");
  publish("kept", "1");
  publish("kept", "2");
  EXPECT_THAT(ann.data(2), ElementsAre("1", "2"));
  const Position head = home_of("kept")->head;
  be_taken_over();
  say({.is = Is::lead});
  const auto told = hear(Is::told);
  ASSERT_EQ(told.size(), 4U);
  EXPECT_EQ(told[0].is, Is::home);
  EXPECT_EQ(told[0].position, head);
  EXPECT_EQ(told[2].what.data, "2");
  EXPECT_EQ(told[2].position, head);

  publish("kept", "4");  // waits for its place
  const auto asked = hear(Is::publish);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].what.data, "4");
  say(message(Is::ordered, {head.epoch, 3}, "3"));
  say(message(Is::ordered, {head.epoch, 4}, "4", asked[0].what.number));
  EXPECT_THAT(ann.data(2), ElementsAre("3", "4"));
  Ear& bob = ear(2);  // who comes to the old one still
  bob.subscribe("kept", Position{head.epoch, 2});
  EXPECT_EQ(bob.how("kept").begun, Channel::Begun::recovered);
  EXPECT_THAT(bob.data(2), ElementsAre("3", "4"));
}

RelayLine about(Is is, Position position = {}, std::uint64_t dropped = 0) {
  RelayLine line{.is = is, .position = position, .dropped = {dropped, 0}};
  line.what.app = "app";
  line.what.channel = "kept";
  return line;
}

TEST_F(RelayTest, WhoFollowsAsksWhereAChannelStandsBeforeItLetsAnybodyIn) {
  Ear& ann = ear(1);
  Ear& bob = ear(2);
  be_taken_over();
  say({.is = Is::lead, .places = true});
  ASSERT_EQ(hear(Is::told).back().is, Is::told);
  std::thread other([&] {
    const auto asked = hear(Is::where);
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(asked[0].what.channel, "kept");
    say(message(Is::ordered, {7, 4}, "4"));  // before the answer: it is in it
    say(about(Is::home, {7, 4}, 2));
    say(message(Is::kept, {7, 3}, "3"));
    say(message(Is::kept, {7, 4}, "4"));
    say(about(Is::here));
    say(message(Is::ordered, {7, 5}, "5"));
  });
  ann.subscribe("kept", Position{7, 3});
  other.join();
  EXPECT_EQ(ann.how("kept").position, (Position{7, 4}));
  EXPECT_EQ(ann.how("kept").begun, Channel::Begun::recovered);
  EXPECT_THAT(ann.data(2), ElementsAre("4", "5"));
  bob.subscribe("kept", Position{7, 1});  // that is known now
  EXPECT_EQ(bob.how("kept").begun, Channel::Begun::lost);
}

TEST_F(RelayTest, MembersOfAChannelThatIsAskedAboutComeInWithItsPlace) {
  Ear& ann = ear(1);
  be_taken_over();
  say({.is = Is::lead, .places = true});
  ASSERT_EQ(hear(Is::told).back().is, Is::told);
  std::thread other([&] {
    ASSERT_EQ(hear(Is::where).size(), 1U);
    RelayLine home = about(Is::home, {7, 4});
    home.what.channel = "presence-room";
    say(home);
    home.is = Is::here;
    say(home);
  });
  ann.subscribe("presence-room", {}, "ann");
  other.join();
  EXPECT_EQ(ann.how("presence-room").position, (Position{7, 4}));
  EXPECT_THAT(*ann.how("presence-room").members, ::testing::HasSubstr("ann"));
}

TEST_F(RelayTest, WhereNobodySaysWhereAChannelStandsItBeginsHere) {
  Ear& ann = ear(1);
  be_taken_over();
  say({.is = Is::lead, .places = true});
  ASSERT_EQ(hear(Is::told).back().is, Is::told);
  std::thread other([&] {
    ASSERT_EQ(hear(Is::where).size(), 1U);
    say(about(Is::home, {7, 4}));
    hang_up();
  });
  ann.subscribe("kept", Position{7, 4});
  other.join();
  await_no_relay();
  settle();
  EXPECT_EQ(ann.how("kept").begun, Channel::Begun::lost);
  EXPECT_NE(home_of("kept")->head.epoch, 7U);
  Ear& bob = ear(2);
  bob.subscribe("kept");
  publish("kept", "1");
  EXPECT_THAT(bob.data(1), ElementsAre("1"));
}

TEST_F(RelayTest, OneOfAnEarlierVersionIsNotAskedWhereAChannelStands) {
  Ear& ann = ear(1);
  be_taken_over();
  say({.is = Is::lead});
  ASSERT_EQ(hear(Is::told).back().is, Is::told);
  ann.subscribe("kept", Position{7, 4});
  EXPECT_EQ(ann.how("kept").begun, Channel::Begun::lost);
  say(message(Is::ordered, {7, 5}, "5"));
  EXPECT_THAT(ann.data(1), ElementsAre("5"));
}

TEST_F(RelayTest, WhoLosesTheOneItFollowedBeginsAnewAndLosesNothingThatWaited) {
  Ear& ann = ear(1);
  ann.subscribe("kept");
  publish("kept", "1");
  EXPECT_THAT(ann.data(1), ElementsAre("1"));
  const Position head = home_of("kept")->head;
  be_taken_over();
  say({.is = Is::lead});
  ASSERT_EQ(hear(Is::told).back().is, Is::told);
  publish("kept", "2");
  ASSERT_EQ(hear(Is::publish).size(), 1U);
  hang_up();
  await_no_relay();
  settle();
  EXPECT_TRUE(ann.ended());  // before anything more was delivered to it
  EXPECT_THAT(ann.data(1, 100), ElementsAre());
  EXPECT_NE(home_of("kept")->head.epoch, head.epoch);
  EXPECT_EQ(home_of("kept")->logs[Priority::normal].size(), 2U);
  Ear& bob = ear(2);
  bob.subscribe("kept", head);  // the other may have ordered more
  EXPECT_EQ(bob.how("kept").begun, Channel::Begun::lost);
  publish("kept", "3");
  EXPECT_THAT(bob.data(1), ElementsAre("3"));
}

TEST_F(RelayTest, ALineOutOfTurnEndsIt) {
  be_taken_over();
  say(message(Is::ordered, {1, 1}, "1"));
  await_no_relay();
}

class LeadingTest : public RelayTest, public ::testing::WithParamInterface<bool> {};

TEST_P(LeadingTest, WhoLeadsGoesOnWhereTheOtherWasAndTellsWhatItOrders) {
  const bool said_bye = GetParam();
  std::array<int, 2> ends{};
  HR_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  HR_ASSERT(::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  static_cast<void>(shards());  // workers run
  std::string heard;
  const auto until = [&](std::string_view mark) {
    std::array<char, 4096> piece{};
    while (heard.find(mark) == std::string::npos) {
      const ssize_t n = ::read(ends[1], piece.data(), piece.size());
      if (n <= 0) break;
      heard.append(piece.data(), static_cast<std::size_t>(n));
    }
    EXPECT_NE(heard.find(mark), std::string::npos) << heard;
  };
  std::thread other([&] {
    until("lead");
    RelayLine home{.is = Is::home, .position = {7, 2}, .dropped = {1, 0}};
    home.what.app = "app";
    home.what.channel = "kept";
    const std::string text = relay_line(home) + relay_line(message(Is::kept, {7, 2}, "2")) +
                             relay_line({.is = Is::told}) +
                             relay_line(message(Is::publish, {}, "3", 5));
    HR_ASSERT(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  });
  shards().lead(ends[0]);
  other.join();
  until(R"("number":5)");
  until(R"("offset":3)");
  Ear& ann = ear(1);
  ann.subscribe("kept", Position{7, 1});
  EXPECT_EQ(ann.how("kept").begun, Channel::Begun::recovered);
  EXPECT_THAT(ann.data(2), ElementsAre("2", "3"));
  Ear& bob = ear(2);
  bob.subscribe("kept", Position{7, 0});  // that is no longer kept
  EXPECT_EQ(bob.how("kept").begun, Channel::Begun::lost);
  publish("kept", "4");
  until(R"("offset":4)");
  EXPECT_THAT(ann.data(1), ElementsAre("4"));
  heard.clear();
  RelayLine where = about(Is::where);
  for (const char* channel : {"kept", "unheard-of"}) {
    where.what.channel = channel;
    const std::string text = relay_line(where);
    HR_ASSERT(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  until(R"("is":"home","app":"app","channel":"kept","epoch":7,"offset":4)");
  until(R"("is":"here","app":"app","channel":"unheard-of")");
  EXPECT_NE(heard.find(fmt::format("{}", home_of("unheard-of")->head.epoch)), std::string::npos);
  const std::string bye = said_bye ? relay_line({.is = Is::bye}) : std::string();
  HR_ASSERT(::write(ends[1], bye.data(), bye.size()) == static_cast<ssize_t>(bye.size()));
  ::close(ends[1]);
  await_no_relay();
  settle();
  EXPECT_EQ(home_of("kept")->head.epoch == 7, said_bye);  // else something may be missing
  publish("kept", "5");
  EXPECT_THAT(ann.data(1), ElementsAre("5"));
  EXPECT_FALSE(ann.ended());
}

INSTANTIATE_TEST_SUITE_P(Ends, LeadingTest, ::testing::Bool());

TEST_F(RelayTest, WhatWasToldInPartProvesNothing) {
  std::array<int, 2> ends{};
  HR_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  HR_ASSERT(::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  RelayLine home{.is = Is::home, .position = {7, 9}};
  home.what.app = "app";
  home.what.channel = "kept";
  const std::string text = relay_line(home) + relay_line(message(Is::kept, {7, 4}, "4"));
  HR_ASSERT(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::shutdown(ends[1], SHUT_WR);
  shards().lead(ends[0]);
  Ear& ann = ear(1);
  ann.subscribe("kept", Position{7, 4});
  EXPECT_EQ(ann.how("kept").begun, Channel::Begun::lost);
  ::close(ends[1]);
}

}  // namespace
}  // namespace headroom::realtime
