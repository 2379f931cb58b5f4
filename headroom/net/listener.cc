#include "headroom/net/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "headroom/base/log.h"
#include "headroom/net/poller.h"

namespace headroom::net {
namespace {

constexpr int kBacklog = 4096;
constexpr int kAcceptsPerRound = 64;
constexpr Duration kPauseWithoutDescriptors = 100ms;

// "[::]:80" takes IPv4 too, whatever the machine's default is.
void take_both_versions(int fd, const Endpoint& at) {
  const int off = 0;
  if (at.family() == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
}

Result<int> listen_at(const Endpoint& at) {
  const int fd = ::socket(at.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(system_error("socket", errno));
  const int on = 1;
  if (!at.is_unix()) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    take_both_versions(fd, at);
  }
  if (::bind(fd, at.data(), at.size()) != 0 || ::listen(fd, kBacklog) != 0) {
    const Error error = system_error("listen on " + at.to_string(), errno);
    ::close(fd);
    return std::unexpected(error);
  }
  return fd;
}

// A port that another process serves would be shared silently under SO_REUSEPORT: one bind without it tells.
Result<> refuse_shared_port(const Endpoint& at) {
  if (at.is_unix() || at.port() == 0) return {};
  const int fd = ::socket(at.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(system_error("socket", errno));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  take_both_versions(fd, at);
  const int bound = ::bind(fd, at.data(), at.size());
  const int number = errno;
  ::close(fd);
  if (bound != 0) return std::unexpected(system_error("listen on " + at.to_string(), number));
  return {};
}

// A socket file nobody listens on any more is a leftover of a crash. Connecting to any other file is refused too: it stays.
void remove_leftover(const Endpoint& at) {
  const std::string path = at.to_string().substr(5);
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const bool dead = ::connect(fd, at.data(), at.size()) != 0 && errno == ECONNREFUSED;
  ::close(fd);
  if (dead) ::unlink(path.c_str());
}

// Whether a socket that listens at `is` is what a setting of `wanted` asks for; port 0 is any.
bool same_place(const Endpoint& wanted, const Endpoint& is) {
  if (wanted.is_unix() || is.is_unix()) return wanted == is;
  return wanted.ip() == is.ip() && wanted.family() == is.family() &&
         (wanted.port() == 0 || wanted.port() == is.port());
}

}  // namespace

Result<Listener> Listener::open(const Endpoint& at, std::size_t workers,
                                std::vector<int> inherited) {
  Listener listener;
  listener.endpoint_ = at;
  listener.workers_ = workers;
  if (!inherited.empty() && !same_place(at, Endpoint::local_of(inherited[0]))) {
    for (const int fd : std::exchange(inherited, {})) ::close(fd);
  }
  if (!inherited.empty()) {
    listener.sockets_ = std::move(inherited);
    listener.endpoint_ = Endpoint::local_of(listener.sockets_[0]);
    listener.owns_path_ = at.is_unix();
  } else {
    if (at.is_unix()) remove_leftover(at);
    if (auto free = refuse_shared_port(at); !free) return pass(free);
  }
  while (listener.sockets_.size() < workers) {
    Result<int> fd = 0;
    if (at.is_unix() && !listener.sockets_.empty()) {
      fd = ::fcntl(listener.sockets_[0], F_DUPFD_CLOEXEC, 0);
      if (*fd < 0) return std::unexpected(system_error("dup", errno));
    } else {
      fd = listen_at(listener.endpoint_);
      if (!fd) return pass(fd);
    }
    listener.sockets_.push_back(*fd);
    listener.owns_path_ = at.is_unix();  // not before: a path in use is another's
    if (listener.sockets_.size() == 1) listener.endpoint_ = Endpoint::local_of(*fd);
  }
  return listener;
}

Listener::Listener(Listener&& other) noexcept
    : endpoint_(other.endpoint_),
      sockets_(std::exchange(other.sockets_, {})),
      workers_(other.workers_),
      owns_path_(std::exchange(other.owns_path_, false)) {}

Listener::~Listener() { close(); }

void Listener::close() {
  for (const int fd : std::exchange(sockets_, {})) ::close(fd);
  if (std::exchange(owns_path_, false)) ::unlink(endpoint_.to_string().substr(5).c_str());
}

namespace {

// The wait of one accepting socket, woken by its group's stop.
class AcceptWait final : private Stoppable {
 public:
  AcceptWait(TaskGroup& group, int fd) : Stoppable(group), watch_(group.worker(), fd) {}
  // False: stopped.
  [[nodiscard]] Task<bool> readable() {
    while (!watch_.ready(Direction::read) && !group().stopped())
      co_await watch_.wait(Direction::read);
    co_return !group().stopped();
  }
  void drained() { watch_.drained(Direction::read); }

 private:
  void on_stop() override { watch_.cancel(); }
  Watch watch_;
};

enum class Round : std::uint8_t { drained, more, no_room };

// Accepts what is there.
Round accept_round(int listening, const std::function<void(Listener::Accepted)>& take) {
  for (int i = 0; i < kAcceptsPerRound; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int fd = ::accept4(listening, reinterpret_cast<sockaddr*>(&peer), &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      take({fd, Endpoint(reinterpret_cast<const sockaddr*>(&peer), size)});
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return Round::no_room;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return Round::drained;
    }
  }
  return Round::more;
}

}  // namespace

Task<> Listener::accept(TaskGroup& group, std::function<void(Accepted)> take) {
  const std::size_t first = group.worker().index() % workers_;
  // Another process may have handed over more sockets than there are workers here: each of them has a queue.
  for (std::size_t i = first + workers_; i < sockets_.size(); i += workers_) {
    auto more = [this, &group, i, take] { return accept_from(group, sockets_[i], take); };
    if (!group.spawn(more)) co_return;
  }
  co_await accept_from(group, sockets_[first], std::move(take));
}

Task<> Listener::accept_from(TaskGroup& group, int listening, std::function<void(Accepted)> take) {
  AcceptWait wait(group, listening);
  bool warned = false;
  while (co_await wait.readable()) {
    const Round round = accept_round(listening, take);
    if (round == Round::drained) wait.drained();
    if (round == Round::more) co_await group.worker().yield();
    if (round != Round::no_room) {
      warned = false;
      continue;
    }
    if (!std::exchange(warned, true)) {
      log::warn("net", "{}: no more file descriptors; accepting pauses", endpoint_.to_string());
    }
    (void)co_await sleep(group, kPauseWithoutDescriptors);
  }
}

}  // namespace headroom::net
