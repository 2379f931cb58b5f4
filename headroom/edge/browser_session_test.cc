#include "headroom/edge/browser_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::edge {
namespace {

using std::chrono::seconds;

constexpr std::string_view kId = "0123456789abcdef0123456789abcdef";
const link::Position kOne{7, 1, 100}, kTwo{8, 3, 200};
const auth::WallTime kNow{seconds(1'800'000'000)};

auth::Signer signer(char key) { return *auth::Signer::make({std::string(32, key)}); }

struct Sessions {
  link::Positions positions{};
  BrowserSessions ours{signer('k'), "hr", positions};
};

TEST(BrowserSession, WhatWasSignedIsOpenedForAMinute) {
  const Sessions s;
  const std::string value = s.ours.sign(std::string(kId), {kOne, kTwo}, kNow);
  const auto opened = s.ours.open(value, kNow + seconds(59));
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->id, kId);
  EXPECT_THAT(opened->brought, testing::ElementsAre(kOne, kTwo));
  EXPECT_FALSE(s.ours.open(value, kNow + seconds(60)));
  EXPECT_TRUE(s.ours.open(s.ours.sign(std::string(kId), {}, kNow), kNow)->brought.empty());
}

TEST(BrowserSession, WhatIsForgedForeignOrForAnotherPurposeIsNobodys) {
  const Sessions s;
  std::string value = s.ours.sign(std::string(kId), {kOne}, kNow);
  for (std::size_t i = 0; i < value.size(); ++i) {
    std::string changed = value;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(s.ours.open(changed, kNow)) << i;
  }
  link::Positions positions;
  const BrowserSessions foreign(signer('f'), "hr", positions);
  EXPECT_FALSE(s.ours.open(foreign.sign(std::string(kId), {kOne}, kNow), kNow));
  EXPECT_FALSE(s.ours.open(*signer('k').sign("admin", kId, kNow + seconds(60)), kNow));
  for (const std::string_view text : {"", ".", "..", "a.b.c", "0123456789abcdef0123456789abcdef"})
    EXPECT_FALSE(s.ours.open(text, kNow));
}

// Signed with our key by whoever else has it, for instance another version.
TEST(BrowserSession, AnIdOfAnotherFormIsNone) {
  const Sessions s;
  for (const std::string_view value : {"", " ", "s:ann", "0123456789ABCDEF0123456789ABCDEF"})
    EXPECT_FALSE(s.ours.open(*signer('k').sign("edge.session", value, kNow + seconds(60)), kNow));
}

}  // namespace
}  // namespace headroom::edge
