#include "headroom/realtime/hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(HookQueueTest, ACacheMissIsDroppedBeforeAnythingElse) {
  HookQueue queue;
  (void)queue.add(cache_miss_event("first"));
  for (std::size_t i = 0; i < HookQueue::kMostWaiting - 1; ++i)
    EXPECT_EQ(queue.add(member_event("member_added", "room", std::to_string(i))), 0U);
  EXPECT_EQ(queue.add(cache_miss_event("late")), 1U);  // there is no room for it
  EXPECT_EQ(queue.add(member_event("member_added", "room", "last")), 1U);  // in place of the first
  EXPECT_EQ(queue.add(member_event("member_added", "room", "more")), 1U);  // of the oldest
  std::string all;
  while (!queue.empty()) all += queue.take(0).body;
  EXPECT_THAT(all, testing::Not(testing::HasSubstr("cache_miss")));
  EXPECT_THAT(all, testing::Not(testing::HasSubstr(R"("user_id":"0")")));
  for (const char* user : {R"("1")", R"("last")", R"("more")"})
    EXPECT_THAT(all, testing::HasSubstr(user));
}

TEST(HookEventTest, AClientEventSaysWhoSentIt) {
  Publication what{
      .channel = "private-a", .event = "client-x", .data = R"({"a":"\""})", .user_id = "ann"};
  what.except = SocketId{3} << 32U | 4U;
  EXPECT_EQ(
      client_event(what).json,
      R"({"name":"client_event","channel":"private-a","event":"client-x","data":"{\"a\":\"\\\"\"}","socket_id":"3.4","user_id":"ann"})");
}

}  // namespace
}  // namespace headroom::realtime
