#include "headroom/realtime/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "headroom/realtime/relay.h"

namespace headroom::realtime {
namespace {

TEST(HookQueueTest, EventsKeepTheirOrder) {
  HookQueue queue;
  EXPECT_EQ(queue.add(occupied_event("a")), 0U);
  EXPECT_EQ(queue.add(member_event("member_added", "a", "ann")), 0U);
  EXPECT_EQ(
      queue.take(5).body,
      R"({"time_ms":5,"events":[{"name":"channel_occupied","channel":"a"},{"name":"member_added","channel":"a","user_id":"ann"}]})");
  EXPECT_TRUE(queue.empty());
}

TEST(HookQueueTest, ComingAndGoingAtOnceIsNotTold) {
  HookQueue queue;
  (void)queue.add(occupied_event("a"));
  (void)queue.add(occupied_event("b"));
  (void)queue.add(vacated_event("a"));
  EXPECT_EQ(queue.take(0).body,
            R"({"time_ms":0,"events":[{"name":"channel_occupied","channel":"b"}]})");
  (void)queue.add(vacated_event("b"));
  (void)queue.add(occupied_event("b"));
  EXPECT_TRUE(queue.empty());
  (void)queue.add(vacated_event("b"));
  (void)queue.add(occupied_event("b"));
  (void)queue.add(vacated_event("b"));
  EXPECT_EQ(queue.take(0).events, 1U);
}

TEST(HookQueueTest, ChannelsThatFlickerTakeNoRoomForLong) {
  HookQueue queue;
  std::size_t dropped = 0;
  for (int i = 0; i < 30000; ++i) {
    dropped += queue.add(occupied_event("c" + std::to_string(i)));
    dropped += queue.add(vacated_event("c" + std::to_string(i)));
  }
  EXPECT_EQ(dropped, 0U);
  EXPECT_TRUE(queue.empty());
  (void)queue.add(vacated_event("c29999"));
  EXPECT_EQ(queue.take(0).body,
            R"({"time_ms":0,"events":[{"name":"channel_vacated","channel":"c29999"}]})");
}

TEST(HookQueueTest, ItsSizeIsBoundedAndACallsToo) {
  HookQueue queue;
  std::size_t dropped = 0;
  for (std::size_t i = 0; i < HookQueue::kMostWaiting + 7; ++i)
    dropped += queue.add(cache_miss_event("c" + std::to_string(i)));
  EXPECT_EQ(dropped, 7U);
  EXPECT_EQ(queue.take(0).events, HookQueue::kMostInCall);
}

TEST(HookEventTest, AClientEventSaysWhoSentIt) {
  Publication what{
      .channel = "private-a", .event = "client-x", .data = R"({"a":"\""})", .user_id = "ann"};
  what.except = SocketId{3} << 32U | 4U;
  EXPECT_EQ(
      client_event(what).json,
      R"({"name":"client_event","channel":"private-a","event":"client-x","data":"{\"a\":\"\\\"\"}","socket_id":"3.4","user_id":"ann"})");
}

TEST(RelayTest, APublicationComesOutAsItWentIn) {
  Publication what{
      .app = "shop", .channel = "a", .event = "e\n", .data = "line\nfeed", .user_id = "ann"};
  what.except = 77;
  what.priority = Priority::critical;
  what.form = Form::text;
  what.once = ~0ULL;
  const std::string line = relay_line(what);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto got = read_relay_line(std::string_view(line).substr(0, line.size() - 1));
  ASSERT_TRUE(got.has_value()) << got.error().message;
  EXPECT_EQ(
      std::tie(got->app, got->channel, got->event, got->data, got->user_id, got->except, got->once),
      std::tie(what.app, what.channel, what.event, what.data, what.user_id, what.except,
               what.once));
  EXPECT_TRUE(got->priority == Priority::critical && got->form == Form::text && got->relayed);
}

TEST(RelayTest, WhatIsNoPublicationIsRefused) {
  for (const char* line : {"", "{}", "[]", R"({"app":"a","channel":"c","event":"e"})",
                           R"({"app":1,"channel":"c","event":"e","data":""})"})
    EXPECT_FALSE(read_relay_line(line).has_value()) << line;
  EXPECT_TRUE(
      read_relay_line(R"({"app":"a","channel":"c","event":"e","data":"","later":1})").has_value());
}

}  // namespace
}  // namespace headroom::realtime
