// headroom-floor: the least that a hub can do, as a yardstick: one thread, one epoll, and for each message one send() of the same frame to
// every subscriber. What that costs is the kernel's, so it bounds what any hub that writes each message to each socket can reach here. With
// --cert and --key over TLS: what a connection then takes is OpenSSL's (its buffers released when idle).
//
// Speaks as much of the plain face as headroom-sockets needs; a peer that is slow or says anything else ends it (exit code 1).
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/websocket/frame.h"

namespace {

using namespace headroom;  // NOLINT

// The answer to the key that headroom-sockets sends, RFC 6455's sample.
constexpr std::string_view kAccepted =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct FreeTls {
  void operator()(SSL* tls) const { SSL_free(tls); }
};

struct Connection {
  int fd = -1;
  std::unique_ptr<SSL, FreeTls> tls{};
  bool secure = false;  // its handshake is done
  bool upgraded = false;
  std::string in{};
};

[[noreturn]] void give_up(const std::string& why) { throw std::runtime_error(why); }

void send_all(const Connection& to, std::string_view bytes) {
  const auto size = static_cast<int>(bytes.size());
  const auto sent = to.tls ? SSL_write(to.tls.get(), bytes.data(), size)
                           : ::send(to.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent != size) give_up("a peer took no more");
}

std::string text_frame(std::string_view text) {
  std::string frame;
  websocket::append_frame(frame, websocket::Opcode::text, text);
  return frame;
}

// The text of a member, as headroom-sockets writes it.
std::string_view member(std::string_view text, std::string_view name) {
  const std::string mark = fmt::format(R"("{}":")", name);
  const std::size_t begin = text.find(mark);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = text.substr(begin + mark.size());
  return rest.substr(0, rest.find('"'));
}

class Floor {
 public:
  explicit Floor(SSL_CTX* tls) : tls_(tls), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  void run() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
        ::listen(listener, 4096) != 0 ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) != 0)
      give_up("listen");
    watch(listener, nullptr);
    fmt::print("listening on {}\n", ntohs(at.sin_port));
    std::fflush(stdout);
    std::array<epoll_event, 256> events;
    for (;;) {
      const int n = ::epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < n; ++i) {
        auto* const who = static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        who == nullptr ? accept_all(listener) : read(*who);
      }
    }
  }

 private:
  void watch(int fd, Connection* who) const {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = who}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all(int listener) {
    const int on = 1;
    for (int fd = 0;
         (fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto who = std::make_unique<Connection>();
      who->fd = fd;
      if (tls_ != nullptr) {
        who->tls.reset(SSL_new(tls_));
        SSL_set_fd(who->tls.get(), fd);
        SSL_set_accept_state(who->tls.get());
      }
      watch(fd, who.get());
      connections_[fd] = std::move(who);
    }
  }

  // Where a peer has closed, so do we: nothing of it is kept.
  void end(Connection& who) {
    for (auto& [name, all] : channels_) std::erase(all, &who);
    const int fd = who.fd;
    connections_.erase(fd);
    ::close(fd);
  }

  void read(Connection& who) {
    if (who.tls && !who.secure) {
      who.secure = SSL_do_handshake(who.tls.get()) == 1;
      if (!who.secure) return;
    }
    const auto n = who.tls ? SSL_read(who.tls.get(), piece_.data(), static_cast<int>(piece_.size()))
                           : ::recv(who.fd, piece_.data(), piece_.size(), 0);
    if (who.tls && n <= 0 &&
        SSL_get_error(who.tls.get(), static_cast<int>(n)) == SSL_ERROR_WANT_READ)
      return;
    if (n <= 0) return end(who);
    who.in.append(piece_.data(), static_cast<std::size_t>(n));
    take(who);
    if (who.in.empty()) who.in = std::string();
  }

  void take(Connection& who) {
    if (!who.upgraded) {
      const std::size_t end = who.in.find("\r\n\r\n");
      if (end == std::string::npos) return;
      who.in.erase(0, end + 4);
      who.upgraded = true;
      send_all(who, kAccepted);
    }
    while (who.in.size() >= 6) {
      const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(who.in[i]); };
      std::size_t size = byte(1) & 0x7FU;
      const std::size_t head = size == 126 ? 8 : 6;  // and the mask
      if (size == 127) give_up("a message of more than 64 KiB");
      if (size == 126) size = static_cast<std::size_t>(byte(2)) << 8U | byte(3);
      if (who.in.size() < head + size) return;
      std::string text = who.in.substr(head, size);
      for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>(text[i] ^ who.in[head - 4 + i % 4]);
      who.in.erase(0, head + size);
      say(who, text);
    }
  }

  void say(Connection& who, std::string_view text) {
    const std::string channel(member(text, "channel"));
    auto& all = channels_[channel];
    if (member(text, "type") == "subscribe") {
      all.push_back(&who);
      return send_all(
          who, text_frame(fmt::format(R"({{"type":"subscribed","channel":"{}"}})", channel)));
    }
    const std::string frame =
        text_frame(fmt::format(R"({{"type":"{}","channel":"{}","data":"{}"}})",
                               member(text, "event"), channel, member(text, "data")));
    for (const Connection* each : all) {
      if (each != &who) send_all(*each, frame);
    }
  }

  SSL_CTX* const tls_;
  const int epoll_;
  std::array<char, 64U << 10U> piece_{};
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
  std::unordered_map<std::string, std::vector<Connection*>> channels_;
};

SSL_CTX* make_tls(const std::string& cert, const std::string& key) {
  SSL_CTX* const made = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
  if (SSL_CTX_use_certificate_chain_file(made, cert.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(made, key.c_str(), SSL_FILETYPE_PEM) != 1)
    give_up("the certificate or its key");
  return made;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("the least that a hub can do, as a yardstick");
  std::string cert;
  std::string key;
  app.add_option("--cert", cert);
  app.add_option("--key", key);
  CLI11_PARSE(app, argc, argv);
  try {
    Floor(cert.empty() ? nullptr : make_tls(cert, key)).run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "headroom-floor: {}\n", error.what());
  }
  return 1;
}
