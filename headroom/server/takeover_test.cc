#include "headroom/server/takeover.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "headroom/base/text.h"
#include "headroom/net/listener.h"

namespace headroom::server {
namespace {

// An old server with its door, and a new one on the same directory.
struct TakeoverTest : testing::Test {
  std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("headroom-" + text::random_hex(8));
  StateDir old_dir = open();
  StateDir new_dir = open();
  TakeoverDoor door = std::move(*TakeoverDoor::open(old_dir));
  std::vector<net::Listener> listeners;

  ~TakeoverTest() override { std::filesystem::remove_all(root); }

  StateDir open() const { return std::move(*StateDir::open(root)); }
  edge::Door make_door(const std::string& name, std::size_t sockets) {
    auto listener = net::Listener::open(net::Endpoint(*IpAddress::parse("127.0.0.1"), 0), sockets);
    listeners.push_back(std::move(*listener));
    const auto& made = listeners.back();
    return {name, made.endpoint().to_string(), {made.sockets().begin(), made.sockets().end()}};
  }
  // The new server's first steps, with the old one answering.
  Result<Handover> take(const Handover& what, std::optional<Takeover>& begun,
                        Duration patience = kPatience) {
    auto started = Takeover::begin(new_dir, patience);
    if (!started || !*started) return fail(Errc::unavailable, "not begun");
    begun.emplace(std::move(**started));
    if (auto given = door.hand_over(what); !given) return pass(given);
    return begun->receive();
  }
};

TEST_F(TakeoverTest, HandsOverEveryDoorSecretAndTheLock) {
  ASSERT_TRUE(old_dir.lock());
  const std::string keys("\x00\x01\xff key", 8);
  const Handover what{
      .doors = {make_door("edge", 150), make_door("edge.tls", 1), make_door("admin", 2)},
      .secrets = {{"edge.tls.ticket_keys", keys}},
      .lock = old_dir.descriptor()};
  std::optional<Takeover> takeover;
  auto got = take(what, takeover);
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_EQ(got->doors.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(got->doors[i].name, what.doors[i].name);
    ASSERT_EQ(got->doors[i].sockets.size(), what.doors[i].sockets.size());
    for (const int fd : got->doors[i].sockets) {
      EXPECT_EQ(net::Endpoint::local_of(fd).to_string(), what.doors[i].address);
      ::close(fd);
    }
  }
  ASSERT_EQ(got->secrets.size(), 1U);
  EXPECT_EQ(got->secrets[0].value, keys);
  ASSERT_TRUE(new_dir.adopt_lock(got->lock));
  EXPECT_FALSE(open().lock());
}

TEST_F(TakeoverTest, EndsWhenTheOldOneHasYielded) {
  std::optional<Takeover> takeover;
  auto got = take({.doors = {}, .secrets = {}, .lock = old_dir.descriptor()}, takeover);
  ASSERT_TRUE(got);
  ::close(got->lock);
  Result<> ended;
  std::thread waiting([&] { ended = takeover->ready(-1, nullptr); });
  auto heard = door.heard();
  ASSERT_TRUE(heard && *heard);
  EXPECT_TRUE(door.yield());
  waiting.join();
  EXPECT_TRUE(ended);
  EXPECT_EQ(door.knocking(), -1);
  // The name is the new server's now.
  auto next = TakeoverDoor::open(new_dir);
  EXPECT_TRUE(next);
}

TEST_F(TakeoverTest, ANewOneThatIsReadyWaitsForTheOldOneHoweverLongThatTakes) {
  constexpr Duration kShort = 200ms;
  std::optional<Takeover> takeover;
  auto got = take({.doors = {}, .secrets = {}, .lock = old_dir.descriptor()}, takeover, kShort);
  ASSERT_TRUE(got);
  ::close(got->lock);
  Result<> ended;
  std::thread waiting([&] { ended = takeover->ready(-1, nullptr); });
  auto heard = door.heard();
  ASSERT_TRUE(heard && *heard);
  std::this_thread::sleep_for(4 * kShort);  // it ends what it began
  EXPECT_TRUE(door.yield());
  waiting.join();
  EXPECT_TRUE(ended) << ended.error().message;
}

TEST_F(TakeoverTest, ANewOneThatWaitsEndsWhenItIsToldTo) {
  std::optional<Takeover> takeover;
  auto got = take({.doors = {}, .secrets = {}, .lock = old_dir.descriptor()}, takeover);
  ASSERT_TRUE(got);
  ::close(got->lock);
  std::array<int, 2> signals{};
  ASSERT_EQ(::pipe(signals.data()), 0);
  ASSERT_EQ(::write(signals[1], "..", 2), 2);  // the first asks for something else
  int asked = 0;
  const auto ended = takeover->ready(signals[0], [&] {
    char one = 0;
    EXPECT_EQ(::read(signals[0], &one, 1), 1);
    return ++asked == 2;
  });
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Errc::cancelled);
  takeover.reset();
  auto heard = door.heard();
  ASSERT_TRUE(heard && *heard);
  EXPECT_TRUE(door.has_gone());
  for (const int fd : signals) ::close(fd);
}

TEST_F(TakeoverTest, AnOldOneWhoseSuccessorHasGoneIsToldSo) {
  {
    std::optional<Takeover> takeover;
    auto got = take({.doors = {}, .secrets = {}, .lock = old_dir.descriptor()}, takeover);
    ASSERT_TRUE(got);
    ::close(got->lock);
  }
  EXPECT_FALSE(door.yield());
}

TEST_F(TakeoverTest, LetsTheOldOneGoOnWhenTheNewOneGoes) {
  {
    std::optional<Takeover> takeover;
    auto got = take({.doors = {make_door("edge", 1)}, .secrets = {}, .lock = old_dir.descriptor()},
                    takeover);
    ASSERT_TRUE(got);
    ::close(got->lock);
    for (const int fd : got->doors[0].sockets) ::close(fd);
  }
  EXPECT_FALSE(door.heard());
  EXPECT_EQ(door.talking(), -1);
  EXPECT_GE(door.knocking(), 0);
}

TEST_F(TakeoverTest, FindsNobodyWhereNoServerRuns) {
  auto elsewhere = StateDir::open(root / "elsewhere");
  ASSERT_TRUE(elsewhere);
  auto begun = Takeover::begin(*elsewhere);
  ASSERT_TRUE(begun);
  EXPECT_FALSE(begun->has_value());
}

TEST_F(TakeoverTest, FindsNobodyBehindTheLeftoverOfACrash) {
  auto crashed = StateDir::open(root / "crashed");
  ASSERT_TRUE(crashed);
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  {
    auto left = TakeoverDoor::open(*crashed);
    ASSERT_TRUE(left);
    std::filesystem::rename(root / "crashed" / "control.sock", root / "crashed" / "kept");
  }
  std::filesystem::rename(root / "crashed" / "kept", root / "crashed" / "control.sock");
  ::close(fd);
  auto begun = Takeover::begin(*crashed);
  ASSERT_TRUE(begun);
  EXPECT_FALSE(begun->has_value());
  EXPECT_TRUE(TakeoverDoor::open(*crashed));
}

}  // namespace
}  // namespace headroom::server
