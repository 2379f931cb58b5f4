// headroom/net/endpoint.h - where a socket is or goes: an IPv4 or IPv6 address with a port, or a Unix socket's path. A value.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/base/address.h"
#include "headroom/base/error.h"

namespace headroom::net {

class Endpoint {
 public:
  Endpoint() = default;
  Endpoint(const IpAddress& address, std::uint16_t port);
  Endpoint(const sockaddr* address, socklen_t size);
  [[nodiscard]] static Result<Endpoint> unix_path(std::string_view path);
  // An IP literal; names need the resolver.
  [[nodiscard]] static Result<Endpoint> literal(std::string_view host, std::uint16_t port);

  [[nodiscard]] const sockaddr* data() const {
    return reinterpret_cast<const sockaddr*>(storage_.data());
  }
  [[nodiscard]] socklen_t size() const { return size_; }
  [[nodiscard]] int family() const { return data()->sa_family; }
  [[nodiscard]] bool is_unix() const { return family() == AF_UNIX; }
  [[nodiscard]] IpAddress ip() const;  // of a Unix socket: 127.0.0.1
  [[nodiscard]] std::uint16_t port() const;
  // "127.0.0.1:80", "[::1]:80", "unix:/path"; an IPv4 client of a door for both is "1.2.3.4:80".
  [[nodiscard]] std::string to_string() const;
  bool operator==(const Endpoint& other) const;

  // All addresses of the machine: "[::]", which takes IPv4 clients too, or "0.0.0.0" where there is no IPv6.
  [[nodiscard]] static Endpoint any(std::uint16_t port);

  // What the kernel says of a socket.
  [[nodiscard]] static Endpoint local_of(int fd);
  [[nodiscard]] static Endpoint peer_of(int fd);

 private:
  alignas(8) std::array<
      std::byte, sizeof(sockaddr_un) +
                     2> storage_{};  // the largest of the three kinds; one lies in every connection
  socklen_t size_ = 0;
};

}  // namespace headroom::net
