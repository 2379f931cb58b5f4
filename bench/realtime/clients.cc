#include "bench/realtime/clients.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <utility>

#include "headroom/websocket/frame.h"

namespace headroom::bench {
namespace {

constexpr std::size_t kAtOnce = 200;
constexpr std::size_t kSources = 8;

[[noreturn]] void give_up(const std::string& why) { throw std::runtime_error(why); }

sockaddr_in address(std::uint32_t host, int port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_addr.s_addr = htonl(host);
  made.sin_port = htons(static_cast<std::uint16_t>(port));
  return made;
}

int open_socket(int port, std::size_t number, int flags, bool small = false) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) give_up(fmt::format("socket: {}", std::strerror(errno)));
  const int on = 1;
  const int bytes = 4096;
  if (small) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  const sockaddr_in from = address(0x7F000002U + static_cast<std::uint32_t>(number % kSources), 0);
  const sockaddr_in to = address(0x7F000001U, port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0 ||
      (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
       errno != EINPROGRESS))
    give_up(fmt::format("connect: {}", std::strerror(errno)));
  return fd;
}

std::string upgrade(const std::string& path) {
  return "GET " + path +
         " HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0) give_up(fmt::format("send: {}", std::strerror(errno)));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

std::uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

std::string client_frame(std::string_view text) {
  std::string out;
  websocket::append_masked_frame(out, websocket::Opcode::text, text, {1, 2, 3, 4});
  return out;
}

Clients::Clients(Options options) : options_(std::move(options)), buffer_(256U << 10U) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (options_.tls) tls_ = SSL_CTX_new(TLS_client_method());
}

void Clients::FreeTls::operator()(ssl_st* tls) const { SSL_free(tls); }

Clients::~Clients() {
  for (const auto& client : clients_) ::close(client->fd);
  clients_.clear();
  SSL_CTX_free(tls_);
  ::close(epoll_);
}

void Clients::connect(std::size_t number) {
  auto client = std::make_unique<Client>();
  client->number = number;
  client->fd =
      open_socket(options_.port, number, options_.tls ? 0 : SOCK_NONBLOCK, is_small(number));
  if (options_.tls) connect_tls(*client);
  epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.ptr = client.get()}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, client->fd, &event);
  clients_.push_back(std::move(client));
  ++opening_;
}

// Waits for its handshake: one connection after the other.
void Clients::connect_tls(Client& client) {
  client.tls.reset(SSL_new(tls_));
  SSL_set_fd(client.tls.get(), client.fd);
  if (SSL_connect(client.tls.get()) != 1) give_up("the TLS handshake failed");
  ::fcntl(client.fd, F_SETFL, O_NONBLOCK);
}

void Clients::write_to(const Client& client, std::string_view bytes) {
  if (!client.tls) return write_all(client.fd, bytes);
  const auto size = static_cast<int>(bytes.size());
  if (SSL_write(client.tls.get(), bytes.data(), size) != size) give_up("TLS: not all was written");
}

// As recv(2) answers.
std::ptrdiff_t Clients::read_from(const Client& client) {
  if (!client.tls) return ::recv(client.fd, buffer_.data(), buffer_.size(), 0);
  const int n = SSL_read(client.tls.get(), buffer_.data(), static_cast<int>(buffer_.size()));
  if (n > 0) return n;
  errno = EAGAIN;
  return SSL_get_error(client.tls.get(), n) == SSL_ERROR_WANT_READ ? -1 : 0;
}

void Clients::open() {
  const TimePoint deadline = Clock::now() + std::chrono::minutes(5);
  std::size_t next = 0;
  while (ready_ < options_.connections) {
    while (next < options_.connections && opening_ < kAtOnce) connect(next++);
    const std::size_t before = ready_;
    if (!run_until(deadline, [&] { return ready_ > before; }))
      give_up(fmt::format("{} of {} connections opened", ready_, options_.connections));
  }
}

std::size_t Clients::stall_small() {
  std::size_t stalled = 0;
  for (const auto& client : clients_) {
    if (!is_small(client->number)) continue;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, client->fd, nullptr);
    ++stalled;
  }
  return stalled;
}

bool Clients::run_until(TimePoint deadline, const std::function<bool()>& done) {
  std::array<epoll_event, 512> events;
  while (!done()) {
    if (Clock::now() >= deadline) return false;
    const int n = ::epoll_wait(epoll_, events.data(), events.size(), 10);
    for (int i = 0; i < n; ++i)
      on_event(*static_cast<Client*>(events[static_cast<std::size_t>(i)].data.ptr),
               events[static_cast<std::size_t>(i)].events);
  }
  return true;
}

void Clients::on_event(Client& client, std::uint32_t events) {
  if (client.stage == Client::Stage::connecting) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) give_up(fmt::format("connect: {}", std::strerror(error)));
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &client}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, client.fd, &event);
    client.stage = Client::Stage::upgrading;
    return write_to(client, upgrade(options_.path));
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  const std::ptrdiff_t n = read_from(client);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) give_up(fmt::format("connection {} was closed", client.number));
  on_bytes(client, {buffer_.data(), static_cast<std::size_t>(n)});
}

void Clients::on_bytes(Client& client, std::string_view bytes) {
  if (!client.partial.empty()) {
    client.partial += bytes;
    const std::string whole = std::exchange(client.partial, {});
    const std::size_t used = frames(client, whole);
    client.partial = whole.substr(used);
    return;
  }
  const std::size_t used = frames(client, bytes);
  if (used < bytes.size()) client.partial = bytes.substr(used);
}

std::size_t Clients::frames(Client& client, std::string_view bytes) {
  std::size_t used = 0;
  if (client.stage == Client::Stage::upgrading) {
    const std::size_t end = bytes.find("\r\n\r\n");
    if (end == std::string_view::npos) return 0;
    if (!bytes.starts_with("HTTP/1.1 101"))
      give_up("no upgrade: " + std::string(bytes.substr(0, 200)));
    client.stage = Client::Stage::greeting;
    used = end + 4;
    if (options_.face == Face::plain) subscribe(client);
  }
  for (;;) {
    const std::string_view rest = bytes.substr(used);
    if (rest.size() < 2) return used;
    std::size_t size = static_cast<unsigned char>(rest[1]) & 0x7FU;
    std::size_t head = 2;
    if (size == 126) {
      if (rest.size() < 4) return used;
      size = static_cast<std::size_t>(static_cast<unsigned char>(rest[2]) << 8U |
                                      static_cast<unsigned char>(rest[3]));
      head = 4;
    }
    if (size == 127) give_up("a message of more than 64 KiB");
    if (rest.size() < head + size) return used;
    const auto opcode = static_cast<unsigned char>(rest[0]) & 0x0FU;
    if (opcode == 1) on_text(client, rest.substr(head, size));
    if (opcode == 8) give_up("closed: " + std::string(rest.substr(head, size)));
    if (opcode == 9) {
      std::string pong;
      websocket::append_masked_frame(pong, websocket::Opcode::pong, rest.substr(head, size),
                                     {1, 2, 3, 4});
      write_to(client, pong);
    }
    used += head + size;
  }
}

void Clients::on_text(Client& client, std::string_view text) {
  if (client.stage == Client::Stage::open && text != "2") return on_message(text);
  greet(client, text);
}

void Clients::on_message(std::string_view text) {
  const std::size_t at = text.find("\"T");
  if (at == std::string_view::npos) return;
  std::uint64_t sent = 0;
  std::from_chars(text.data() + at + 2, text.data() + text.size(), sent);
  ++received;
  const std::uint64_t now = now_ns();
  ++ages.buckets[metrics::Scale::index(
      Duration(static_cast<std::int64_t>(now - std::min(now, sent))))];
}

// What comes before messages.
void Clients::greet(Client& client, std::string_view text) {
  if (text.find("rror\"") != std::string_view::npos) give_up("refused: " + std::string(text));
  const bool io = options_.face == Face::socketio;
  if (io && text == "2") return say(client, "3");
  if (client.stage == Client::Stage::greeting) {
    if (io && text.starts_with("0")) return say(client, "40");
    if (io ? text.starts_with("40") : text.find("connection_established") != std::string_view::npos)
      subscribe(client);
    return;
  }
  if (text.find(options_.face == Face::pusher ? "subscription_succeeded" : "subscribed") ==
      std::string_view::npos)
    return;
  const std::string channel = options_.channel(client.number);
  if (text.find("\"" + channel + "\"") == std::string_view::npos)
    return;  // one it is in without asking
  client.stage = Client::Stage::open;
  ++ready_;
  --opening_;
}

void Clients::subscribe(Client& client) {
  client.stage = Client::Stage::subscribing;
  const std::string channel = options_.channel(client.number);
  if (channel.empty()) {
    client.stage = Client::Stage::open;
    ++ready_;
    --opening_;
    return;
  }
  switch (options_.face) {
    case Face::pusher:
      return say(client, R"({"event":"pusher:subscribe","data":{"channel":")" + channel + "\"}}");
    case Face::plain: return say(client, R"({"type":"subscribe","channel":")" + channel + "\"}");
    case Face::socketio: return say(client, R"(42["subscribe",")" + channel + "\"]");
  }
}

void Clients::say(Client& client, std::string_view text) { write_to(client, client_frame(text)); }

Publisher::Publisher(int port, Face face, const std::string& path,
                     const std::vector<std::string>& channels)
    : fd_(open_socket(port, 0, 0)), face_(face) {
  write_all(fd_, upgrade(path));
  read_some(true);
  if (face == Face::socketio) {
    write_all(fd_, client_frame("40"));
    read_some(true);
  } else {
    for (const std::string& channel : channels)  // who publishes is in the channel
      write_all(fd_, client_frame(R"({"type":"subscribe","channel":")" + channel + "\"}"));
    ::usleep(200'000);
    read_some(true);
  }
  ::fcntl(fd_, F_SETFL, O_NONBLOCK);
}

Publisher::~Publisher() { ::close(fd_); }

void Publisher::read_some(bool wait) {
  std::array<char, 64U << 10U> bytes;
  for (;;) {
    const ssize_t n = ::recv(fd_, bytes.data(), bytes.size(), wait ? 0 : MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) give_up("the publisher was closed: " + std::string(bytes.data(), 100));
    if (wait) {
      if (std::string_view(bytes.data(), static_cast<std::size_t>(n)).starts_with("HTTP/1.1") &&
          !std::string_view(bytes.data(), static_cast<std::size_t>(n)).starts_with("HTTP/1.1 101"))
        give_up("no upgrade of the publisher");
      return;
    }
  }
}

void Publisher::add(const std::string& channel, std::uint64_t at, std::size_t bytes) {
  std::string data = fmt::format("T{}", at);
  data.resize(std::max(bytes, data.size()), ' ');
  out_ += client_frame(
      face_ == Face::socketio
          ? fmt::format(R"(42["publish","{}","{}"])", channel, data)
          : fmt::format(
                R"({{"type":"publish","channel":"{}","event":"client-n","data":"{}","ack":false}})",
                channel, data));
}

void Publisher::flush() {
  read_some(false);
  std::string_view rest = out_;
  while (!rest.empty()) {
    const ssize_t n = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) give_up("the publisher was cut");
    if (n < 0) break;
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  out_.erase(0, out_.size() - rest.size());
}

}  // namespace headroom::bench
