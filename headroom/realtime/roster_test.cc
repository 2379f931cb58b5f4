#include "headroom/realtime/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "headroom/base/hash.h"

namespace headroom::realtime {
namespace {

using Entered = Roster::Entered;

TEST(RosterTest, AUserIsAMemberFromItsFirstConnectionToItsLast) {
  Roster roster;
  EXPECT_EQ(roster.enter({"ann", "1"}, 10, 100), Entered::first);
  EXPECT_EQ(roster.enter({"ann", "2"}, 11, 100), Entered::again);
  EXPECT_EQ(roster.enter({"ann", "2"}, 11, 100),
            Entered::again);  // twice by one connection counts once
  EXPECT_FALSE(roster.leave("ann", 10));
  EXPECT_TRUE(roster.leave("ann", 11));
  EXPECT_FALSE(roster.leave("ann", 11));
  EXPECT_EQ(roster.size(), 0U);
}

TEST(RosterTest, WhatAConnectionDidNotEnterItCannotLeave) {
  Roster roster;
  EXPECT_EQ(roster.enter({"ann", ""}, 10, 100), Entered::first);
  EXPECT_FALSE(roster.leave("ann", 99));
  EXPECT_FALSE(roster.leave("bob", 10));
  EXPECT_TRUE(roster.has("ann"));
}

TEST(RosterTest, AFullRosterTakesKnownUsersOnly) {
  Roster roster;
  EXPECT_EQ(roster.enter({"ann", ""}, 1, 1), Entered::first);
  EXPECT_EQ(roster.enter({"bob", ""}, 2, 1), Entered::full);
  EXPECT_EQ(roster.enter({"ann", ""}, 3, 1), Entered::again);
}

TEST(RosterTest, TheSnapshotIsOfNow) {
  Roster roster;
  (void)roster.enter({"ann", R"({"a":1})"}, 1, 9);
  const Bits before = roster.snapshot();
  EXPECT_EQ(*before, R"({"presence":{"ids":["ann"],"hash":{"ann":{"a":1}},"count":1}})");
  (void)roster.enter({"bob", ""}, 2, 9);
  EXPECT_EQ(*roster.snapshot(),
            R"({"presence":{"ids":["ann","bob"],"hash":{"ann":{"a":1},"bob":null},"count":2}})");
  (void)roster.leave("ann", 1);
  EXPECT_EQ(*roster.snapshot(), R"({"presence":{"ids":["bob"],"hash":{"bob":null},"count":1}})");
}

TEST(RosterTest, AnyOrderOfEnteringAndLeavingAgreesWithAModel) {
  Random random(7);
  Roster roster;
  std::map<std::string, std::set<SocketId>> model;
  for (int i = 0; i < 20000; ++i) {
    const std::string user(1, static_cast<char>('a' + random.below(8)));
    const SocketId socket = 1 + random.below(5);
    if (random.below(2) == 0) {
      const bool known = model.contains(user);
      const Entered want = known               ? Entered::again
                           : model.size() >= 6 ? Entered::full
                                               : Entered::first;
      ASSERT_EQ(roster.enter({user, ""}, socket, 6), want);
      if (want != Entered::full) model[user].insert(socket);
    } else {
      const auto at = model.find(user);
      const bool was_in = at != model.end() && at->second.erase(socket) > 0;
      const bool last = was_in && at->second.empty();
      if (last) model.erase(at);
      ASSERT_EQ(roster.leave(user, socket), last);
    }
    ASSERT_EQ(roster.size(), model.size());
  }
}

TEST(RosterTest, IsFullWhenItsListWouldBeTooLong) {
  Roster roster;
  const std::string info = "\"" + std::string(4000, 'x') + "\"";
  SocketId socket = 0;
  while (roster.enter({std::to_string(socket), info}, socket, 100000) == Roster::Entered::first)
    ++socket;
  EXPECT_GT(socket, 100U);
  EXPECT_LE(roster.snapshot()->size(), Roster::kMostBytes);
  EXPECT_TRUE(roster.leave("0", 0));
  EXPECT_EQ(roster.enter({"again", info}, 7, 100000), Roster::Entered::first) << "and it recovers";
}

}  // namespace
}  // namespace headroom::realtime
