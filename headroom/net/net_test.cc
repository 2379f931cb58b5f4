#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <fstream>
#include <future>
#include <latch>
#include <set>

#include "headroom/base/hash.h"
#include "headroom/net/listener.h"
#include "headroom/net/net_fixture.h"
#include "headroom/net/offload.h"
#include "headroom/net/resolver.h"
#include "headroom/net/wheel.h"

namespace headroom::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// --- the wheel of deadlines ---

class Alarm final : public WheelEntry {
 public:
  Alarm(Wheel& wheel, std::function<void(Alarm&)> on_expired)
      : WheelEntry(wheel), on_expired_(std::move(on_expired)) {}

 private:
  void expired() override { on_expired_(*this); }
  std::function<void(Alarm&)> on_expired_;
};

TEST(Wheel, ExpiresWhatIsDueWithinOneTickAndNothingEarlyWhateverIsSetClearedAndEnded) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    const TimePoint start{};
    TimePoint now = start;
    Wheel wheel(start);
    std::vector<std::unique_ptr<Alarm>> alarms(200);
    std::map<Alarm*, TimePoint> model;  // what must still expire
    const auto some_time = [&] {
      return now + std::chrono::milliseconds(random.below(random.below(8) == 0 ? 60'000 : 500));
    };
    const auto on_expired = [&](Alarm& alarm) {
      ASSERT_TRUE(model.contains(&alarm));
      ASSERT_LE(model[&alarm], now) << "early";
      model.erase(&alarm);
      if (random.below(3) == 0) {  // sets itself again
        model[&alarm] = some_time();
        alarm.set(model[&alarm]);
      }
    };
    for (int step = 0; step < 5'000; ++step) {
      auto& alarm = alarms[random.below(alarms.size())];
      switch (random.below(5)) {
        case 0:
          if (alarm) model.erase(alarm.get());
          alarm.reset();
          break;
        case 1:
          if (alarm) model.erase(alarm.get());
          if (alarm) alarm->clear();
          break;
        default:
          if (!alarm) alarm = std::make_unique<Alarm>(wheel, on_expired);
          model[alarm.get()] = some_time();
          alarm->set(model[alarm.get()]);
      }
      if (random.below(4) == 0) {
        now += std::chrono::microseconds(random.below(random.below(50) == 0 ? 20'000'000 : 80'000));
        wheel.advance(now);
        for (const auto& [entry, due] : model)
          ASSERT_GT(due + Wheel::kTick, now) << "late, seed " << seed;
      }
    }
    now += 100s;
    for (int i = 0; i < 50 && !wheel.empty(); ++i, now += 100s) wheel.advance(now);
    alarms.clear();
    EXPECT_TRUE(wheel.empty());
  }
}

TEST(Wheel, AnEntryMayEndAnotherOneOfItsSlotWhileItExpires) {
  Wheel wheel(TimePoint{});
  std::unique_ptr<Alarm> victim;
  bool victim_expired = false;
  int expired = 0;
  Alarm before(wheel, [&](Alarm&) { victim.reset(), ++expired; });
  victim = std::make_unique<Alarm>(wheel, [&](Alarm&) { victim_expired = true; });
  Alarm after(wheel, [&](Alarm&) { victim.reset(), ++expired; });
  for (Alarm* alarm : {&before, victim.get(), &after}) alarm->set(TimePoint{} + 10ms);
  wheel.advance(TimePoint{} + 1s);
  EXPECT_EQ(expired, 2);
  EXPECT_FALSE(victim_expired);
}

TEST(Wheel, GoesOnBehindAnEntryThatThrows) {
  Wheel wheel(TimePoint{});
  int expired = 0;
  Alarm before(wheel, [&](Alarm&) { ++expired; });
  Alarm bad(wheel, [&](Alarm&) { throw std::bad_alloc(); });
  Alarm after(wheel, [&](Alarm&) { ++expired; });
  Alarm later(wheel, [&](Alarm&) { ++expired; });
  for (Alarm* alarm : {&before, &bad, &after}) alarm->set(TimePoint{} + 10ms);
  later.set(TimePoint{} + 1s);
  EXPECT_THROW(wheel.advance(TimePoint{} + 1s), std::bad_alloc);
  EXPECT_EQ(expired, 1);
  wheel.advance(TimePoint{} + 2s);
  EXPECT_EQ(expired, 3);
  EXPECT_TRUE(wheel.empty());
}

// --- workers ---

TEST(Worker, GoesOnWhenWhatItRunsThrowsAndCountsIt) {
  Workers workers(1);
  workers.start();
  Worker& worker = workers[0];
  int done = 0;
  worker.post([] { throw std::bad_alloc(); });
  worker.post([&] { ++done; });
  std::optional<Alarm> alarm;
  std::latch rung(1);
  worker.run_and_wait([&] {
    alarm.emplace(worker.wheel(), [&](Alarm& self) {
      if (worker.exceptions() == 1) {
        self.set(Clock::now());
        throw std::bad_alloc();
      }
      rung.count_down();
    });
    alarm->set(Clock::now());
  });
  rung.wait();
  EXPECT_EQ(done, 1);
  EXPECT_EQ(worker.exceptions(), 2U);
  worker.run_and_wait([&] { alarm.reset(); });
}

// --- task groups and events ---

class TaskGroupTest : public NetTest {};

TEST_F(TaskGroupTest, AStopEndsEveryWaitAndEveryLaterOne) {
  run([](TaskGroup& group) -> Task<> {
    Pair pair(group);
    Event event(group);
    int cancelled = 0;
    const auto count = [&](Errc code) { cancelled += code == Errc::cancelled ? 1 : 0; };
    auto sleeper = [&]() -> Task<> { count((co_await sleep(group, 60s)).error().code); };
    auto waiter = [&]() -> Task<> { count((co_await event.wait()).error().code); };
    auto reader = [&]() -> Task<> { count((co_await pair.server.wait_readable()).error().code); };
    EXPECT_TRUE(group.spawn(sleeper));
    EXPECT_TRUE(group.spawn(waiter));
    EXPECT_TRUE(group.spawn(reader));
    co_await asio::post(group.worker().executor(), kToken);
    group.stop();
    co_await group.join();
    EXPECT_EQ(cancelled, 3);

    EXPECT_EQ((co_await sleep(group, 60s)).error().code, Errc::cancelled);
    EXPECT_EQ((co_await event.wait()).error().code, Errc::cancelled);
    std::array<char, 1> byte{};
    const std::span<char> room(byte);
    EXPECT_EQ((co_await pair.server.read_some(room)).error().code, Errc::cancelled);
    EXPECT_EQ((co_await pair.server.write("x")).error().code, Errc::cancelled);
    const Endpoint to = loopback(1);
    auto connected = co_await Stream::connect(group, to, kNever);
    EXPECT_EQ(connected.error().code, Errc::cancelled);
    auto nothing = []() -> Task<> { co_return; };
    EXPECT_FALSE(group.spawn(nothing));
    Pair late(group);
    EXPECT_EQ((co_await late.server.read_some(room)).error().code, Errc::cancelled);
  });
}

TEST_F(TaskGroupTest, SpawnRefusesOverTheLimitAndTakesAgainLater) {
  run([](TaskGroup& outer) -> Task<> {
    TaskGroup group(outer.worker(), 2);
    Event go(group);
    auto wait = [&]() -> Task<> { (void)co_await go.wait(); };
    auto brief = []() -> Task<> { co_return; };
    EXPECT_TRUE(group.spawn(wait));
    EXPECT_TRUE(group.spawn(brief));
    EXPECT_FALSE(group.spawn(brief));
    (void)co_await sleep(outer, 1ms);
    EXPECT_EQ(group.running(), 1U);
    EXPECT_TRUE(group.spawn(brief));
    go.set();
    co_await group.join();
    EXPECT_EQ(group.running(), 0U);
  });
}

TEST_F(TaskGroupTest, AnEventRemembersOneSetAndTimesOut) {
  run([](TaskGroup& group) -> Task<> {
    Event event(group);
    event.set();
    event.set();
    EXPECT_TRUE(co_await event.wait());
    const TimePoint began = Clock::now();
    const TimePoint due = began + 50ms;
    EXPECT_EQ((co_await event.wait(due)).error().code, Errc::timeout);
    EXPECT_GE(elapsed(began, Clock::now()), 50ms);
    auto setter = [&]() -> Task<> {
      (void)co_await sleep(group, 1ms);
      event.set();
    };
    EXPECT_TRUE(group.spawn(setter));
    const TimePoint later = Clock::now() + 10s;
    EXPECT_TRUE(co_await event.wait(later));
  });
}

// --- offload ---

class OffloadTest : public NetTest {};

TEST_F(OffloadTest, WorkRunsElsewhereAndItsAnswerComesBackToTheWorker) {
  Offload offload("test", 1);
  run([&](TaskGroup& group) -> Task<> {
    const auto here = std::this_thread::get_id();
    auto work = [] { return std::this_thread::get_id(); };
    auto there = co_await offload.run(group.worker(), work);
    EXPECT_TRUE(there);
    EXPECT_NE(*there, here);
    EXPECT_EQ(std::this_thread::get_id(), here);
  });
}

TEST_F(OffloadTest, TooMuchWaitingWorkIsRefusedAndWhatWasAcceptedIsRun) {
  std::atomic<int> done = 0;
  std::latch running(1);
  std::latch release(1);
  {
    Offload offload("test", 1, 2);
    EXPECT_TRUE(offload.submit([&] {
      running.count_down();
      release.wait();
      ++done;
    }));
    running.wait();
    EXPECT_TRUE(offload.submit([&] { ++done; }));
    EXPECT_TRUE(offload.submit([&] { ++done; }));
    EXPECT_FALSE(offload.submit([&] { ++done; }));
    offload.submit_always([&] { ++done; });
    run([&](TaskGroup& group) -> Task<> {
      auto work = [] { return 1; };
      auto refused = co_await offload.run(group.worker(), work);
      EXPECT_EQ(refused.error().code, Errc::overloaded);
    });
    release.count_down();
  }
  EXPECT_EQ(done, 4);
}

// --- streams ---

class StreamTest : public NetTest {};

TEST_F(StreamTest, ATimedOutReadCanStillWrite) {
  run([](TaskGroup& group) -> Task<> {
    Pair pair(group);
    pair.server.expire_at(Clock::now() + 40ms);
    EXPECT_EQ((co_await read_bytes(pair.server, 1)).error().code, Errc::timeout);
    EXPECT_EQ((co_await pair.server.write("x")).error().code, Errc::timeout);
    pair.server.expire_at(Clock::now() + 5s);
    EXPECT_TRUE(co_await pair.server.write("late"));
    EXPECT_EQ((co_await read_bytes(pair.client, 4)).value_or(""), "late");
  });
}

TEST_F(StreamTest, ADeadlineOfOneDirectionDoesNotEndTheOther) {
  run([](TaskGroup& group) -> Task<> {
    Pair pair(group);
    const std::string much(8U << 20U, 'x');
    auto writer = [&]() -> Task<> { EXPECT_TRUE(co_await pair.server.write(much)); };
    EXPECT_TRUE(group.spawn(writer));
    pair.server.expire_reads_at(Clock::now() + 40ms);
    EXPECT_EQ((co_await read_bytes(pair.server, 1)).error().code,
              Errc::timeout);  // while the write is waiting
    EXPECT_TRUE(co_await pair.client.write("y"));
    pair.server.expire_reads_at(kNever);
    pair.server.expire_writes_at(kNever);
    EXPECT_EQ((co_await read_bytes(pair.client, much.size())).value_or("").size(), much.size());
    co_await group.join();
    EXPECT_EQ((co_await read_bytes(pair.server, 1)).value_or(""), "y");
  });
  run([](TaskGroup& group) -> Task<> {
    Pair pair(group);
    const std::string much(8U << 20U, 'x');
    auto reader = [&]() -> Task<> {
      EXPECT_EQ((co_await read_bytes(pair.server, 1)).value_or(""), "y");
    };
    EXPECT_TRUE(group.spawn(reader));
    pair.server.expire_writes_at(Clock::now() + 40ms);
    EXPECT_EQ((co_await pair.server.write(much)).error().code,
              Errc::timeout);  // while the read is waiting
    EXPECT_TRUE(co_await pair.client.write("y"));
    co_await group.join();
  });
}

TEST_F(StreamTest, AResetIsSeenAsOne) {
  run([](TaskGroup& group) -> Task<> {
    Pair pair(group);
    EXPECT_TRUE(co_await pair.server.write("cut"));
    EXPECT_EQ((co_await read_bytes(pair.client, 3)).value_or(""), "cut");
    pair.server.reset();
    EXPECT_EQ((co_await read_bytes(pair.client, 1)).error().code, Errc::unavailable);
  });
}

TEST_F(StreamTest, AnAbortIsFinal) {
  run([](TaskGroup& group) -> Task<> {
    Pair pair(group);
    auto reader = [&]() -> Task<> {
      EXPECT_EQ((co_await read_bytes(pair.server, 1)).error().code, Errc::overloaded);
    };
    EXPECT_TRUE(group.spawn(reader));
    co_await asio::post(group.worker().executor(), kToken);
    pair.server.abort(Errc::overloaded);
    pair.server.abort(Errc::cancelled);
    co_await group.join();
    pair.server.expire_at(Clock::now() + 5s);
    EXPECT_EQ((co_await pair.server.write("x")).error().code, Errc::overloaded);
    EXPECT_EQ((co_await read_bytes(pair.server, 1)).error().code, Errc::overloaded);
  });
}

TEST_F(StreamTest, EightPiecesAndMuchMoreThanTheSocketTakesArriveInOrder) {
  run([](TaskGroup& group) -> Task<> {
    Pair pair(group);
    std::vector<std::string> parts;
    std::string all;
    for (std::size_t i = 0; i < Gather::kMax; ++i) {
      parts.emplace_back(i == 3 ? 8U << 20U : i, static_cast<char>('a' + i));
      all += parts.back();
    }
    auto writer = [&]() -> Task<> {
      Gather gather;
      for (const std::string& part : parts) gather.add(part);
      EXPECT_EQ(gather.left(), all.size());
      EXPECT_TRUE(co_await pair.server.write(gather));
      EXPECT_EQ(gather.left(), 0U);
      pair.server.finish_writing();
    };
    EXPECT_TRUE(group.spawn(writer));
    auto got = co_await read_bytes(pair.client, all.size() + 1);
    EXPECT_TRUE(got && *got == all);
  });
}

TEST_F(StreamTest, ConnectingIsRefusedOrTimesOutWithTheAddressNamed) {
  run([](TaskGroup& group) -> Task<> {
    Endpoint closed;
    {
      const ListeningSocket gone;
      closed = gone.endpoint();
    }
    auto refused = co_await Stream::connect(group, closed, kNever);
    EXPECT_EQ(refused.error().code, Errc::unavailable);
    EXPECT_THAT(refused.error().message, HasSubstr(closed.to_string() + ": Connection refused"));

    const ListeningSocket full(0);  // a queue of one, which the first connection fills
    const Endpoint to = full.endpoint();
    auto first = co_await Stream::connect(group, to, kNever);
    EXPECT_TRUE(first);
    const TimePoint due = Clock::now() + 60ms;
    auto late = co_await Stream::connect(group, to, due);
    EXPECT_EQ(late.error().code, Errc::timeout);
  });
}

TEST_F(StreamTest, AnIdleStreamSaysWhenItsPeerHasClosedOrSentSomething) {
  run([](TaskGroup& group) -> Task<> {
    Pair pair(group);
    EXPECT_TRUE(pair.client.idle_and_open());
    EXPECT_TRUE(co_await pair.server.write("x"));
    EXPECT_TRUE(co_await pair.client.wait_readable());
    EXPECT_FALSE(pair.client.idle_and_open());
    EXPECT_TRUE(co_await read_bytes(pair.client, 1));
    EXPECT_TRUE(pair.client.idle_and_open());
    pair.server.close();
    EXPECT_TRUE(co_await pair.client.wait_readable());
    EXPECT_FALSE(pair.client.idle_and_open());
  });
}

// --- listeners ---

class ListenerTest : public NetTest {
 protected:
  // Accepts on both workers while `connect` runs.
  void accepting(Listener& listener, const std::function<void()>& connect) {
    std::array<std::unique_ptr<TaskGroup>, 2> groups;
    for (std::size_t i = 0; i < 2; ++i) {
      worker(i).run_and_wait([&] {
        groups[i] = std::make_unique<TaskGroup>(worker(i));
        auto accept = [&listener, this, group = groups[i].get(), i] {
          return listener.accept(*group, [this, i](Listener::Accepted accepted) {
            ++accepted_[i];
            ::close(accepted.fd);
          });
        };
        EXPECT_TRUE(groups[i]->spawn(accept));
      });
    }
    connect();
    for (std::size_t i = 0; i < 2; ++i) {
      worker(i).run_and_wait([&] { groups[i]->stop(); });
      for (bool running = true; running;)
        worker(i).run_and_wait([&] { running = groups[i]->running() > 0; });
      worker(i).run_and_wait([&] { groups[i].reset(); });
    }
  }
  // Connects `times` times and waits until all are accepted.
  void connect(const Endpoint& to, int times) {
    const int before = accepted();
    for (int i = 0; i < times; ++i) {
      const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
      EXPECT_EQ(::connect(fd, to.data(), to.size()), 0);
      ::close(fd);
    }
    for (int i = 0; i < 500 && accepted() < before + times; ++i) std::this_thread::sleep_for(10ms);
    EXPECT_EQ(accepted(), before + times);
  }
  [[nodiscard]] int accepted() const { return accepted_[0] + accepted_[1]; }

  std::array<std::atomic<int>, 2> accepted_{};
};

TEST_F(ListenerTest, PortZeroIsOneFreePortSharedByAllWorkers) {
  auto listener = Listener::open(loopback(), 2);
  ASSERT_TRUE(listener);
  const Endpoint at = listener->endpoint();
  EXPECT_NE(at.port(), 0);
  EXPECT_EQ(listener->sockets().size(), 2U);
  for (const int fd : listener->sockets()) EXPECT_EQ(Endpoint::local_of(fd), at);
  accepting(*listener, [&] { connect(at, 200); });
  EXPECT_GT(accepted_[0], 0);
  EXPECT_GT(accepted_[1], 0);
}

TEST_F(ListenerTest, APortThatIsServedIsRefusedThoughItCouldBeShared) {
  auto first = Listener::open(loopback(), 2);
  ASSERT_TRUE(first);
  auto second = Listener::open(first->endpoint(), 2);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("Address already in use"));
  first->close();
  EXPECT_TRUE(Listener::open(first->endpoint(), 2));
}

TEST_F(ListenerTest, InheritedSocketsAreAllServedAlsoByFewerWorkers) {
  auto old = Listener::open(loopback(), 5);
  ASSERT_TRUE(old);
  std::vector<int> copies;
  for (const int fd : old->sockets()) copies.push_back(::dup(fd));
  auto fresh = Listener::open(old->endpoint(), 2, copies);
  ASSERT_TRUE(fresh);
  EXPECT_EQ(fresh->endpoint(), old->endpoint());
  old->close();
  accepting(*fresh, [&] { connect(fresh->endpoint(), 200); });
}

TEST_F(ListenerTest, AUnixPathIsTakenOverFromACrashButNotFromALivingServer) {
  char pattern[] = "/tmp/hr_net_XXXXXX";
  const std::string path = std::string(mkdtemp(pattern)) + "/door.sock";
  const Endpoint at = *Endpoint::unix_path(path);
  const int crashed = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(crashed, at.data(), at.size()), 0);
  ::close(crashed);  // leaves the file
  {
    auto listener = Listener::open(at, 2);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_FALSE(Listener::open(at, 2));
    accepting(*listener, [&] { connect(at, 50); });
  }
  struct stat status{};
  EXPECT_NE(::stat(path.c_str(), &status), 0) << "the path is left behind";
  std::ofstream(path) << "a file of someone else's";
  EXPECT_FALSE(Listener::open(at, 2));
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  ::unlink(path.c_str());
  ::rmdir(pattern);
}

// Runs in a child process: accepts until descriptors run out, and goes on once there are more.
bool accepting_recovers(Worker& worker) {
  constexpr std::size_t kClients = 30;
  auto listener = Listener::open(loopback(), 1);
  const Endpoint to = listener->endpoint();
  std::vector<int> clients(kClients);
  for (int& client : clients) {
    client = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(client, to.data(), to.size()) != 0) return false;
  }
  const rlimit few{static_cast<rlim_t>(clients.back()) + 6, 4096};
  if (::setrlimit(RLIMIT_NOFILE, &few) != 0) return false;
  std::unique_ptr<TaskGroup> group;
  std::vector<int> taken;
  const auto have = [&] {
    std::size_t count = 0;
    worker.run_and_wait([&] { count = taken.size(); });
    return count;
  };
  worker.run_and_wait([&] {
    group = std::make_unique<TaskGroup>(worker);
    auto accept = [&] {
      return listener->accept(*group,
                              [&](Listener::Accepted accepted) { taken.push_back(accepted.fd); });
    };
    HR_ASSERT(group->spawn(accept) == true);
  });
  std::this_thread::sleep_for(300ms);
  const std::size_t paused_at = have();
  const rlimit enough{4096, 4096};
  ::setrlimit(RLIMIT_NOFILE, &enough);
  for (int i = 0; i < 300 && have() < kClients; ++i) std::this_thread::sleep_for(10ms);
  const std::size_t at_last = have();
  worker.run_and_wait([&] { group->stop(); });
  for (bool running = true; running;) worker.run_and_wait([&] { running = group->running() > 0; });
  worker.run_and_wait([&] { group.reset(); });
  return paused_at > 0 && paused_at < kClients && at_last == kClients;
}

TEST_F(ListenerTest, AcceptingPausesWithoutDescriptorsAndRecovers) {
#ifdef HR_SANITIZED
  GTEST_SKIP() << "the sanitizers' own checks need descriptors";
#endif
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(::_exit(accepting_recovers(worker()) ? 0 : 1), ::testing::ExitedWithCode(0),
              "accepting pauses");
}

// --- names ---

// A DNS server on the loopback that knows "ttl-N.test" (two addresses, doubled, with N seconds), is silent about "silent.test" and denies
// the rest (RFC 1035 section 4).
class FakeDns {
 public:
  FakeDns() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const Endpoint at = loopback();
    HR_ASSERT(::bind(fd_, at.data(), at.size()) == 0);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  ~FakeDns() {
    thread_ = {};
    ::close(fd_);
  }
  [[nodiscard]] std::string address() const { return Endpoint::local_of(fd_).to_string(); }

 private:
  void serve(const std::stop_token& stop) const {
    while (!stop.stop_requested()) {
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, 20) <= 0) continue;
      std::array<char, 512> packet{};
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const ssize_t n = ::recvfrom(fd_, packet.data(), packet.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &size);
      const std::string reply = answer({packet.data(), static_cast<std::size_t>(n)});
      if (!reply.empty())
        ::sendto(fd_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
    }
  }
  static std::string answer(std::string_view query) {
    const std::size_t end = query.find('\0', 12) + 5;  // the question: a name, a type, a class
    const std::string_view label = query.substr(13, static_cast<unsigned char>(query[12]));
    const bool address = query[end - 3] == 1;  // A, not AAAA
    if (label == "silent") return {};
    const bool known = label.starts_with("ttl-");
    std::string reply(query.substr(0, 2));
    reply += known ? std::string("\x81\x80", 2) : std::string("\x81\x83", 2);
    const char answers = known && address ? 3 : 0;
    reply += std::string("\0\1\0", 3) + answers + std::string("\0\0\0\0", 4);
    reply += query.substr(12, end - 12);
    for (char i = 0; i < answers; ++i) {
      reply += std::string("\xc0\x0c\0\1\0\1\0\0\0", 9) +
               static_cast<char>(std::stoi(std::string(label.substr(4))));
      reply += std::string("\0\4\x0a\0\0", 5) + static_cast<char>(i / 2 + 1);
    }
    return reply;
  }

  int fd_;
  std::jthread thread_;
};

TEST(Resolver, AnswersAreSortedWithoutDoublesAndHoldForTheirTtl) {
  Workers workers(1);
  workers.start();
  FakeDns dns;
  Resolver resolver(dns.address(), 600ms);
  struct Case {
    std::string host;
    std::string expected;  // addresses, or the code of the error
    Duration ttl{};
  };
  const std::vector<Case> table{{"ttl-7.test", "10.0.0.1:80 10.0.0.2:80 ", 7s},
                                {"ttl-100.test", "10.0.0.1:80 10.0.0.2:80 ", 100s},
                                {"ttl-1.test", "10.0.0.1:80 10.0.0.2:80 ", 1s},
                                {"192.0.2.7", "192.0.2.7:80 ", 3600s},
                                {"2001:db8::1", "[2001:db8::1]:80 ", 3600s},
                                {"denied.test", "not_found"},
                                {"silent.test", "timeout"}};
  for (const Case& row : table) {
    std::promise<Result<Resolution>> promise;
    std::unique_ptr<TaskGroup> group;
    workers[0].run_and_wait([&] {
      group = std::make_unique<TaskGroup>(workers[0]);
      auto ask = [&]() -> Task<> {
        promise.set_value(co_await resolver.resolve(workers[0], row.host, 80));
      };
      EXPECT_TRUE(group->spawn(ask));
    });
    const auto answer = promise.get_future().get();
    for (bool running = true; running;)
      workers[0].run_and_wait([&] { running = group->running() > 0; });
    workers[0].run_and_wait([&] { group.reset(); });
    std::string got;
    if (answer) {
      for (const Endpoint& endpoint : answer->endpoints) got += endpoint.to_string() + " ";
      EXPECT_EQ(answer->ttl, row.ttl) << row.host;
    } else {
      got = to_string(answer.error().code);
    }
    EXPECT_EQ(got, row.expected) << row.host;
  }
}

}  // namespace
}  // namespace headroom::net
