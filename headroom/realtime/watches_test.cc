#include "headroom/realtime/watches.h"

#include <gtest/gtest.h>

namespace headroom::realtime {
namespace {

TEST(WatchesTest, WatchersAreToldOfTheFirstSignInAndTheLastEnd) {
  Watches watches;
  EXPECT_FALSE(watches.watch("ann", {0, 1}));
  EXPECT_EQ(watches.sign_in("ann", 10).size(), 1U);
  EXPECT_TRUE(watches.sign_in("ann", 11).empty());
  EXPECT_TRUE(watches.sign_in("ann", 11).empty());
  EXPECT_TRUE(watches.watch("ann", {0, 2}));
  EXPECT_TRUE(watches.leave("ann", 10).empty());
  EXPECT_TRUE(watches.leave("ann", 99).empty());
  EXPECT_EQ(watches.leave("ann", 11).size(), 2U);
}

TEST(WatchesTest, NothingIsKeptOfUsersWhomNobodyWatches) {
  Watches watches;
  (void)watches.watch("ann", {0, 1});
  (void)watches.sign_in("bob", 5);
  watches.unwatch("ann", 1);
  watches.unwatch("eve", 1);
  (void)watches.leave("bob", 5);
  EXPECT_EQ(watches.size(), 0U);
}

}  // namespace
}  // namespace headroom::realtime
