// headroom/net/net_fixture.h - the small language of this room's tests: tasks run to their end on a worker, pairs of connected streams.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <utility>

#include "headroom/base/assert.h"
#include "headroom/net/endpoint.h"
#include "headroom/net/stream.h"
#include "headroom/net/task_group.h"
#include "headroom/net/worker.h"

namespace headroom::net {

inline Endpoint loopback(std::uint16_t port = 0) { return {IpAddress::v4({127, 0, 0, 1}), port}; }

// A blocking TCP socket that listens on a free port of the loopback, closed at the end.
class ListeningSocket {
 public:
  explicit ListeningSocket(int backlog = 128)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const Endpoint at = loopback();
    HR_ASSERT(::bind(fd_, at.data(), at.size()) == 0);
    HR_ASSERT(::listen(fd_, backlog) == 0);
  }
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;
  ~ListeningSocket() { ::close(fd_); }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] Endpoint endpoint() const { return Endpoint::local_of(fd_); }

 private:
  int fd_;
};

// Two ends of a TCP connection over the loopback, non-blocking.
inline std::pair<int, int> connected_sockets() {
  const ListeningSocket listening;
  const Endpoint to = listening.endpoint();
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  HR_ASSERT(::connect(client, to.data(), to.size()) == 0);
  const int server = ::accept4(listening.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  HR_ASSERT(server >= 0);
  const int on = 1;
  HR_ASSERT(::ioctl(client, FIONBIO, &on) == 0);
  return {client, server};
}

class NetTest : public ::testing::Test {
 protected:
  NetTest() { workers_.start(); }

  [[nodiscard]] Worker& worker(std::size_t i = 0) { return workers_[i]; }

  // Runs `body(group)` as a task of a new group on a worker, to its end and that of the tasks it spawned into the group.
  template <class F>
  void run(F body, std::size_t on = 0) {
    std::unique_ptr<TaskGroup> outer;
    std::unique_ptr<TaskGroup> group;
    auto whole = [&group, &body]() -> Task<> {
      co_await body(*group);
      co_await group->join();
    };
    worker(on).run_and_wait([&] {
      outer = std::make_unique<TaskGroup>(worker(on));
      group = std::make_unique<TaskGroup>(worker(on));
      HR_ASSERT(outer->spawn(whole) == true);
    });
    outer->stop_and_join();  // nothing waits in it: a join
    worker(on).run_and_wait([&] {
      group.reset();
      outer.reset();
    });
  }

 private:
  Workers workers_{2};
};

// Two connected streams of one group.
struct Pair {
  explicit Pair(TaskGroup& group, std::pair<int, int> sockets = connected_sockets())
      : client(group, sockets.first, AF_INET), server(group, sockets.second, AF_INET) {}
  Stream client;
  Stream server;
};

// Reads exactly `size` bytes, or what comes before the end of the stream.
inline Task<Result<std::string>> read_bytes(Stream& stream, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const std::span<char> room = std::span(bytes).subspan(have);
    auto read = co_await stream.read_some(room);
    if (!read) co_return pass(read);
    if (*read == 0) break;
    have += *read;
  }
  bytes.resize(have);
  co_return bytes;
}

}  // namespace headroom::net
