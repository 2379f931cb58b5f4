#include "headroom/realtime/revocations.h"

#include <gtest/gtest.h>

namespace headroom::realtime {
namespace {

using std::chrono::seconds;

Caller caller(const std::string& name, std::optional<int> issued) {
  Caller made;
  made.name = name;
  if (issued) made.issued = auth::WallTime(seconds(*issued));
  return made;
}

TEST(RevocationsTest, TokensOfBeforeDoNotHoldAndLaterOnesDo) {
  Revocations all;
  all.revoke("ann", auth::WallTime(seconds(100)));
  EXPECT_TRUE(all.is_revoked(caller("ann", 99)));
  EXPECT_TRUE(all.is_revoked(caller("ann", 100)));
  EXPECT_FALSE(all.is_revoked(caller("ann", 101)));
  EXPECT_TRUE(all.is_revoked(caller("ann", std::nullopt)));
  EXPECT_FALSE(all.is_revoked(caller("bob", 1)));
}

TEST(RevocationsTest, TheOldestGoFirstAndWhoWasRevokedAgainStays) {
  Revocations all;
  all.revoke("ann", auth::WallTime(seconds(1)));
  for (std::size_t i = 0; i + 2 < Revocations::kMost; ++i)
    all.revoke("user" + std::to_string(i), auth::WallTime(seconds(2)));
  all.revoke("ann", auth::WallTime(seconds(3)));
  all.revoke("bob", auth::WallTime(seconds(4)));
  EXPECT_TRUE(all.is_revoked(caller("ann", 2)));
  EXPECT_LE(all.size(), Revocations::kMost);
  all.revoke("eve", auth::WallTime(seconds(5)) + Revocations::kRemembered);
  EXPECT_FALSE(all.is_revoked(caller("ann", 2)));
  EXPECT_EQ(all.size(), 1U);
}

}  // namespace
}  // namespace headroom::realtime
