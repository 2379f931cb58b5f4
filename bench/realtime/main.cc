// headroom-sockets: many WebSocket clients against one hub; prints one JSON object a line.
//
//   idle      opens and subscribes, says {"ready": ...} and waits for a line: the caller measures memory
//   fanout    one channel: a message, and the next when all have it, for --duration
//   personal  a channel for each, or --channels for all: --rate messages a second over all of them, in turn; --rates 250,5000 one after the
//             other, a line each
//   stalled   one channel at --rate: for a tenth of --duration all read, then of ten clients one takes nothing: a line after each, and one
//             between them when more has been sent than a channel keeps for who is behind
//
// Exit codes: 0 done, 1 failed, 2 bad usage.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <map>

#include "bench/realtime/clients.h"

namespace {

using headroom::Clock;
using headroom::Duration;
using headroom::TimePoint;
using namespace headroom::bench;  // NOLINT

struct Plan {
  std::string mode;
  Clients::Options clients{};
  std::string publisher_path;
  Face publisher_face = Face::plain;
  int pid = 0;
  std::size_t bytes = 256;
  double rate = 1000;
  std::size_t channels = 0;  // 0: one for each
  double duration = 5;
  std::vector<double> rates{};
};

// User and system time of the server's process, all threads (clock_getcpuclockid(3)).
double cpu_seconds(int pid) {
  timespec now{};
  clockid_t clock = 0;
  if (pid == 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &now) != 0)
    return 0;
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Measured {
  std::uint64_t published = 0;
  std::uint64_t expected = 0;
  double seconds = 0;
  double cpu = 0;
};

void report(const Clients& clients, const Measured& m, std::string_view what = "all",
            double rate = 0) {
  const auto ms = [&](double q) { return headroom::milliseconds(clients.ages.quantile(q)); };
  fmt::print(
      R"({{"what":"{}","rate":{:.0f},"published":{},"expected":{},"delivered":{},"seconds":{:.3f},"server_cpu_s":{:.4f},"deliveries_per_s":{:.0f},"deliveries_per_cpu_s":{:.0f},"p50_ms":{:.3f},"p99_ms":{:.3f},"max_ms":{:.3f}}})",
      what, rate, m.published, m.expected, clients.received, m.seconds, m.cpu,
      static_cast<double>(clients.received) / m.seconds,
      m.cpu > 0 ? static_cast<double>(clients.received) / m.cpu : 0.0, ms(0.5), ms(0.99), ms(1.0));
  fmt::print("\n");
  std::fflush(stdout);
}

void idle(const Plan& plan) {
  Clients clients(plan.clients);
  clients.open();
  fmt::print("{{\"ready\":{}}}\n", plan.clients.connections);
  std::fflush(stdout);
  std::string line;
  std::getline(std::cin, line);
}

void reset(Clients& clients) {
  clients.received = 0;
  clients.ages = {};
}

void fanout(Plan plan) {
  const std::string channel = "public-bench";
  plan.clients.channel = [channel](std::size_t) { return channel; };
  Clients clients(plan.clients);
  clients.open();
  Publisher publisher(plan.clients.port, plan.publisher_face, plan.publisher_path, {channel});
  Measured m;
  const auto round = [&] {
    publisher.add(channel, now_ns(), plan.bytes);
    ++m.published;
    m.expected += plan.clients.connections;
    const TimePoint deadline = Clock::now() + std::chrono::seconds(30);
    const bool all = clients.run_until(deadline, [&] {
      publisher.flush();
      return clients.received >= m.expected;
    });
    if (!all)
      throw std::runtime_error(fmt::format("{} of {} arrived", clients.received, m.expected));
  };
  for (int i = 0; i < 3; ++i) round();
  reset(clients);
  m = {};
  const double cpu = cpu_seconds(plan.pid);
  const TimePoint began = Clock::now();
  while (headroom::seconds(Clock::now() - began) < plan.duration) round();
  m.seconds = headroom::seconds(Clock::now() - began);
  m.cpu = cpu_seconds(plan.pid) - cpu;
  report(clients, m);
}

// Sends at a fixed rate, each message stamped with the time at which it should have been sent.
class Pace {
 public:
  Pace(Clients& clients, const Plan& plan, std::vector<std::string> channels)
      : clients_(clients), plan_(plan), channels_(std::move(channels)) {
    for (std::size_t from = 0; from < channels_.size(); from += kChannelsEach) {
      const auto end = std::min(channels_.size(), from + kChannelsEach);
      publishers_.push_back(std::make_unique<Publisher>(
          plan.clients.port, plan.publisher_face, plan.publisher_path,
          std::vector<std::string>(channels_.begin() + static_cast<std::ptrdiff_t>(from),
                                   channels_.begin() + static_cast<std::ptrdiff_t>(end))));
    }
  }

  std::uint64_t run(double rate, double time) {
    const std::uint64_t began = now_ns();
    const auto total = static_cast<std::uint64_t>(rate * time);
    std::uint64_t sent = 0;
    (void)clients_.run_until(TimePoint::max(), [&] {
      const double elapsed = static_cast<double>(now_ns() - began) * 1e-9;
      const auto due = std::min(total, static_cast<std::uint64_t>(elapsed * rate));
      for (; sent < due; ++sent) {
        const std::size_t channel = next_++ % channels_.size();
        const auto at = began + static_cast<std::uint64_t>(static_cast<double>(sent) / rate * 1e9);
        publishers_[channel / kChannelsEach]->add(channels_[channel], at, plan_.bytes);
      }
      flush();
      return elapsed > time;
    });
    return sent;
  }
  bool wait_for(std::uint64_t received, int seconds) {
    return clients_.run_until(Clock::now() + std::chrono::seconds(seconds), [&] {
      flush();
      return clients_.received >= received;
    });
  }

 private:
  static constexpr std::size_t kChannelsEach = 9000;  // of a connection that publishes
  void flush() {
    for (const auto& each : publishers_) each->flush();
  }

  Clients& clients_;
  const Plan& plan_;
  const std::vector<std::string> channels_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::size_t next_ = 0;
};

void personal(Plan plan) {
  const std::size_t count = plan.channels == 0 ? plan.clients.connections : plan.channels;
  const std::size_t listeners = plan.clients.connections / count;
  const auto channel = [count](std::size_t i) { return fmt::format("public-p{}", i % count); };
  plan.clients.channel = channel;
  Clients clients(plan.clients);
  clients.open();
  std::vector<std::string> channels;
  for (std::size_t i = 0; i < count; ++i) channels.push_back(channel(i));
  Pace pace(clients, plan, std::move(channels));
  if (plan.rates.empty()) plan.rates = {plan.rate};
  for (const double rate : plan.rates) {
    clients.received = 0;
    (void)pace.wait_for(pace.run(rate, 1) * listeners, 2);
    reset(clients);
    Measured m;
    const double cpu = cpu_seconds(plan.pid);
    const TimePoint start = Clock::now();
    m.published = pace.run(rate, plan.duration);
    m.expected = m.published * listeners;
    m.seconds = headroom::seconds(Clock::now() - start);
    const bool all = pace.wait_for(m.expected, 10);
    m.cpu = cpu_seconds(plan.pid) - cpu;
    report(clients, m, all ? "all" : "cut", rate);
    if (!all) return;  // it does not keep up
  }
}

void stalled(Plan plan) {
  const std::string channel = "public-slow";
  plan.clients.channel = [channel](std::size_t) { return channel; };
  plan.clients.small_every = 10;
  Clients clients(plan.clients);
  clients.open();
  Pace pace(clients, plan, {channel});
  (void)pace.run(plan.rate, 1);
  const auto phase = [&](std::string_view what, std::size_t readers, double rate, double time) {
    const std::uint64_t before = clients.received;
    (void)pace.wait_for(before + 1, 1);  // what is still under way
    reset(clients);
    Measured m;
    const double cpu = cpu_seconds(plan.pid);
    const TimePoint start = Clock::now();
    m.published = pace.run(rate, time);
    m.expected = m.published * readers;
    (void)pace.wait_for(m.expected, 5);
    m.seconds = headroom::seconds(Clock::now() - start);
    m.cpu = cpu_seconds(plan.pid) - cpu;
    report(clients, m, what, rate);
  };
  const std::size_t all = plan.clients.connections;
  constexpr double kFill = 1200;  // messages: more than a channel keeps for who is behind
  phase("all read", all, plan.rate, plan.duration / 10);
  const std::size_t left = all - clients.stall_small();
  phase("filling", left, 2 * plan.rate, kFill / (2 * plan.rate));
  phase("one in ten stalled", left, plan.rate, plan.duration);
}

}  // namespace

int main(int argc, char** argv) {
  Plan plan;
  CLI::App app("many WebSocket clients against one hub");
  const std::map<std::string, Face> faces{
      {"pusher", Face::pusher}, {"plain", Face::plain}, {"socketio", Face::socketio}};
  std::string channel;
  app.add_option("mode", plan.mode)
      ->required()
      ->check(CLI::IsMember({"idle", "fanout", "personal", "stalled"}));
  app.add_option("--port", plan.clients.port)->required();
  app.add_option("--face", plan.clients.face)->transform(CLI::CheckedTransformer(faces));
  app.add_option("--path", plan.clients.path)->required();
  app.add_option("--connections", plan.clients.connections)
      ->required()
      ->check(CLI::Range(1, 19000));
  app.add_flag("--tls", plan.clients.tls, "idle: over TLS");
  app.add_option("--channel", channel, "idle: what all subscribe to; empty: nothing");
  app.add_option("--publisher-path", plan.publisher_path);
  app.add_option("--publisher-face", plan.publisher_face)
      ->transform(CLI::CheckedTransformer(faces));
  app.add_option("--pid", plan.pid, "of the server, whose CPU time is read");
  app.add_option("--bytes", plan.bytes, "of a message's data");
  app.add_option("--channels", plan.channels,
                 "personal: so many for all, of which the connections are a multiple");
  app.add_option("--rate", plan.rate, "personal, stalled: messages a second");
  app.add_option("--rates", plan.rates, "personal: several, one after the other")->delimiter(',');
  app.add_option("--duration", plan.duration, "seconds");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  plan.clients.channel = [channel](std::size_t) { return channel; };
  try {
    if (plan.mode == "idle") idle(plan);
    if (plan.mode == "fanout") fanout(plan);
    if (plan.mode == "personal") personal(plan);
    if (plan.mode == "stalled") stalled(plan);
  } catch (const std::exception& error) {
    fmt::print(stderr, "headroom-sockets: {}\n", error.what());
    return 1;
  }
  return 0;
}
