#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <deque>
#include <optional>
#include <span>
#include <utility>

#include "headroom/base/assert.h"
#include "headroom/base/hash.h"
#include "headroom/load/answer_reader.h"
#include "headroom/load/kinds.h"
#include "headroom/load/load.h"
#include "headroom/load/schedule.h"
#include "headroom/load/target.h"

namespace headroom::load {

namespace {

constexpr Duration kSweep = 10ms;  // how often timeouts and rests are looked at
constexpr Duration kRest = 10ms;   // of a connection that could not be made
constexpr std::size_t kBufferBytes = 256U << 10U;
constexpr std::uint64_t kWorthSkipping = 4096;
constexpr int kEventsAtOnce = 256;
constexpr unsigned long kTimerSlackNs = 1000;  // the default of 50 us would blur the schedule

Duration cpu_time(clockid_t clock) {
  timespec at{};
  if (clock_gettime(clock, &at) != 0) return {};  // the process has ended
  return std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec);
}

// User and system time of all threads of these processes, dead ones too, in nanoseconds.
Duration cpu_time(std::span<const int> processes) {
  Duration sum{};
  for (const int process : processes) {
    clockid_t clock{};
    if (clock_getcpuclockid(process, &clock) == 0) sum += cpu_time(clock);
  }
  return sum;
}

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

// The thread's timers are made exact for the length of a run.
class ExactTimers {
 public:
  ExactTimers() : before_(prctl(PR_GET_TIMERSLACK)) { prctl(PR_SET_TIMERSLACK, kTimerSlackNs); }
  ExactTimers(const ExactTimers&) = delete;
  ExactTimers& operator=(const ExactTimers&) = delete;
  ~ExactTimers() { prctl(PR_SET_TIMERSLACK, before_); }

 private:
  const int before_;
};

struct Connection {
  // closed, connected: free for a request; resting: not before rests_until.
  enum class State : std::uint8_t { closed, connecting, connected, busy, resting };

  Descriptor socket;
  State state = State::closed;
  bool asked = false;        // a request waits for this connection or is on it
  bool wants_write = false;  // EPOLLOUT is on
  TimePoint intended;
  TimePoint began;
  TimePoint free_since;
  TimePoint rests_until;
  const Kind* kind = nullptr;  // of the request
  std::uint64_t sent = 0;
  AnswerReader reader;
};

class Engine {
 public:
  Engine(const Plan& plan, const Target& target, const std::stop_token& stop);
  Result<Report> go();

 private:
  [[nodiscard]] bool is_open_loop() const { return plan_.arrivals != Arrivals::closed; }
  [[nodiscard]] bool may_begin(TimePoint intended) const;
  [[nodiscard]] bool is_over(TimePoint now) const;
  [[nodiscard]] TimePoint next_arrival() const { return start_ + schedule_->next(); }

  Result<> connect_all();
  void start();
  void measure_from(TimePoint now);
  void wait(TimePoint now);
  void dispatch(TimePoint now);
  void sweep(TimePoint now);
  void finish(TimePoint now);

  void begin(Connection& c, TimePoint intended, TimePoint now);
  void open(Connection& c);
  void on_event(Connection& c, std::uint32_t events);
  void on_connected(Connection& c);
  void send_more(Connection& c);
  ssize_t send_part(Connection& c);
  void read_more(Connection& c);
  void ended(Connection& c);
  void answered(Connection& c);
  void failed(Connection& c, Failure failure);
  void count(Connection& c, std::optional<Failure> failure, TimePoint now);
  void give_back(Connection& c, TimePoint now);
  void close_socket(Connection& c);
  void watch(Connection& c, bool write);

  const Plan& plan_;
  const Target& target_;
  const std::stop_token& stop_;
  [[nodiscard]] const Kind& next_kind();
  [[nodiscard]] std::uint64_t bytes_of(const Connection& c) const {
    return c.kind->bytes.size() + plan_.filler.count;
  }

  const std::vector<Kind> kinds_;
  Random random_;
  const bool can_skip_;  // TCP drops received bytes without copying them
  std::optional<Schedule> schedule_;
  std::vector<char> buffer_ = std::vector<char>(kBufferBytes);
  const std::vector<char> filler_;
  Descriptor epoll_;
  std::vector<Connection> connections_;
  std::deque<Connection*> free_;  // open loop: who takes the next arrival; the longest free first
  std::size_t resting_ = 0;
  std::size_t connecting_ = 0;
  std::size_t in_flight_ = 0;
  std::uint64_t begun_ = 0;  // in the measured time
  std::string last_connect_error_ = "no time left";
  bool measuring_ = false;
  TimePoint start_;
  TimePoint measured_from_;
  TimePoint end_ = kNever;  // no request is intended from here on
  TimePoint next_sweep_;
  TimePoint last_answer_;
  Report report_;
};

Engine::Engine(const Plan& plan, const Target& target, const std::stop_token& stop)
    : plan_(plan),
      target_(target),
      stop_(stop),
      kinds_(kinds_of(plan, target)),
      random_(plan.seed),
      can_skip_(target.family() != AF_UNIX),
      filler_(plan.filler.count > 0 ? kBufferBytes : 0, 'x'),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      connections_(plan.connections) {
  HR_ASSERT(epoll_.get() >= 0);
  if (is_open_loop()) schedule_.emplace(plan.arrivals, plan.rate, plan.seed);
}

Result<Report> Engine::go() {
  if (plan_.reuse == Reuse::keep_alive) {
    if (auto connected = connect_all(); !connected) return pass(connected);
  }
  start();
  TimePoint now = start_;
  while (!is_over(now)) {
    wait(now);
    now = Clock::now();
    if (!measuring_ && now >= start_ + plan_.warm_up) measure_from(now);
    if (now >= next_sweep_) sweep(now);
    if (schedule_) dispatch(now);
  }
  finish(now);
  return std::move(report_);
}

// Made before the clock starts, so that keep-alive runs measure requests, not handshakes.
Result<> Engine::connect_all() {
  for (Connection& c : connections_) open(c);
  const TimePoint deadline = Clock::now() + plan_.timeout;
  for (TimePoint now = Clock::now(); connecting_ > 0 && now < deadline; now = Clock::now()) {
    next_sweep_ = now + kSweep;
    wait(now);
    if (stop_.stop_requested()) return fail(Errc::cancelled, "stopped while connecting");
  }
  const bool any = std::ranges::any_of(
      connections_, [](const Connection& c) { return c.state == Connection::State::connected; });
  if (!any) return fail(Errc::unavailable, "no connection could be made: " + last_connect_error_);
  for (Connection& c : connections_) {
    if (c.state == Connection::State::connected) continue;
    if (c.state == Connection::State::connecting) --connecting_;
    close_socket(c);
  }
  return {};
}

void Engine::start() {
  start_ = Clock::now();
  next_sweep_ = start_ + kSweep;
  last_answer_ = start_;
  end_ = start_ + plan_.warm_up +
         (plan_.duration > Duration::zero() ? plan_.duration : kDurationLimit);
  if (plan_.warm_up <= Duration::zero()) measure_from(start_);
  for (Connection& c : connections_) {
    c.free_since = start_;
    if (schedule_)
      free_.push_back(&c);
    else if (may_begin(start_))
      begin(c, start_, start_);
  }
}

void Engine::measure_from(TimePoint now) {
  measuring_ = true;
  measured_from_ = now;
  begun_ = 0;
  const std::uint64_t connects = report_.connects;
  report_ = Report{};
  report_.connects = connects;
  report_.target_rate = plan_.rate;
  report_.watched_cpu = -cpu_time(plan_.watch);
  report_.generator_cpu = -cpu_time(CLOCK_THREAD_CPUTIME_ID);
}

bool Engine::may_begin(TimePoint intended) const {
  const bool enough = measuring_ && plan_.requests > 0 && begun_ >= plan_.requests;
  return intended < end_ && !enough && !stop_.stop_requested();
}

bool Engine::is_over(TimePoint now) const {
  if (now >= end_ + plan_.timeout) return true;
  const bool more = schedule_ ? may_begin(next_arrival()) : may_begin(now);
  return !more && in_flight_ == 0;
}

void Engine::wait(TimePoint now) {
  TimePoint until = next_sweep_;
  if (schedule_ && !free_.empty()) until = std::min(until, next_arrival());
  const auto ns = elapsed(now, until).count();
  const timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
  std::array<epoll_event, kEventsAtOnce> events;  // NOLINT(*-member-init): the kernel fills it
  const int n = epoll_pwait2(epoll_.get(), events.data(), kEventsAtOnce, &timeout, nullptr);
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    on_event(*static_cast<Connection*>(event.data.ptr), event.events);
  }
}

// Sends what is due, late or not, as long as connections are free; the rest waits with its clock
// running.
void Engine::dispatch(TimePoint now) {
  while (!free_.empty()) {
    const TimePoint intended = next_arrival();
    if (intended > now || !may_begin(intended)) return;
    Connection& c = *free_.front();
    free_.pop_front();
    if (measuring_ && c.free_since <= intended) {
      ++report_.lateness.buckets[metrics::Scale::index(elapsed(intended, now))];
    }
    schedule_->advance();
    begin(c, intended, now);
  }
}

void Engine::sweep(TimePoint now) {
  next_sweep_ = now + kSweep;
  const TimePoint oldest = now - plan_.timeout;
  for (Connection& c : connections_) {
    if (c.state == Connection::State::resting && now >= c.rests_until) {
      --resting_;
      c.state = Connection::State::closed;
      give_back(c, now);
    } else if (c.asked && c.began <= oldest) {
      failed(c, Failure::timeout);
    }
  }
}

void Engine::finish(TimePoint now) {
  for (Connection& c : connections_) {
    if (c.asked) count(c, Failure::timeout, now);
  }
  if (schedule_ && !stop_.stop_requested()) {
    for (; may_begin(next_arrival()) && next_arrival() < now; schedule_->advance()) {
      ++begun_;
      ++report_.requests;
      ++report_.failures[static_cast<std::size_t>(Failure::unsent)];
    }
  }
  if (!measuring_) measure_from(now);  // stopped in the warm-up: all zero
  report_.elapsed = elapsed(measured_from_, std::max(last_answer_, measured_from_));
  report_.watched_cpu += cpu_time(plan_.watch);
  report_.generator_cpu += cpu_time(CLOCK_THREAD_CPUTIME_ID);
}

const Kind& Engine::next_kind() {
  if (kinds_.size() == 1) return kinds_.front();
  const double at = random_.unit() * kinds_.back().up_to;
  return *std::ranges::upper_bound(kinds_, at, {}, &Kind::up_to);
}

void Engine::begin(Connection& c, TimePoint intended, TimePoint now) {
  if (measuring_ && intended >= measured_from_) ++begun_;
  ++in_flight_;
  c.asked = true;
  c.intended = intended;
  c.began = now;
  c.sent = 0;
  c.kind = &next_kind();
  c.reader.reset(c.kind->body);
  if (c.state == Connection::State::connected) {
    c.state = Connection::State::busy;
    send_more(c);
  } else {
    open(c);
  }
}

void Engine::open(Connection& c) {
  ++report_.connects;
  c.socket.reset(socket(target_.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  c.wants_write = false;
  if (c.socket.get() < 0) return failed(c, Failure::connect);
  const int on = 1;
  if (target_.family() != AF_UNIX) {
    setsockopt(c.socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  const auto* address = reinterpret_cast<const sockaddr*>(&target_.address);
  if (connect(c.socket.get(), address, target_.address_size) != 0 && errno != EINPROGRESS) {
    return failed(c, Failure::connect);
  }
  // Whether it is connected already or only soon: the first event says so.
  ++connecting_;
  c.state = Connection::State::connecting;
  c.wants_write = true;
  epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.ptr = &c}};
  HR_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, c.socket.get(), &event) == 0);
}

void Engine::on_event(Connection& c, std::uint32_t events) {
  switch (c.state) {
    case Connection::State::connecting: return on_connected(c);
    case Connection::State::connected: return close_socket(c);  // the server ended it while idle
    case Connection::State::busy:
      if ((events & EPOLLOUT) != 0) send_more(c);
      // The answer may come before all of the request is sent.
      if (c.state == Connection::State::busy && (events & ~static_cast<unsigned>(EPOLLOUT)) != 0) {
        read_more(c);
      }
      return;
    case Connection::State::closed:
    case Connection::State::resting: return;  // an event of before, in the same batch
  }
}

void Engine::on_connected(Connection& c) {
  --connecting_;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    errno = error;
    return failed(c, Failure::connect);
  }
  c.state = c.asked ? Connection::State::busy : Connection::State::connected;
  if (c.asked)
    send_more(c);
  else
    watch(c, false);
}

void Engine::send_more(Connection& c) {
  const std::uint64_t whole = bytes_of(c);
  while (c.sent < whole) {
    const ssize_t n = send_part(c);
    if (n >= 0) {
      c.sent += static_cast<std::uint64_t>(n);
      report_.bytes_out += static_cast<std::uint64_t>(n);
    } else if (errno == EAGAIN) {
      return watch(c, true);
    } else if (errno != EINTR) {
      // What the server said before it stopped listening counts as its answer.
      return c.sent > 0 ? read_more(c) : ended(c);
    }
  }
  watch(c, false);
}

ssize_t Engine::send_part(Connection& c) {
  if (filler_.empty()) {
    const std::string_view rest =
        std::string_view(c.kind->bytes).substr(static_cast<std::size_t>(c.sent));
    return send(c.socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
  }
  const std::string& request = c.kind->bytes;
  const auto head = static_cast<std::size_t>(std::min<std::uint64_t>(c.sent, request.size()));
  const std::uint64_t fill = bytes_of(c) - std::max<std::uint64_t>(c.sent, request.size());
  std::array<iovec, 2> parts{};
  parts[0] = {const_cast<char*>(request.data()) + head,
              request.size() - head};             // NOLINT: only read
  parts[1] = {const_cast<char*>(filler_.data()),  // NOLINT: only read
              static_cast<std::size_t>(std::min<std::uint64_t>(fill, filler_.size()))};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return sendmsg(c.socket.get(), &message, MSG_NOSIGNAL);
}

void Engine::read_more(Connection& c) {
  for (;;) {
    const std::uint64_t skippable = can_skip_ ? c.reader.skippable() : 0;
    const bool skip = skippable >= kWorthSkipping;
    const auto most = skip ? std::min<std::uint64_t>(skippable, kBufferBytes) : kBufferBytes;
    const ssize_t n = recv(c.socket.get(), buffer_.data(), most, skip ? MSG_TRUNC : 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return ended(c);
    const auto got = static_cast<std::size_t>(n);
    report_.bytes_in += got;
    if (skip)
      c.reader.skip(got);
    else if (c.reader.take({buffer_.data(), got}) < got)
      return failed(c, Failure::malformed);
    if (c.reader.broken()) return failed(c, Failure::malformed);
    if (c.reader.done()) return answered(c);
    if (got < most) return;
  }
}

void Engine::ended(Connection& c) {
  if (c.reader.take_end()) return answered(c);
  failed(c, c.reader.head_done() ? Failure::short_body : Failure::reset);
}

void Engine::answered(Connection& c) {
  const TimePoint now = Clock::now();
  std::optional<Failure> failure;
  switch (c.reader.status() / 100) {
    case 3: failure = Failure::status_3xx; break;
    case 4: failure = Failure::status_4xx; break;
    case 5: failure = Failure::status_5xx; break;
    default:
      if (plan_.expect_bytes >= 0 &&
          c.reader.body_bytes() != static_cast<std::uint64_t>(plan_.expect_bytes)) {
        failure = Failure::wrong_length;
      }
  }
  count(c, failure, now);
  const bool reusable =
      c.reader.keeps_alive() && c.sent == bytes_of(c) && plan_.reuse == Reuse::keep_alive;
  if (reusable)
    c.state = Connection::State::connected;
  else
    close_socket(c);
  give_back(c, now);
}

// The connection rests until a sweep: an instant retry could turn a refusing server into an endless
// loop.
void Engine::failed(Connection& c, Failure failure) {
  if (failure == Failure::connect) last_connect_error_ = system_error("connect", errno).message;
  if (c.state == Connection::State::connecting && failure == Failure::timeout) --connecting_;
  const TimePoint now = Clock::now();
  close_socket(c);
  if (!c.asked) return;  // before the start: the first request opens it
  count(c, failure, now);
  ++resting_;
  c.state = Connection::State::resting;
  c.rests_until = failure == Failure::connect ? now + kRest : now;
}

void Engine::count(Connection& c, std::optional<Failure> failure, TimePoint now) {
  c.asked = false;
  --in_flight_;
  if (!measuring_ || c.intended < measured_from_) return;
  last_answer_ = now;
  ++report_.requests;
  if (failure) ++report_.failures[static_cast<std::size_t>(*failure)];
  const bool unanswered =
      failure && *failure < Failure::wrong_length && *failure != Failure::timeout;
  if (unanswered) return;
  const Duration latency = elapsed(c.intended, now);
  const Duration service = elapsed(c.began, now);
  ++report_.latency.buckets[metrics::Scale::index(latency)];
  ++report_.service.buckets[metrics::Scale::index(service)];
  report_.latency.sum += latency;
  report_.service.sum += service;
  report_.latency_max = std::max(report_.latency_max, latency);
}

void Engine::give_back(Connection& c, TimePoint now) {
  c.free_since = now;
  if (schedule_)
    free_.push_back(&c);
  else if (may_begin(now))
    begin(c, now, now);
}

void Engine::close_socket(Connection& c) {
  c.socket.reset();  // which takes it out of the epoll set
  c.state = Connection::State::closed;
}

void Engine::watch(Connection& c, bool write) {
  if (c.wants_write == write) return;
  c.wants_write = write;
  epoll_event event{.events = EPOLLIN | (write ? EPOLLOUT : 0U), .data = {.ptr = &c}};
  HR_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c.socket.get(), &event) == 0);
}

}  // namespace

Result<Report> run(const Plan& plan, const std::stop_token& stop) {
  if (auto checked = check(plan); !checked) return pass(checked);
  auto target = parse_target(plan.url, plan.unix_path);
  if (!target) return pass(target);
  const ExactTimers exact;
  return Engine(plan, *target, stop).go();
}

}  // namespace headroom::load
