// headroom/load/fake_server.h - for tests: a scripted HTTP server in this process, one blocking
// thread a connection.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"

namespace headroom::load {

// What is done with one request: some bytes, then.
struct Reply {
  enum class Then : unsigned char { keep, close, reset };
  std::string bytes;
  Then then = Then::keep;
};

inline Reply ok(std::string_view body) {
  return {fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body)};
}

class FakeServer {
 public:
  // `script` gets the request's number, from 0, and its text; it is called from several threads.
  using Script = std::function<Reply(unsigned number, const std::string& request)>;

  explicit FakeServer(Script script) : script_(std::move(script)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    start(AF_INET, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  FakeServer(Script script, const std::string& unix_path) : script_(std::move(script)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, unix_path.c_str(), sizeof address.sun_path - 1);
    unlink(unix_path.c_str());
    start(AF_UNIX, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;
  ~FakeServer() {
    stopping_ = true;
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    close(listener_);
  }

  [[nodiscard]] std::string url(std::string_view path = "/") const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    return fmt::format("http://127.0.0.1:{}{}", ntohs(address.sin_port), path);
  }
  [[nodiscard]] unsigned connections() const { return connections_; }
  [[nodiscard]] unsigned requests() const { return requests_; }

 private:
  void start(int family, const sockaddr* address, socklen_t size) {
    listener_ = socket(family, SOCK_STREAM, 0);
    HR_ASSERT(bind(listener_, address, size) == 0);
    HR_ASSERT(listen(listener_, 1024) == 0);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  bool readable(int fd) const {
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    while (!stopping_) {
      if (poll(&waiting, 1, 10) > 0) return true;
    }
    return false;
  }
  void accept_all() {
    while (readable(listener_)) {
      const int fd = accept(listener_, nullptr, nullptr);
      ++connections_;
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }
  void serve(int fd) {
    std::string input;
    for (;;) {
      const std::string request = take_request(fd, input);
      if (request.empty()) break;
      const Reply reply = script_(requests_++, request);
      if (send(fd, reply.bytes.data(), reply.bytes.size(), MSG_NOSIGNAL) < 0) break;
      if (reply.then == Reply::Then::reset) {
        const linger now{.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      }
      if (reply.then != Reply::Then::keep) break;
    }
    close(fd);
  }
  // Head and body of the next request; empty when the client has gone.
  std::string take_request(int fd, std::string& input) const {
    std::vector<char> buffer(1U << 16U);
    for (;;) {
      const auto end = input.find("\r\n\r\n");
      if (end != std::string::npos) {
        const std::size_t whole = end + 4 + body_length(input.substr(0, end));
        if (input.size() >= whole) {
          std::string request = input.substr(0, whole);
          input.erase(0, whole);
          return request;
        }
      }
      if (!readable(fd)) return {};
      const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
      if (n <= 0) return {};
      input.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }
  static std::size_t body_length(const std::string& head) {
    constexpr std::string_view kName = "Content-Length: ";
    const auto at = head.find(kName);
    if (at == std::string::npos) return 0;
    const auto from = at + kName.size();
    return text::to_u64(head.substr(from, head.find('\r', from) - from)).value_or(0);
  }

  const Script script_;
  int listener_ = -1;
  std::atomic<bool> stopping_ = false;
  std::atomic<unsigned> connections_ = 0;
  std::atomic<unsigned> requests_ = 0;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace headroom::load
