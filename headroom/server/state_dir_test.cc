#include "headroom/server/state_dir.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "headroom/base/text.h"

namespace headroom::server {
namespace {

struct StateDirTest : testing::Test {
  std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("headroom-" + text::random_hex(8));
  ~StateDirTest() override { std::filesystem::remove_all(root); }
};

TEST_F(StateDirTest, IsMadeWithItsParentsForItsOwnerAlone) {
  auto made = StateDir::open(root / "a" / "b");
  ASSERT_TRUE(made) << made.error().message;
  struct stat status{};
  ASSERT_EQ(::stat((root / "a" / "b").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

TEST_F(StateDirTest, IsHeldByOneAtATime) {
  auto first = StateDir::open(root);
  auto second = StateDir::open(root);
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(first->lock());
  const auto refused = second->lock();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::conflict);
  EXPECT_THAT(refused.error().message, testing::HasSubstr(root.string()));
}

TEST_F(StateDirTest, IsFreeOnceItsHolderHasGone) {
  {
    auto first = StateDir::open(root);
    ASSERT_TRUE(first && first->lock());
  }
  auto second = StateDir::open(root);
  EXPECT_TRUE(second && second->lock());
}

TEST_F(StateDirTest, LockPassesWithTheDescriptor) {
  auto next = StateDir::open(root);
  auto third = StateDir::open(root);
  ASSERT_TRUE(next && third);
  {
    auto old = StateDir::open(root);
    ASSERT_TRUE(old && old->lock());
    ASSERT_TRUE(next->adopt_lock(::fcntl(old->descriptor(), F_DUPFD_CLOEXEC, 0)));
  }
  EXPECT_FALSE(third->lock());
}

TEST_F(StateDirTest, DoesNotTakeTheLockOfAnother) {
  auto mine = StateDir::open(root / "mine");
  auto other = StateDir::open(root / "other");
  ASSERT_TRUE(mine && other);
  const int descriptor = ::fcntl(other->descriptor(), F_DUPFD_CLOEXEC, 0);
  EXPECT_FALSE(mine->adopt_lock(descriptor));
  ::close(descriptor);
}

TEST_F(StateDirTest, IsRefusedWhenOthersMayWriteInIt) {
  std::filesystem::create_directories(root);
  std::filesystem::permissions(root, std::filesystem::perms::all);
  const auto refused = StateDir::open(root);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unauthorized);
}

}  // namespace
}  // namespace headroom::server
