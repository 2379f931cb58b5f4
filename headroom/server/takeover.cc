#include "headroom/server/takeover.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::server {
namespace {

constexpr std::string_view kName = "control.sock";
constexpr std::size_t kSocketsPerPacket = 64;
constexpr std::size_t kPacketBytes = 64U << 10U;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

Result<int> make_socket(Duration patience_of_it = kPatience) {
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(system_error("control socket", errno));
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(patience_of_it).count();
  const timeval patience{.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

// The process that listens, once connected.
int open_process(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return -1;
  return static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0));  // close-on-exec by itself
}

Result<> check_peer(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return std::unexpected(system_error("control socket", errno));
  }
  if (peer.uid != ::geteuid() && peer.uid != 0) {
    return fail(Errc::unauthorized, fmt::format("process {} belongs to another user", peer.pid));
  }
  return {};
}

struct Packet {
  std::string text;
  std::vector<int> descriptors;
};

Result<> send_packet(int fd, const std::string& text, std::span<const int> descriptors = {}) {
  iovec part{const_cast<char*>(text.data()), text.size()};  // iovec serves reads too
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kSocketsPerPacket * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  if (::sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
    return std::unexpected(system_error("control socket", errno));
  return {};
}

Result<Packet> receive_packet(int fd) {
  Packet packet;
  packet.text.resize(kPacketBytes);
  iovec part{packet.text.data(), packet.text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kSocketsPerPacket * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (size < 0) return std::unexpected(system_error("control socket", errno));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    packet.descriptors.resize((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(packet.descriptors.data(), CMSG_DATA(header),
                packet.descriptors.size() * sizeof(int));
  }
  if (size == 0) return fail(Errc::unavailable, "the other process has gone");
  packet.text.resize(static_cast<std::size_t>(size));
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return fail(Errc::protocol, "a packet was cut off");
  return packet;
}

template <class T>
std::string member(std::string_view name, const T& value) {
  std::string text;
  json::Writer out(text);
  out.begin_object().field(name, value).end_object();
  return text;
}

Result<> send_door(int fd, const edge::Door& door) {
  std::string text;
  json::Writer out(text);
  out.begin_object().field("door", door.name).field("address", door.address).end_object();
  std::span<const int> left(door.sockets);
  while (!left.empty()) {
    const auto now = left.first(std::min(left.size(), kSocketsPerPacket));
    if (auto sent = send_packet(fd, text, now); !sent) return sent;
    left = left.subspan(now.size());
  }
  return {};
}

Result<> send_all(int fd, const Handover& what) {
  if (auto sent = send_packet(fd, member("lock", true), std::span(&what.lock, 1)); !sent)
    return sent;
  for (const edge::Door& door : what.doors) {
    if (auto sent = send_door(fd, door); !sent) return sent;
  }
  for (const Secret& secret : what.secrets) {
    std::string text;
    json::Writer out(text);
    out.begin_object()
        .field("secret", secret.name)
        .field("value", text::hex(secret.value))
        .end_object();
    if (auto sent = send_packet(fd, text); !sent) return sent;
  }
  return send_packet(fd, member("end", true));
}

// What a packet says; all of its members are optional.
struct Said {
  std::optional<std::uint64_t> take_over;
  std::optional<std::string> door;
  std::optional<std::string> address;
  std::optional<std::string> secret;
  std::optional<std::string> value;
  bool lock = false;
  bool end = false;
  bool ready = false;
  bool yielded = false;
};

Result<Said> understand(const std::string& text) {
  auto document = json::parse(text);
  if (!document) return pass(document, "control socket");
  Said said;
  json::Reader in(document->root());
  in.optional("take_over", said.take_over);
  in.optional("door", said.door);
  in.optional("address", said.address);
  in.optional("secret", said.secret);
  in.optional("value", said.value);
  in.optional("lock", said.lock);
  in.optional("end", said.end);
  in.optional("ready", said.ready);
  in.optional("yielded", said.yielded);
  in.allow_others();  // of a newer version
  if (auto read = in.finish(); !read) return pass(read, "control socket");
  return said;
}

Result<Said> hear(int fd) {
  auto packet = receive_packet(fd);
  if (!packet) return pass(packet);
  for (const int descriptor : packet->descriptors) ::close(descriptor);
  return understand(packet->text);
}

std::string unhexed(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

// Sorts one packet into the handover.
void take_up(Handover& handover, const Said& said, std::vector<int> descriptors) {
  if (said.lock && descriptors.size() == 1) {
    handover.lock = descriptors[0];
    return;
  }
  if (said.secret && said.value) handover.secrets.push_back({*said.secret, unhexed(*said.value)});
  if (!said.door) {
    for (const int descriptor : descriptors) ::close(descriptor);
    return;
  }
  if (handover.doors.empty() || handover.doors.back().name != *said.door) {
    handover.doors.push_back({*said.door, said.address.value_or(""), {}});
  }
  auto& sockets = handover.doors.back().sockets;
  sockets.insert(sockets.end(), descriptors.begin(), descriptors.end());
}

}  // namespace

Result<TakeoverDoor> TakeoverDoor::open(const StateDir& directory) {
  auto made = make_socket();
  if (!made) return pass(made);
  const std::string path = directory.short_path(kName);
  TakeoverDoor door(path, *made);
  ::unlink(path.c_str());  // a leftover: the directory's lock is ours
  const sockaddr_un address = address_of(path);
  // The umask of a server is 077, so the socket's mode is 0700 or less from its first moment.
  if (::bind(*made, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(*made, 4) != 0) {
    return std::unexpected(system_error((directory.path() / kName).string(), errno));
  }
  ::chmod(path.c_str(), 0600);
  return door;
}

TakeoverDoor::TakeoverDoor(TakeoverDoor&& other) noexcept
    : path_(std::move(other.path_)),
      listening_(std::exchange(other.listening_, -1)),
      peer_(std::exchange(other.peer_, -1)) {}

TakeoverDoor::~TakeoverDoor() {
  hang_up();
  if (listening_ < 0) return;
  ::close(listening_);
  ::unlink(path_.c_str());
}

void TakeoverDoor::hang_up() {
  if (peer_ >= 0) ::close(std::exchange(peer_, -1));
}

Result<> TakeoverDoor::hand_over(const Handover& what) {
  const int fd = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return std::unexpected(system_error("control socket", errno));
  const timeval patience{.tv_sec = 2, .tv_usec = 0};  // main's thread has signals to hear
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  hang_up();  // a new try replaces one that hangs
  peer_ = fd;
  auto done = check_peer(fd);
  if (done) {
    auto said = hear(fd);
    done =
        !said ? Result<>(pass(said))
        : !said->take_over
            ? Result<>(fail(Errc::protocol, "the control socket was asked for something unknown"))
            : send_all(fd, what);
  }
  if (!done) hang_up();
  return done;
}

Result<bool> TakeoverDoor::heard() {
  auto said = hear(peer_);
  if (!said) {
    hang_up();
    return pass(said);
  }
  return said->ready;
}

bool TakeoverDoor::has_gone() {
  pollfd watched{.fd = peer_, .events = POLLIN, .revents = 0};
  if (::poll(&watched, 1, 0) > 0) hang_up();  // it has nothing more to say
  return peer_ < 0;
}

Result<> TakeoverDoor::yield() {
  ::close(std::exchange(listening_, -1));  // the name is the new server's
  auto sent = send_packet(peer_, member("yielded", true));
  hang_up();
  return sent;
}

Result<std::optional<Takeover>> Takeover::begin(const StateDir& directory, Duration patience) {
  auto made = make_socket(patience);
  if (!made) return pass(made);
  Takeover takeover(*made);
  const sockaddr_un address = address_of(directory.short_path(kName));
  if (::connect(*made, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) return std::nullopt;
    return std::unexpected(system_error((directory.path() / kName).string(), errno));
  }
  if (auto checked = check_peer(*made); !checked) return pass(checked, "take-over");
  takeover.process_ = open_process(*made);
  if (auto sent = send_packet(*made, member("take_over", 1)); !sent) return pass(sent, "take-over");
  return std::optional(std::move(takeover));
}

Takeover::Takeover(Takeover&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), process_(std::exchange(other.process_, -1)) {}

Takeover::~Takeover() {
  if (fd_ >= 0) ::close(fd_);
  if (process_ >= 0) ::close(process_);
}

Result<Handover> Takeover::receive() {
  Handover handover;
  for (;;) {
    auto packet = receive_packet(fd_);
    if (!packet) return pass(packet, "take-over");
    auto said = understand(packet->text);
    if (!said) return pass(said, "take-over");
    if (said->end) break;
    take_up(handover, *said, std::move(packet->descriptors));
  }
  if (handover.lock < 0) return fail(Errc::protocol, "take-over: the running server kept its lock");
  return handover;
}

Result<> Takeover::ready(int wake, const std::function<bool()>& gives_up) {
  auto yielded = wait_until_yielded(wake, gives_up);
  if (yielded || yielded.error().code == Errc::cancelled || !other_has_ended()) return yielded;
  log::warn("server", "take-over: the server that ran has died; this one goes on alone");
  return {};
}

// One that is just dying has a second for it.
bool Takeover::other_has_ended() const {
  pollfd watched{.fd = process_, .events = POLLIN, .revents = 0};
  return process_ >= 0 && ::poll(&watched, 1, 1000) == 1;
}

Result<> Takeover::wait_until_yielded(int wake, const std::function<bool()>& gives_up) {
  if (auto sent = send_packet(fd_, member("ready", true)); !sent) return pass(sent, "take-over");
  // From here on it accepts no more: whatever it has to end and to write down, who gave up now would leave nobody serving.
  std::array<pollfd, 3> watched{{{.fd = fd_, .events = POLLIN, .revents = 0},
                                 {.fd = process_, .events = POLLIN, .revents = 0},
                                 {.fd = wake, .events = POLLIN, .revents = 0}}};
  constexpr auto kTellEvery = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
  while (watched[0].revents == 0 && watched[1].revents == 0) {
    const int ready = ::poll(watched.data(), watched.size(), static_cast<int>(kTellEvery.count()));
    if (ready < 0 && errno != EINTR) return std::unexpected(system_error("take-over", errno));
    if (ready == 0) log::warn("server", "take-over: the server that ran still ends what it began");
    if (ready > 0 && watched[2].revents != 0 && gives_up())
      return fail(Errc::cancelled,
                  "take-over: told to end before the server that ran had let go of its stores");
  }
  auto said = hear(fd_);
  if (!said) return pass(said, "take-over");
  if (!said->yielded) return fail(Errc::protocol, "take-over: the running server did not yield");
  return {};
}

}  // namespace headroom::server
