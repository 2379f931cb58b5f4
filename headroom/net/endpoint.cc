#include "headroom/net/endpoint.h"

#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace headroom::net {

Endpoint::Endpoint(const sockaddr* address, socklen_t size)
    : size_(std::min(size, static_cast<socklen_t>(sizeof(sockaddr_un)))) {
  std::memcpy(storage_.data(), address, size_);
}

Endpoint::Endpoint(const IpAddress& address, std::uint16_t port) {
  if (address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    const auto bytes = address.bytes();
    std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
    std::memcpy(storage_.data(), &v4, sizeof v4);
    size_ = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    const auto bytes = address.bytes();
    std::memcpy(&v6.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(storage_.data(), &v6, sizeof v6);
    size_ = sizeof v6;
  }
}

Result<Endpoint> Endpoint::unix_path(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(Errc::invalid, "a Unix socket's path has 1 to 107 bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Endpoint endpoint;
  endpoint.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  std::memcpy(endpoint.storage_.data(), &address, sizeof address);
  return endpoint;
}

Result<Endpoint> Endpoint::literal(std::string_view host, std::uint16_t port) {
  const auto address = IpAddress::parse(host);
  if (!address) return fail(Errc::invalid, "'" + std::string(host) + "' is no IP address");
  return Endpoint(*address, port);
}

Endpoint Endpoint::any(std::uint16_t port) {
  const Endpoint both(IpAddress::v6({}), port);
  const Endpoint trial(IpAddress::v6({}), 0);
  const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool has_v6 = fd >= 0 && ::bind(fd, trial.data(), trial.size()) == 0;
  if (fd >= 0) ::close(fd);
  return has_v6 ? both : Endpoint(IpAddress::v4({0, 0, 0, 0}), port);
}

IpAddress Endpoint::ip() const {
  if (family() == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, storage_.data(), sizeof v4);
    IpAddress::Bytes4 bytes;
    std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
    return IpAddress::v4(bytes);
  }
  if (family() == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, storage_.data(), sizeof v6);
    IpAddress::Bytes16 bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return IpAddress::v6(bytes);
  }
  return IpAddress::v4({127, 0, 0, 1});
}

std::uint16_t Endpoint::port() const {
  if (family() == AF_INET || family() == AF_INET6) {
    sockaddr_in v4{};  // the port stands at the same place in both
    std::memcpy(&v4, storage_.data(), sizeof v4);
    return ntohs(v4.sin_port);
  }
  return 0;
}

std::string Endpoint::to_string() const {
  if (is_unix()) {
    sockaddr_un address{};
    std::memcpy(&address, storage_.data(), sizeof address);
    return "unix:" +
           std::string(address.sun_path, ::strnlen(address.sun_path, sizeof address.sun_path));
  }
  if (family() != AF_INET && family() != AF_INET6) return "none";
  if (ip().is_v4()) return headroom::to_string(ip()) + ":" + std::to_string(port());
  return "[" + headroom::to_string(ip()) + "]:" + std::to_string(port());
}

bool Endpoint::operator==(const Endpoint& other) const {
  return size_ == other.size_ && std::memcmp(storage_.data(), &other.storage_, size_) == 0;
}

Endpoint Endpoint::local_of(int fd) {
  Endpoint endpoint;
  endpoint.size_ = static_cast<socklen_t>(endpoint.storage_.size());
  if (getsockname(fd, reinterpret_cast<sockaddr*>(endpoint.storage_.data()), &endpoint.size_) != 0)
    return {};
  return endpoint;
}

Endpoint Endpoint::peer_of(int fd) {
  Endpoint endpoint;
  endpoint.size_ = static_cast<socklen_t>(endpoint.storage_.size());
  if (getpeername(fd, reinterpret_cast<sockaddr*>(endpoint.storage_.data()), &endpoint.size_) != 0)
    return {};
  return endpoint;
}

}  // namespace headroom::net
