#include "headroom/net/poller.h"

#include <atomic>
#include <optional>
#include <random>
#include <thread>

#include "headroom/net/listener.h"
#include "headroom/net/net_fixture.h"

namespace headroom::net {
namespace {

constexpr Duration kPatience = 20s;  // only ever waited for when something is broken

// The far end of a connection, by plain calls: what it does has happened when the call returns.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { close(); }

  void send(std::string_view data, int flags = 0) const {
    HR_ASSERT(::send(fd_, data.data(), data.size(), flags | MSG_NOSIGNAL) == std::ssize(data));
  }
  // As much as the socket takes; the bytes sent.
  [[nodiscard]] std::size_t fill(std::size_t most) const {
    const std::string data(4096, 'x');
    std::size_t sent = 0;
    while (sent < most) {
      const ssize_t n =
          ::send(fd_, data.data(), std::min(data.size(), most - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    return sent;
  }
  // Reads until nothing is there; the bytes read.
  [[nodiscard]] std::size_t take() const {
    std::array<char, 65536> into{};
    std::size_t all = 0;
    for (ssize_t n = 0; (n = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT)) > 0;)
      all += static_cast<std::size_t>(n);
    return all;
  }
  void end() const { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

// A stream whose peer is made of plain calls.
struct Connected {
  explicit Connected(TaskGroup& group, std::pair<int, int> sockets = connected_sockets())
      : peer(sockets.first), stream(group, sockets.second, AF_INET) {
    stream.expire_at(Clock::now() + kPatience);
  }
  Peer peer;
  Stream stream;
};

// All that comes before the end, read by spans of `room` bytes.
Task<Result<std::string>> read_to_end(Stream& stream, std::size_t room) {
  std::string all;
  std::string piece(room, '\0');
  for (;;) {
    const std::span<char> into(piece);
    auto read = co_await stream.read_some(into);
    if (!read) co_return pass(read);
    if (*read == 0) co_return all;
    all.append(piece, 0, *read);
  }
}

class PollerTest : public NetTest {};
using FairnessTest = PollerTest;

// --- Who always has something to do lets others go first ---

TEST_F(FairnessTest, AStreamThatAlwaysHasDataStarvesNeitherAnotherOneNorPostedWorkNorADeadline) {
  run([](TaskGroup& group) -> Task<> {
    Connected busy(group);
    Connected other(group);
    const std::size_t size = busy.peer.fill(60000);
    std::size_t reads = 0;
    std::optional<std::size_t> answered;
    std::optional<std::size_t> posted;
    auto ask = [&]() -> Task<> {
      EXPECT_TRUE(co_await read_bytes(other.stream, 1));
      answered = reads;
    };
    EXPECT_TRUE(group.spawn(ask));
    co_await asio::post(group.worker().executor(), kToken);
    other.peer.send("?");
    group.worker().post([&] { posted = reads; });
    std::array<char, 1> byte{};
    const std::span<char> into(byte);
    while (reads < size) {
      EXPECT_TRUE(co_await busy.stream.read_some(into));
      ++reads;
    }
    EXPECT_LE(answered.value_or(size), 64U);
    EXPECT_LE(posted.value_or(size), 64U);
  });
}

TEST_F(FairnessTest, ADoorThatAlwaysHasClientsStarvesNoConnection) {
  run([](TaskGroup& group) -> Task<> {
    constexpr int kClients = 1000;
    auto door = Listener::open(loopback(), 1).value();
    const Endpoint at = door.endpoint();
    std::vector<int> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      HR_ASSERT(::connect(clients.back(), at.data(), at.size()) == 0);
    }
    Connected other(group);
    other.peer.send("?");
    int accepted = 0;
    std::optional<int> answered;
    Event all(group);
    TaskGroup accepting(group.worker());
    auto take = [&](Listener::Accepted one) {
      ::close(one.fd);
      if (++accepted == kClients) all.set();
    };
    EXPECT_TRUE(
        accepting.spawn([&door, &accepting, take] { return door.accept(accepting, take); }));
    auto ask = [&]() -> Task<> {
      EXPECT_TRUE(co_await other.stream.wait_readable());
      EXPECT_TRUE(co_await read_bytes(other.stream, 1));
      EXPECT_EQ(co_await read_bytes(other.stream, 1), "!");
      answered = accepted;
    };
    EXPECT_TRUE(group.spawn(ask));
    co_await asio::post(group.worker().executor(), kToken);
    other.peer.send("!");
    co_await all.wait(Clock::now() + kPatience);
    EXPECT_EQ(accepted, kClients);
    EXPECT_LE(answered.value_or(kClients), 300);
    accepting.stop();
    co_await accepting.join();
    for (const int fd : clients) ::close(fd);
  });
}

TEST_F(FairnessTest, AnIdleWorkerKeepsADeadlineToATick) {
  Duration best = 60s;
  for (int i = 0; i < 5; ++i) {  // the best of some: the machine may be busy
    run([&](TaskGroup& group) -> Task<> {
      const TimePoint began = Clock::now();
      for (int sleeps = 0; sleeps < 4; ++sleeps) co_await sleep(group, 1ms);
      best = std::min(best, elapsed(began, Clock::now()));
    });
  }
  EXPECT_LT(best, Wheel::kTick * 6);
}

// --- Ends behind data ---

TEST_F(PollerTest, DataAndAnEndThatCameBeforeTheFirstRead) {
  run([](TaskGroup& group) -> Task<> {
    Connected one(group);
    one.peer.send("hello");
    one.peer.end();
    EXPECT_EQ(co_await read_to_end(one.stream, 4096), "hello");
  });
}

TEST_F(PollerTest, AnEndThatCameBetweenTheEventOfTheDataAndItsRead) {
  run([](TaskGroup& group) -> Task<> {
    Connected one(group);
    auto reader = [&]() -> Task<> {
      EXPECT_TRUE(co_await one.stream.wait_readable());
      one.peer.end();  // its event has not been told
      EXPECT_EQ(co_await read_to_end(one.stream, 4096), "hello");
    };
    EXPECT_TRUE(group.spawn(reader));
    co_await asio::post(group.worker().executor(), kToken);
    one.peer.send("hello");
    co_await group.join();
  });
}

TEST_F(PollerTest, MoreDataThatCameBetweenAShortReadAndTheWait) {
  run([](TaskGroup& group) -> Task<> {
    Connected one(group);
    one.peer.send("hello");
    EXPECT_EQ(co_await read_bytes(one.stream, 5), "hello");
    std::array<char, 100> room{};
    const std::span<char> into(room);
    one.peer.send("a");
    EXPECT_EQ(co_await one.stream.read_some(into), 1U);  // short
    one.peer.send("b");
    EXPECT_EQ(co_await one.stream.read_some(into), 1U);
    one.peer.end();
    EXPECT_EQ(co_await one.stream.read_some(into), 0U);
    EXPECT_EQ(co_await one.stream.read_some(into), 0U);
  });
}

TEST_F(PollerTest, AResetBehindDataIsAnErrorAndNoHang) {
  run([](TaskGroup& group) -> Task<> {
    for (int i = 0; i < 3; ++i) {
      Connected one(group);
      one.peer.send("hello");
      if (i == 1) EXPECT_EQ(co_await read_bytes(one.stream, 5), "hello");
      if (i == 2) EXPECT_TRUE(co_await one.stream.wait_readable());
      one.peer.reset();
      auto all = co_await read_to_end(one.stream, 4096);
      EXPECT_EQ(all.error().code, Errc::unavailable) << i;
    }
  });
}

// A recv() stops at an urgent byte though more lies behind it: less than asked for is then not all.
TEST_F(PollerTest, UrgentDataHidesNothingBehindIt) {
  run([](TaskGroup& group) -> Task<> {
    for (const bool waits : {false, true}) {
      Connected one(group);
      std::string all;
      auto reader = [&]() -> Task<> {
        all = (co_await read_bytes(one.stream, 12)).value_or("nothing");
      };
      if (waits) EXPECT_TRUE(group.spawn(reader));
      co_await asio::post(group.worker().executor(), kToken);
      one.peer.send("before");
      one.peer.send("!", MSG_OOB);
      one.peer.send("behind");
      if (!waits) EXPECT_TRUE(group.spawn(reader));
      co_await group.join();
      EXPECT_EQ(all, "beforebehind");
    }
  });
}

TEST_F(PollerTest, NoByteAndNoEndIsLostHoweverSendingAndReadingMeet) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    std::vector<std::size_t> sizes(1 + random() % 20);
    for (std::size_t& size : sizes) size = 1 + random() % (round % 3 == 0 ? 20000 : 50);
    const std::size_t room = 1 + random() % 30000;
    const unsigned pause = random() % 3;
    run([&](TaskGroup& group) -> Task<> {
      auto sockets = connected_sockets();
      std::string sent;
      for (const std::size_t size : sizes) sent.append(size, static_cast<char>('a' + size % 26));
      Connected one(group, sockets);
      const int blocking = 0;
      ::ioctl(sockets.first, FIONBIO, &blocking);
      std::thread sender([&] {
        std::size_t at = 0;
        for (const std::size_t size : sizes) {
          one.peer.send(std::string_view(sent).substr(at, size));
          at += size;
          for (unsigned i = 0; i < pause * 200; ++i)
            std::atomic_signal_fence(std::memory_order_seq_cst);
        }
        one.peer.end();
      });
      auto all = co_await read_to_end(one.stream, room);
      EXPECT_TRUE(all == sent) << "round " << round;
      sender.join();
    });
    if (HasFailure()) return;
  }
}

// --- Both directions ---

TEST_F(PollerTest, OneEventWakesTheReaderAndTheWriter) {
  run([](TaskGroup& group) -> Task<> {
    for (const bool reset : {false, true}) {
      Connected one(group);
      const std::string much(32U << 20U, 'y');
      std::optional<Result<>> wrote;
      std::optional<Result<std::string>> read;
      auto writer = [&]() -> Task<> { wrote = co_await one.stream.write(much); };
      auto reader = [&]() -> Task<> { read = co_await read_bytes(one.stream, 1); };
      EXPECT_TRUE(group.spawn(writer));
      EXPECT_TRUE(group.spawn(reader));
      for (int i = 0; i < 20; ++i) co_await asio::post(group.worker().executor(), kToken);
      EXPECT_FALSE(wrote || read);
      if (reset) {
        one.peer.reset();
        co_await group.join();
        EXPECT_EQ(wrote->error().code, Errc::unavailable);
        EXPECT_EQ(read->error().code, Errc::unavailable);
        continue;
      }
      one.peer.send("r");  // both ready before the worker looks
      std::size_t taken = one.peer.take();
      while (taken < much.size()) {
        co_await asio::post(group.worker().executor(), kToken);
        taken += one.peer.take();
      }
      co_await group.join();
      EXPECT_TRUE(*wrote);
      EXPECT_EQ(*read, "r");
    }
  });
}

TEST_F(PollerTest, WhoIsWokenMayEndTheStreamUnderTheOther) {
  run([](TaskGroup& group) -> Task<> {
    Connected one(group);
    const std::string much(32U << 20U, 'y');
    std::optional<Errc> wrote;
    auto writer = [&]() -> Task<> { wrote = (co_await one.stream.write(much)).error().code; };
    auto reader = [&]() -> Task<> {
      EXPECT_TRUE(co_await read_bytes(one.stream, 1));
      one.stream.close();
    };
    EXPECT_TRUE(group.spawn(writer));
    EXPECT_TRUE(group.spawn(reader));
    for (int i = 0; i < 20; ++i) co_await asio::post(group.worker().executor(), kToken);
    one.peer.send("r");
    EXPECT_GT(one.peer.take(), 0U);
    co_await group.join();
    EXPECT_EQ(wrote, Errc::cancelled);
  });
}

TEST_F(PollerTest, ADeadlineEndsTheWaitOfItsDirectionOnly) {
  run([](TaskGroup& group) -> Task<> {
    for (const Direction direction : {Direction::read, Direction::write}) {
      Connected one(group);
      const std::string much(32U << 20U, 'y');
      std::optional<Result<>> wrote;
      std::optional<Result<std::string>> read;
      auto writer = [&]() -> Task<> { wrote = co_await one.stream.write(much); };
      auto reader = [&]() -> Task<> { read = co_await read_bytes(one.stream, 1); };
      EXPECT_TRUE(group.spawn(writer));
      EXPECT_TRUE(group.spawn(reader));
      const TimePoint soon = Clock::now() + 40ms;
      if (direction == Direction::read) {
        one.stream.expire_reads_at(soon);
      } else {
        one.stream.expire_writes_at(soon);
      }
      while (!wrote && !read) co_await sleep(group, 1ms);
      EXPECT_EQ(wrote.has_value(), direction == Direction::write);
      EXPECT_EQ(read.has_value(), direction == Direction::read);
      one.stream.abort(Errc::overloaded);
      co_await group.join();
      const bool reads = direction == Direction::read;
      EXPECT_EQ(read->error().code, reads ? Errc::timeout : Errc::overloaded);
      EXPECT_EQ(wrote->error().code, reads ? Errc::overloaded : Errc::timeout);
    }
  });
}

TEST_F(PollerTest, AReaderThatLetsOthersGoFirstSeesThatItsStreamWasClosed) {
  run([](TaskGroup& group) -> Task<> {
    Connected one(group);
    EXPECT_EQ(one.peer.fill(1000), 1000U);
    std::optional<Errc> ended;
    int reads = 0;
    auto reader = [&]() -> Task<> {
      for (;;) {
        auto byte = co_await read_bytes(one.stream, 1);
        if (!byte) {
          ended = byte.error().code;
          co_return;
        }
        ++reads;
      }
    };
    EXPECT_TRUE(group.spawn(reader));
    co_await asio::post(group.worker().executor(), kToken);  // it has had its turn
    EXPECT_GT(reads, 0);
    EXPECT_LT(reads, 1000);
    one.stream.close();
    const int reuses_the_number = ::dup(STDERR_FILENO);
    co_await group.join();
    EXPECT_EQ(ended, Errc::cancelled);
    ::close(reuses_the_number);
  });
}

// --- Watches by themselves ---

TEST_F(PollerTest, AWatchThatEndsInTheMidstOfARoundGetsNoEventOfIt) {
  run([](TaskGroup& group) -> Task<> {
    for (int round = 0; round < 50; ++round) {
      const auto a = connected_sockets();
      const auto b = connected_sockets();
      auto first = std::make_unique<Watch>(group.worker(), a.second);
      auto second = std::make_unique<Watch>(group.worker(), b.second);
      int woken = 0;
      const auto wait = [&](std::unique_ptr<Watch>& mine, std::unique_ptr<Watch>& other) -> Task<> {
        mine->drained(Direction::read);
        co_await mine->wait(Direction::read);
        if (!mine) co_return;
        ++woken;
        other->cancel();
        other.reset();
        other = std::make_unique<Watch>(group.worker(), -1);  // takes its place in memory
      };
      const auto one = [&] { return wait(first, second); };
      const auto two = [&] { return wait(second, first); };
      EXPECT_TRUE(group.spawn(one));
      EXPECT_TRUE(group.spawn(two));
      co_await asio::post(group.worker().executor(), kToken);
      Peer(a.first).send("x");  // both are ready, one round tells both
      Peer(b.first).send("x");
      co_await group.join();
      EXPECT_GE(woken, 1);
      first->detach();
      second->detach();
      ::close(a.second);
      ::close(b.second);
    }
  });
}

TEST_F(PollerTest, ACancelBeforeAWaitDoesNotEndIt) {
  run([](TaskGroup& group) -> Task<> {
    const auto sockets = connected_sockets();
    const Peer peer(sockets.first);
    Watch watch(group.worker(), sockets.second);
    watch.cancel();
    watch.drained(Direction::read);
    bool woken = false;
    auto waiter = [&]() -> Task<> {
      co_await watch.wait(Direction::read);
      woken = true;
    };
    EXPECT_TRUE(group.spawn(waiter));
    for (int i = 0; i < 5; ++i) co_await asio::post(group.worker().executor(), kToken);
    EXPECT_FALSE(woken);
    peer.send("x");
    co_await group.join();
    EXPECT_TRUE(woken);
    watch.detach();
    ::close(sockets.second);
  });
}

TEST_F(PollerTest, AWatchOfNoDescriptorMakesNobodyWait) {
  run([](TaskGroup& group) -> Task<> {
    Watch watch(group.worker(), -1);
    EXPECT_FALSE(watch.attached());
    watch.drained(Direction::read);
    co_await watch.wait(Direction::read);
    watch.drained(Direction::write);
    co_await watch.wait(Direction::write);
  });
}

// --- Waking ---

// A lost wake-up leaves the poller in a wait that nothing ends.
TEST(Poller, NoWakeUpOfManyThreadsIsLost) {
  constexpr int kThreads = 4;
  constexpr int kWakes = 20000;
  Poller poller;
  std::array<std::atomic<int>, kThreads> posted{};
  std::array<std::atomic<int>, kThreads> seen{};
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kWakes; ++i) {
        posted[t] = i;
        poller.wake();
        if (static_cast<std::size_t>(i) % (t + 1) == 0)
          seen[t].wait(i - 1);  // some wait for each answer, some run ahead
      }
    });
  }
  const TimePoint began = Clock::now();
  for (bool all = false; !all;) {
    poller.wait(kPatience);
    poller.round();
    all = true;
    for (std::size_t t = 0; t < kThreads; ++t) {
      seen[t] = posted[t].load();
      seen[t].notify_all();
      all = all && seen[t] == kWakes;
    }
    ASSERT_LT(elapsed(began, Clock::now()), kPatience);
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(PollerTest, WorkPostedByManyThreadsRunsInTheOrderOfEach) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 20000;
  std::array<int, kThreads> next{};  // of the worker
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) worker().post([&next, t, i] { EXPECT_EQ(next[t]++, i); });
    });
  }
  for (auto& thread : threads) thread.join();
  worker().run_and_wait([&] {
    for (const int count : next) EXPECT_EQ(count, kPosts);
  });
}

// --- Buffers ---

TEST_F(PollerTest, AnEmptyBufferHoldsNoMemoryWhileNothingHasCome) {
  run([](TaskGroup& group) -> Task<> {
    Connected one(group);
    Buffer in(group.worker().buffers());
    std::optional<Result<std::size_t>> read;
    auto reader = [&]() -> Task<> { read = co_await one.stream.read_into(in, 4096); };
    const auto settle = [&]() -> Task<> {
      for (int i = 0; i < 10; ++i) co_await asio::post(group.worker().executor(), kToken);
    };
    EXPECT_TRUE(group.spawn(reader));
    co_await settle();
    EXPECT_EQ(in.capacity(), 0U);
    one.peer.send("hello");
    co_await group.join();
    EXPECT_EQ(*read, 5U);
    EXPECT_EQ(in.data(), "hello");

    read.reset();
    in.consume(5);  // what it held is given back before it waits
    EXPECT_TRUE(group.spawn(reader));
    co_await settle();
    EXPECT_EQ(in.capacity(), 0U);
    one.peer.send("again");
    co_await group.join();

    read.reset();
    in.consume(1);  // what it holds stays
    EXPECT_TRUE(group.spawn(reader));
    co_await settle();
    EXPECT_EQ(in.data(), "gain");
    one.peer.end();
    co_await group.join();
    EXPECT_EQ(*read, 0U);
    EXPECT_EQ(in.data(), "gain");
  });
}

TEST_F(PollerTest, AnAbortedReadLeavesTheBufferWithoutMemory) {
  run([](TaskGroup& group) -> Task<> {
    Connected one(group);
    Buffer in(group.worker().buffers());
    std::optional<Result<std::size_t>> read;
    auto reader = [&]() -> Task<> { read = co_await one.stream.read_into(in); };
    EXPECT_TRUE(group.spawn(reader));
    co_await asio::post(group.worker().executor(), kToken);
    one.stream.abort(Errc::timeout);
    co_await group.join();
    EXPECT_EQ(read->error().code, Errc::timeout);
    EXPECT_EQ(in.capacity(), 0U);
  });
}

TEST_F(PollerTest, WhatIsFoundWhileTheQueueIsLongIsTold) {
  run([](TaskGroup& group) -> Task<> {
    Connected one(group);
    std::optional<Result<std::size_t>> second;
    auto reader = [&]() -> Task<> {
      std::array<char, 64> bytes{};
      const std::span<char> into(bytes);
      EXPECT_EQ((co_await one.stream.read_some(into)).value_or(0), 1U);
      second = co_await one.stream.read_some(into);  // waits for an edge
    };
    one.peer.send("a");
    EXPECT_TRUE(group.spawn(reader));
    co_await asio::post(group.worker().executor(), kToken);
    co_await asio::post(group.worker().executor(), kToken);
    // Of these the worker does some between two looks at its descriptors, and the telling stands behind all of them.
    for (int i = 0; i < 10000; ++i) {
      group.worker().post([&one, i] {
        if (i == 0) one.peer.send("b");
      });
    }
    co_await group.join();
    EXPECT_EQ(second->value_or(0), 1U);
  });
}

}  // namespace
}  // namespace headroom::net
