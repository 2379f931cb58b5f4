// headroom/realtime/hub_fixture_test.h - the small language of this room's tests: a hub without doors, and connections that listen to it.
//
//   Ear& ann = ear();
//   ann.subscribe("news");
//   publish("news", "\"hello\"");
//   EXPECT_THAT(ann.data(1), ElementsAre("\"hello\""));
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>

#include "headroom/json/json.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {

// One connection; what was written to it is read at its other end, as lines of JSON (Wire::lines without their chunks).
class Ear final : public Outlet::Owner {
 public:
  Ear(Shards& shards, net::Worker& worker) : shards_(shards), worker_(worker) {
    std::array<int, 2> ends{};
    HR_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) ==
              0);
    const int small = 8192;  // who does not read is soon noticed
    ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    far_ = ends[1];
    worker_.run_and_wait([&] {
      group_ = std::make_unique<net::TaskGroup>(worker_);
      HR_ASSERT(group_->spawn([this, fd = ends[0]] { return live(fd); }));
    });
    on_worker([] {});  // it has begun
  }
  Ear(const Ear&) = delete;
  Ear& operator=(const Ear&) = delete;
  ~Ear() {
    group_->stop_and_join();
    worker_.run_and_wait([&] { group_.reset(); });
    ::close(far_);
  }

  void subscribe(const std::string& channel, std::optional<Position> since = {},
                 const std::string& user = {}) {
    on_worker([&] {
      subscriptions_[channel] = shards_.part(worker_).subscribe(
          *outlet_, "app", channel, since ? std::make_unique<Position>(*since) : nullptr,
          user.empty() ? nullptr : std::make_unique<Member>(Member{user, {}}));
    });
    const TimePoint deadline = Clock::now() + 10s;
    for (bool open = false; !open && Clock::now() < deadline;)
      on_worker([&] { open = opened_.contains(channel) || refused_.contains(channel); });
  }
  // On its worker: asked for, no more.
  void begin_subscribing(const std::string& channel, const std::string& user = {}) {
    subscriptions_[channel] = shards_.part(worker_).subscribe(
        *outlet_, "app", channel, nullptr,
        user.empty() ? nullptr : std::make_unique<Member>(Member{user, {}}));
  }
  void unsubscribe(const std::string& channel) {
    on_worker([&] { shards_.part(worker_).unsubscribe(std::move(subscriptions_[channel])); });
    subscriptions_.erase(channel);
  }
  [[nodiscard]] Opened how(const std::string& channel) {
    Opened copy;
    on_worker([&] { copy = opened_[channel]; });
    return copy;
  }
  // Subscribes from there.
  [[nodiscard]] Opened how_since(const std::string& channel, Position since) {
    subscribe(channel, since);
    return how(channel);
  }
  [[nodiscard]] bool was_refused(const std::string& channel) { return refused_.contains(channel); }
  // Whether its connection takes no more.
  [[nodiscard]] bool blocked() {
    bool is = false;
    on_worker([&] { is = outlet_->state() == Outlet::State::blocked; });
    return is;
  }
  [[nodiscard]] bool ended() const { return ended_; }
  // Waits until the hub has ended it.
  [[nodiscard]] bool ends() const {
    const TimePoint deadline = Clock::now() + 10s;
    while (!ended_ && Clock::now() < deadline) std::this_thread::sleep_for(5ms);
    return ended_;
  }
  // From now on its writes meet an exception.
  void throws() { throws_ = true; }
  // Whether the hub has cut its connection.
  [[nodiscard]] bool was_cut() {
    bool cut = false;
    std::array<char, 1> piece{};
    on_worker([&] { cut = !stream_->try_read(piece).has_value(); });
    return cut;
  }
  [[nodiscard]] Outlet& outlet() { return *outlet_; }

  // The next lines that came, waited for; fewer when nothing more comes.
  std::vector<std::string> lines(std::size_t count, int wait_ms = 5000) {
    std::vector<std::string> got;
    while (got.size() < count) {
      for (std::size_t end = 0; got.size() < count && (end = read_.find('\n')) != std::string::npos;
           read_.erase(0, end + 1)) {
        if (const std::string line = read_.substr(0, end); line.starts_with('{'))
          got.push_back(line);
      }
      if (got.size() == count) break;
      pollfd ready{far_, POLLIN, 0};
      if (::poll(&ready, 1, wait_ms) <= 0) break;
      std::array<char, 65536> piece{};
      const ssize_t n = ::read(far_, piece.data(), piece.size());
      if (n <= 0) break;
      read_.append(piece.data(), static_cast<std::size_t>(n));
    }
    return got;
  }
  std::vector<std::string> data(std::size_t count, int wait_ms = 5000) {
    std::vector<std::string> all;
    for (const std::string& line : lines(count, wait_ms)) {
      const auto document = json::parse(line);
      HR_ASSERT(document.has_value());
      all.push_back(document->root().find("data")->text());
    }
    return all;
  }

  // --- Outlet::Owner ---
  void opened(Subscription& subscription, const Opened& how) override {
    opened_[subscription.channel.name()] = how;
  }
  void not_opened(Subscription& subscription, const Error&) override {
    refused_[subscription.channel.name()] = true;
  }
  std::string missed(const Subscription&, std::uint64_t messages) override {
    return "{\"type\":\"missed\",\"data\":\"missed " + std::to_string(messages) + "\"}\n";
  }
  std::string paused(const Subscription&, Position position) override {
    return "{\"type\":\"paused\",\"data\":\"paused " + std::to_string(position.offset) + "\"}\n";
  }
  std::string mark() override {
    if (throws_) throw std::bad_alloc();
    return {};
  }
  bool is_user(std::string_view, std::string_view) const override { return false; }
  void end(End) override {
    ended_ = true;
    stream_->abort(Errc::overloaded);
  }

 private:
  template <class F>
  void on_worker(F work) {
    worker_.run_and_wait([&] { work(); });
  }
  net::Task<> live(int fd) {
    net::Stream stream(*group_, fd, AF_UNIX);
    Outlet outlet(shards_.part(worker_), stream, *this, Wire::lines);
    stream_ = &stream;
    outlet_ = &outlet;
    net::Event end(*group_);
    (void)co_await end.wait();
    for (auto& [name, subscription] : subscriptions_)
      shards_.part(worker_).unsubscribe(std::move(subscription));
    stream.abort(Errc::cancelled);
    co_await outlet.join();
  }

  Shards& shards_;
  net::Worker& worker_;
  std::unique_ptr<net::TaskGroup> group_;
  int far_ = -1;
  net::Stream* stream_ = nullptr;
  Outlet* outlet_ = nullptr;
  std::map<std::string, std::unique_ptr<Subscription>> subscriptions_;
  std::map<std::string, Opened> opened_;
  std::map<std::string, bool> refused_;
  std::atomic<bool> ended_{false};
  std::atomic<bool> throws_{false};
  std::string read_;
};

class HubTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kWorkers = 3;

  void TearDown() override {
    ears_.clear();
    shards_.reset();
    if (running_) workers_.stop_and_join();
  }
  [[nodiscard]] RealtimeOptions& options() { return options_; }
  [[nodiscard]] Shards& shards() {
    if (!shards_) {
      workers_.start();
      running_ = true;
      auto settings = Settings::make(options_, nullptr, kWorkers);
      HR_ASSERT(settings.has_value());
      shards_.emplace(workers_, resolver_, registry_, *settings);
    }
    return *shards_;
  }
  [[nodiscard]] ChannelOptions& rule(std::string match) {
    options_.channels.push_back(options_.channel(match));  // the defaults
    options_.channels.back().match = std::move(match);
    return options_.channels.back();
  }
  Ear& ear(std::size_t worker = 0) {
    Shards& all = shards();
    ears_.push_back(std::make_unique<Ear>(all, workers_[worker]));
    return *ears_.back();
  }
  // From the first worker; returns when every worker has what follows from it.
  void publish(const std::string& channel, const std::string& data,
               Priority priority = Priority::normal) {
    workers_[0].run_and_wait([&] {
      Publication what{.app = "app", .channel = channel, .event = "e", .data = data};
      what.priority = priority;
      shards().part(workers_[0]).publish(std::move(what));
    });
    settle();
  }
  template <class F>
  void on_worker(std::size_t worker, F work) {
    workers_[worker].run_and_wait([&] { work(); });
  }
  // What was posted between workers has arrived.
  void settle() {
    for (int i = 0; i < 4; ++i) workers_.each([](net::Worker&) {});
  }
  [[nodiscard]] Home* home_of(const std::string& channel) {
    Home* found = nullptr;
    const std::string key = channel_key("app", channel);
    net::Worker& worker = workers_[shards().home_of(key)];
    worker.run_and_wait([&] {
      const auto at = shards().homes(worker).all().find(key);
      found = at == shards().homes(worker).all().end() ? nullptr : at->second.get();
    });
    return found;
  }

 private:
  RealtimeOptions options_ = realtime_section().defaults();
  net::Workers workers_{kWorkers};
  net::Resolver resolver_;
  metrics::Registry registry_{kWorkers};
  bool running_ = false;
  std::optional<Shards> shards_;
  std::vector<std::unique_ptr<Ear>> ears_;
};

}  // namespace headroom::realtime
