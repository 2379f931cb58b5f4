#include "bench/origin/origin.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <map>
#include <optional>
#include <queue>
#include <string_view>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/base/clock.h"
#include "headroom/base/text.h"

namespace headroom::bench {

namespace {

constexpr std::size_t kBufferBytes = 256U << 10U;
constexpr std::size_t kHeadLimit = 64U << 10U;
constexpr std::size_t kTargetsLimit = 256;
constexpr int kEventsAtOnce = 256;
constexpr int kBacklog = 4096;
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// What is answered to one target. The date inside the head is renewed in place, every second.
struct Answer {
  std::string head;
  std::size_t date_at = 0;
  std::uint64_t body_bytes = 0;
  Duration delay{};
  bool tells_received = false;
};

struct Request {
  std::string_view target;
  std::uint64_t body_bytes = 0;
  bool is_head = false;
  bool closes = false;
  bool awaits_continue = false;
};

// "10k" -> 10240.
std::optional<std::uint64_t> parse_size(std::string_view text) {
  unsigned shift = 0;
  if (!text.empty()) {
    constexpr std::string_view kUnits = "kmg";
    const auto unit = kUnits.find(text::lower(text.back()));
    if (unit != std::string_view::npos) shift = 10 * (static_cast<unsigned>(unit) + 1);
  }
  const auto number = text::to_u64(text.substr(0, text.size() - (shift > 0 ? 1 : 0)));
  if (!number || *number > UINT64_MAX >> (shift + 1)) return std::nullopt;
  return *number << shift;
}

std::string http_date(std::time_t now) {
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 40> text{};
  const auto size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text.data(), size};
}

Answer make_answer(std::string_view target, std::time_t now) {
  Answer answer;
  const auto question = std::min(target.find('?'), target.size());
  const std::string_view path = target.substr(0, question);
  std::uint64_t status = 200;
  std::string freshness;
  if (path == "/received")
    answer.tells_received = true;
  else if (const auto size = parse_size(path.substr(1)))
    answer.body_bytes = *size;
  else
    status = 404;
  const std::string_view query = question < target.size() ? target.substr(question + 1) : "";
  for (const std::string_view part : text::split(query, '&')) {
    const auto equals = part.find('=');
    const auto number = text::to_u64(equals < part.size() ? part.substr(equals + 1) : "");
    if (!number) continue;
    if (part.starts_with("delay_ms=")) answer.delay = std::chrono::milliseconds(*number);
    if (part.starts_with("status=")) status = *number;
    if (part.starts_with("max_age="))
      freshness = fmt::format("Cache-Control: max-age={}\r\n", *number);
  }
  answer.head = fmt::format("HTTP/1.1 {} {}\r\nServer: origin\r\nDate: ", status,
                            status == 200 ? "OK" : "As Asked");
  answer.date_at = answer.head.size();
  answer.head += http_date(now) + "\r\nContent-Type: text/plain\r\n" + freshness;
  if (!answer.tells_received) {
    answer.head += fmt::format("Content-Length: {}\r\n\r\n", answer.body_bytes);
  }
  return answer;
}

bool starts_with_ignoring_case(std::string_view line, std::string_view name) {
  return line.size() >= name.size() && text::equal_ignoring_case(line.substr(0, name.size()), name);
}

// `head` is the request line and the fields, each with its CRLF.
std::optional<Request> parse_request(std::string_view head) {
  Request request;
  const auto first = head.find(' ');
  const auto second = head.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  request.is_head = head.starts_with("HEAD ");
  request.target = head.substr(first + 1, second - first - 1);
  if (!request.target.starts_with('/')) return std::nullopt;
  auto at = head.find('\n', second) + 1;
  for (; at < head.size(); at = head.find('\n', at) + 1) {
    const char c = text::lower(head[at]);
    if (c != 'c' && c != 'e') continue;
    const std::string_view line = head.substr(at, head.find('\r', at) - at);
    if (starts_with_ignoring_case(line, "content-length:")) {
      const auto length = text::to_u64(text::trimmed(line.substr(15)));
      if (!length) return std::nullopt;
      request.body_bytes = *length;
    } else if (starts_with_ignoring_case(line, "connection:")) {
      request.closes = line.find("close") != std::string_view::npos;
    } else if (starts_with_ignoring_case(line, "expect:")) {
      request.awaits_continue = true;
    }
  }
  return request;
}

struct Connection {
  int fd = -1;
  std::uint64_t serial = 0;    // tells this connection from a later one with the same descriptor
  std::string input;           // of a head that is not whole, or of requests that wait
  std::uint64_t discard = 0;   // of the request's body, still to come
  std::uint64_t received = 0;  // of the request's body
  const Answer* answer = nullptr;  // to the request that is being read or answered
  std::string own_head;            // instead of answer->head
  bool is_head = false;
  bool closes = false;
  std::uint32_t interest = EPOLLIN;
  std::uint64_t sent = 0;
};

class EpollOrigin final : public Origin {
 public:
  EpollOrigin(int listener, std::uint16_t port);
  EpollOrigin(const EpollOrigin&) = delete;
  EpollOrigin& operator=(const EpollOrigin&) = delete;
  ~EpollOrigin() override;
  [[nodiscard]] std::uint16_t port() const override { return port_; }
  void run() override;
  void stop() override;

 private:
  struct Due {
    TimePoint at;
    int fd;
    std::uint64_t serial;
    bool operator>(const Due& other) const { return at > other.at; }
  };

  [[nodiscard]] int timeout_ms() const;
  void renew_dates();
  void fire_due();
  void accept_all();
  void on_readable(Connection& c);
  void take(Connection& c, std::string_view bytes);
  std::size_t take_head(Connection& c, std::string_view bytes);
  const Answer& answer_to(std::string_view target);
  void respond(Connection& c);
  void send_more(Connection& c);
  void finish(Connection& c);
  void resume(Connection& c);
  void watch(Connection& c, std::uint32_t interest);
  void end(Connection& c);

  const int listener_;
  const std::uint16_t port_;
  const int epoll_;
  const int wake_;
  bool stopping_ = false;
  std::time_t second_ = 0;
  std::uint64_t serial_ = 0;
  std::string last_target_;
  const Answer* last_answer_ = nullptr;
  std::map<std::string, Answer, std::less<>> answers_;
  std::vector<std::unique_ptr<Connection>> connections_;  // by descriptor
  std::vector<std::unique_ptr<Connection>> ended_;  // kept until their batch of events is over
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::vector<char> buffer_ = std::vector<char>(kBufferBytes);
  const std::vector<char> body_ = std::vector<char>(kBufferBytes, 'o');
};

EpollOrigin::EpollOrigin(int listener, std::uint16_t port)
    : listener_(listener),
      port_(port),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  HR_ASSERT(epoll_ >= 0);
  for (const int fd : {listener_, wake_}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    HR_ASSERT(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
  }
}

EpollOrigin::~EpollOrigin() {
  for (const auto& c : connections_) {
    if (c) close(c->fd);
  }
  for (const int fd : {listener_, wake_, epoll_}) close(fd);
}

void EpollOrigin::stop() {
  const std::uint64_t one = 1;
  HR_ASSERT(write(wake_, &one, sizeof one) > 0);
}

void EpollOrigin::run() {
  std::array<epoll_event, kEventsAtOnce> events;  // NOLINT(*-member-init): the kernel fills it
  while (!stopping_) {
    const int n = epoll_wait(epoll_, events.data(), kEventsAtOnce, timeout_ms());
    renew_dates();
    for (int i = 0; i < n; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      const auto fd = static_cast<std::size_t>(event.data.fd);
      if (event.data.fd == wake_)
        stopping_ = true;
      else if (event.data.fd == listener_)
        accept_all();
      else if (fd >= connections_.size() || !connections_[fd])
        continue;
      else if ((event.events & EPOLLOUT) != 0)
        resume(*connections_[fd]);
      else
        on_readable(*connections_[fd]);
    }
    fire_due();
    ended_.clear();
  }
}

int EpollOrigin::timeout_ms() const {
  if (due_.empty()) return -1;
  return static_cast<int>(milliseconds(elapsed(Clock::now(), due_.top().at))) + 1;
}

void EpollOrigin::renew_dates() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec == second_) return;
  second_ = now.tv_sec;
  const std::string date = http_date(second_);
  for (auto& [target, answer] : answers_) {
    answer.head.replace(answer.date_at, date.size(), date);
  }
}

void EpollOrigin::fire_due() {
  while (!due_.empty() && due_.top().at <= Clock::now()) {
    const Due due = due_.top();
    due_.pop();
    const auto& slot = connections_[static_cast<std::size_t>(due.fd)];
    if (!slot || slot->serial != due.serial) continue;
    resume(*slot);
  }
}

void EpollOrigin::accept_all() {
  for (;;) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto slot = static_cast<std::size_t>(fd);
    if (slot >= connections_.size()) connections_.resize(slot + 1);
    connections_[slot] = std::make_unique<Connection>();
    connections_[slot]->fd = fd;
    connections_[slot]->serial = ++serial_;
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    HR_ASSERT(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
  }
}

void EpollOrigin::on_readable(Connection& c) {
  // The kernel drops what belongs to a body; nobody looks at it.
  const bool drop = c.discard > 0;
  const auto most = drop ? std::min<std::uint64_t>(c.discard, kBufferBytes) : kBufferBytes;
  const ssize_t n = recv(c.fd, buffer_.data(), most, drop ? MSG_TRUNC : 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return end(c);
  take(c, {buffer_.data(), static_cast<std::size_t>(n)});
}

void EpollOrigin::take(Connection& c, std::string_view bytes) {
  while (!bytes.empty() && c.fd >= 0) {
    if (c.discard > 0) {
      const auto part = std::min<std::uint64_t>(c.discard, bytes.size());
      c.discard -= part;
      bytes.remove_prefix(static_cast<std::size_t>(part));
      if (c.discard == 0) respond(c);
    } else if (c.answer != nullptr) {  // a pipelined request: its turn comes
      c.input += bytes;
      return;
    } else {
      bytes.remove_prefix(take_head(c, bytes));
    }
  }
}

// Returns how many of `bytes` belong to the head.
std::size_t EpollOrigin::take_head(Connection& c, std::string_view bytes) {
  const std::size_t before = c.input.size();
  if (before > 0) c.input += bytes;
  const std::string_view all = before > 0 ? std::string_view(c.input) : bytes;
  const auto end_at = all.find(kHeadEnd, before < 3 ? 0 : before - 3);
  if (end_at == std::string_view::npos) {
    if (all.size() > kHeadLimit)
      end(c);
    else if (before == 0)
      c.input = bytes;
    return bytes.size();
  }
  const auto request = parse_request(all.substr(0, end_at + 2));
  if (!request) {
    end(c);
    return bytes.size();
  }
  c.answer = &answer_to(request->target);
  c.is_head = request->is_head;
  c.closes = request->closes;
  c.discard = c.received = request->body_bytes;
  const std::size_t taken = end_at + kHeadEnd.size() - before;
  c.input.clear();
  if (c.discard == 0)
    respond(c);
  else if (request->awaits_continue)
    send(c.fd, kContinue.data(), kContinue.size(), MSG_NOSIGNAL);
  return taken;
}

const Answer& EpollOrigin::answer_to(std::string_view target) {
  if (target == last_target_ && last_answer_ != nullptr) return *last_answer_;
  auto at = answers_.find(target);
  if (at == answers_.end()) {
    const bool full = answers_.size() >= kTargetsLimit;
    const std::string_view known = full ? "/too-many-targets" : target;
    at = answers_.try_emplace(std::string(known), make_answer(known, second_)).first;
  }
  last_target_ = target;
  last_answer_ = &at->second;
  return at->second;
}

void EpollOrigin::respond(Connection& c) {
  c.own_head.clear();
  if (c.answer->tells_received) {
    const std::string body = std::to_string(c.received);
    c.own_head = c.answer->head + fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body);
  }
  c.sent = 0;
  if (c.answer->delay > Duration::zero()) {
    due_.push({Clock::now() + c.answer->delay, c.fd, c.serial});
    return watch(c, 0);
  }
  send_more(c);
}

void EpollOrigin::send_more(Connection& c) {
  const std::string& head = c.own_head.empty() ? c.answer->head : c.own_head;
  const std::uint64_t whole = head.size() + (c.is_head ? 0 : c.answer->body_bytes);
  while (c.sent < whole) {
    const auto head_sent = static_cast<std::size_t>(std::min<std::uint64_t>(c.sent, head.size()));
    const std::uint64_t body_left = whole - std::max<std::uint64_t>(c.sent, head.size());
    std::array<iovec, 2> parts{};
    parts[0] = {const_cast<char*>(head.data()) + head_sent, head.size() - head_sent};  // NOLINT
    parts[1] = {const_cast<char*>(body_.data()),  // NOLINT: only read
                static_cast<std::size_t>(std::min<std::uint64_t>(body_left, body_.size()))};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t n = sendmsg(c.fd, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return watch(c, EPOLLOUT);
    if (n < 0 && errno != EINTR) return end(c);
    if (n > 0) c.sent += static_cast<std::uint64_t>(n);
  }
  finish(c);
}

void EpollOrigin::finish(Connection& c) {
  c.answer = nullptr;
  if (c.closes) return end(c);
  watch(c, EPOLLIN);
}

// After a wait: sends on, then takes the requests that came meanwhile.
void EpollOrigin::resume(Connection& c) {
  send_more(c);
  if (c.fd < 0 || c.answer != nullptr || c.input.empty()) return;
  const std::string input = std::move(c.input);
  c.input.clear();
  take(c, input);
}

void EpollOrigin::watch(Connection& c, std::uint32_t interest) {
  if (c.interest == interest) return;
  c.interest = interest;
  epoll_event event{.events = interest, .data = {.fd = c.fd}};
  HR_ASSERT(epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event) == 0);
}

void EpollOrigin::end(Connection& c) {
  auto& slot = connections_[static_cast<std::size_t>(c.fd)];
  close(c.fd);
  c.fd = -1;
  ended_.push_back(std::move(slot));
}

}  // namespace

Result<std::unique_ptr<Origin>> Origin::listen(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(system_error("socket", errno));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd, any, size) != 0 || ::listen(fd, kBacklog) != 0 || getsockname(fd, any, &size) != 0) {
    const int error = errno;
    close(fd);
    return std::unexpected(system_error(fmt::format("127.0.0.1:{}", port), error));
  }
  return std::make_unique<EpollOrigin>(fd, ntohs(address.sin_port));
}

}  // namespace headroom::bench
