// headroom-jobs: load for a job server on this machine, in its own protocol, from one thread.
//
//   cycle   each connection pushes a job, fetches one and acknowledges it, over and over
//   push    each pushes, one job a request
//   bulk    each pushes a thousand jobs a request (beanstalkd, which has no such command: a thousand requests sent at once)
//   rate    pushes at --rate, spread evenly, each on a free connection; latency counts from the moment it was meant for
//
// One JSON object: jobs per second, latencies of a request (cycle: of a whole cycle), CPU of --watch, and whether each job came exactly once.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <deque>
#include <memory>
#include <stdexcept>
#include <vector>

#include "protocol.h"

namespace bench {
namespace {

using Time = std::chrono::steady_clock::time_point;
constexpr std::size_t kBulk = 1000;

struct Options {
  std::string protocol = "faktory";
  std::string mode = "cycle";
  std::uint16_t port = 7419;
  std::size_t connections = 64;
  double seconds = 5;
  double warm_up = 1;
  double rate = 1000;
  std::size_t bytes = 100;
  pid_t watch = 0;
};

double seconds_of(Time from, Time to) { return std::chrono::duration<double>(to - from).count(); }

double cpu_of(pid_t pid) {
  clockid_t clock{};
  timespec time{};
  if (pid == 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
    return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct Connection {
  int fd = -1;
  std::string in{};
  std::string out{};
  Ask asked = Ask::hello;
  std::size_t answers_due = 0;
  bool busy = false;
  bool blocked = false;  // its writes wait for room
  Time began{};
};

class Load {
 public:
  explicit Load(Options options)
      : options_(std::move(options)),
        filling_(options_.bytes, 'x'),
        epoll_(epoll_create1(0)),
        connections_(options_.connections) {
    if (options_.protocol == "faktory") {
      protocol_ = std::make_unique<Faktory>();
    } else {
      protocol_ = std::make_unique<Beanstalkd>();
    }
    for (std::size_t i = 0; i < connections_.size(); ++i) connect(i);
  }

  void run() {
    const Time begin = std::chrono::steady_clock::now();
    const Time measure = begin + std::chrono::duration_cast<Time::duration>(
                                     std::chrono::duration<double>(options_.warm_up));
    end_ = measure + std::chrono::duration_cast<Time::duration>(
                         std::chrono::duration<double>(options_.seconds));
    next_ = begin;
    double cpu = 0;
    for (Connection& each : connections_) idle(each);
    for (now_ = begin; now_ < end_;) {
      if (!measuring_ && now_ >= measure) {
        measuring_ = true;
        measured_from_ = now_;
        cpu = cpu_of(options_.watch);
      }
      launch_due();
      poll();
      now_ = std::chrono::steady_clock::now();
    }
    const double wall = seconds_of(measured_from_, now_);
    const double used = cpu_of(options_.watch) - cpu;
    drain();
    report(wall, used);
  }

 private:
  void connect(std::size_t index) {
    Connection& made = connections_[index];
    made.fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(options_.port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;
    setsockopt(made.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::connect(made.fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0)
      throw std::runtime_error("cannot connect");
    if (protocol_->greets()) {
      await_line(made);
      std::string hello;
      protocol_->greet(hello);
      if (::write(made.fd, hello.data(), hello.size()) < 0)
        throw std::runtime_error("cannot write");
      await_line(made);
    }
    fcntl(made.fd, F_SETFL, O_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, made.fd, &event);
  }

  static void await_line(Connection& connection) {
    char byte = 0;
    while (byte != '\n') {
      if (::read(connection.fd, &byte, 1) != 1) throw std::runtime_error("closed while it greeted");
    }
  }

  void idle(Connection& connection) {
    connection.busy = false;
    if (options_.mode == "rate") {
      free_.push_back(&connection);
    } else {
      begin(connection, std::chrono::steady_clock::now());
    }
  }

  void begin(Connection& connection, Time at) {
    connection.busy = true;
    connection.began = at;
    connection.asked = options_.mode == "bulk" ? Ask::bulk : Ask::push;
    if (connection.asked == Ask::bulk) {
      connection.answers_due = protocol_->push_many(connection.out, pushed_, kBulk, filling_);
      pushed_ += kBulk;
    } else {
      connection.answers_due = 1;
      protocol_->push(connection.out, pushed_++, filling_);
    }
    if (handed_out_.size() < pushed_) handed_out_.resize(pushed_ * 2);
    write(connection);
  }

  void launch_due() {
    if (options_.mode != "rate") return;
    const auto step = std::chrono::duration_cast<Time::duration>(
        std::chrono::duration<double>(1 / options_.rate));
    for (; next_ <= now_; next_ += step) due_.push_back(next_);
    while (!due_.empty() && !free_.empty()) {
      begin(*free_.back(), due_.front());
      free_.pop_back();
      due_.pop_front();
    }
  }

  void poll() {
    std::array<epoll_event, 256> events{};
    const int wait_ms = options_.mode == "rate" ? 0 : 10;
    const int found = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
    for (int i = 0; i < found; ++i) {
      Connection& connection = connections_[events[static_cast<std::size_t>(i)].data.u64];
      if ((events[static_cast<std::size_t>(i)].events & EPOLLOUT) != 0) write(connection);
      receive(connection);
    }
  }

  void write(Connection& connection) {
    const ssize_t sent = ::write(connection.fd, connection.out.data(), connection.out.size());
    if (sent < 0 && errno != EAGAIN) throw std::runtime_error("cannot write");
    connection.out.erase(0, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    if (connection.out.empty() != connection.blocked) return;
    connection.blocked = !connection.out.empty();
    epoll_event event{};
    event.events = connection.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
    event.data.u64 = static_cast<std::uint64_t>(&connection - connections_.data());
    epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
  }

  void receive(Connection& connection) {
    std::array<char, 65536> piece{};
    const ssize_t got = ::read(connection.fd, piece.data(), piece.size());
    if (got == 0 || (got < 0 && errno != EAGAIN))
      throw std::runtime_error("the server has closed a connection");
    if (got < 0) return;
    connection.in.append(piece.data(), static_cast<std::size_t>(got));
    std::size_t taken = 0;
    while (taken < connection.in.size() && connection.busy) {
      const auto answer =
          protocol_->read(std::string_view(connection.in).substr(taken), connection.asked);
      if (!answer) break;
      taken += answer->bytes;
      take(connection, *answer);
    }
    connection.in.erase(0, taken);
  }

  void take(Connection& connection, const Answer& answer) {
    if (!answer.good) ++errors_;
    switch (connection.asked) {
      case Ask::push:
      case Ask::bulk:
        if (--connection.answers_due > 0) return;
        if (options_.mode == "cycle") return ask(connection, Ask::fetch, "");
        return finish(connection, connection.asked == Ask::bulk ? kBulk : 1);
      case Ask::fetch:
        if (!answer.good) return ask(connection, Ask::fetch, "");
        note_handed_out(answer.body);
        return ask(connection, Ask::done, std::string(answer.name));
      default: ++done_; return finish(connection, 1);
    }
  }

  void ask(Connection& connection, Ask what, const std::string& name) {
    connection.asked = what;
    connection.answers_due = 1;
    if (what == Ask::fetch) {
      protocol_->fetch(connection.out);
    } else {
      protocol_->done(connection.out, name);
    }
    write(connection);
  }

  void note_handed_out(std::string_view body) {
    const auto number = number_in(body, "job-");
    if (!number || *number >= handed_out_.size()) {
      ++errors_;
    } else if (handed_out_[*number]++ != 0) {
      ++twice_;
    }
  }

  void finish(Connection& connection, std::size_t jobs) {
    const Time now = std::chrono::steady_clock::now();
    if (measuring_ && !draining_) {
      jobs_ += jobs;
      latencies_.push_back(seconds_of(connection.began, now));
    }
    if (draining_) {
      connection.busy = false;
    } else {
      idle(connection);
    }
  }

  // What has begun is brought to its end, so that it can be counted.
  void drain() {
    draining_ = true;
    const Time until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::ranges::any_of(connections_, &Connection::busy) &&
           std::chrono::steady_clock::now() < until)
      poll();
  }

  double quantile(double at) {
    if (latencies_.empty()) return 0;
    const auto index = static_cast<std::size_t>(at * static_cast<double>(latencies_.size() - 1));
    std::ranges::nth_element(latencies_, latencies_.begin() + static_cast<std::ptrdiff_t>(index));
    return latencies_[index] * 1e3;
  }

  void report(double wall, double cpu) {
    const auto lost = options_.mode == "cycle" ? static_cast<std::int64_t>(pushed_ - done_) : 0;
    fmt::print(
        "{{\"mode\":\"{}\",\"connections\":{},\"jobs\":{},\"seconds\":{:.3f},\"jobs_per_s\":{:.0f},"
        "\"cpu_us_per_job\":{:.3f},\"cpu\":{:.3f},",
        options_.mode, connections_.size(), jobs_, wall, static_cast<double>(jobs_) / wall,
        jobs_ == 0 ? 0 : cpu * 1e6 / static_cast<double>(jobs_), cpu / wall);
    fmt::print("\"p50_ms\":{:.3f},\"p99_ms\":{:.3f},\"errors\":{},\"lost\":{},\"twice\":{}}}\n",
               quantile(0.5), quantile(0.99), errors_, lost, twice_);
    std::exit(errors_ == 0 && lost == 0 && twice_ == 0 ? 0 : 3);
  }

  const Options options_;
  const std::string filling_;
  std::unique_ptr<Protocol> protocol_;
  int epoll_;
  std::vector<Connection> connections_;
  std::vector<Connection*> free_;
  std::deque<Time> due_;
  std::vector<std::uint8_t> handed_out_;
  std::vector<double> latencies_;
  Time now_{}, end_{}, next_{}, measured_from_{};
  bool measuring_ = false;
  bool draining_ = false;
  std::uint64_t pushed_ = 0, done_ = 0, jobs_ = 0, errors_ = 0, twice_ = 0;
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  bench::Options options;
  CLI::App app("Load for a job server on this machine.");
  app.add_option("--protocol", options.protocol)->check(CLI::IsMember({"faktory", "beanstalkd"}));
  app.add_option("--mode", options.mode)->check(CLI::IsMember({"cycle", "push", "bulk", "rate"}));
  app.add_option("--port", options.port)->required();
  app.add_option("--connections", options.connections)->check(CLI::Range(1, 10000));
  app.add_option("--seconds", options.seconds);
  app.add_option("--warm-up", options.warm_up);
  app.add_option("--rate", options.rate);
  app.add_option("--bytes", options.bytes);
  app.add_option("--watch", options.watch, "CPU of this process");
  CLI11_PARSE(app, argc, argv);
  try {
    bench::Load(options).run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "headroom-jobs: {}\n", error.what());
    return 1;
  }
}
