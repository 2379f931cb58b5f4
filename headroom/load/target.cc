#include "headroom/load/target.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "headroom/base/text.h"

namespace headroom::load {

namespace {

constexpr std::string_view kScheme = "http://";
constexpr std::uint16_t kDefaultPort = 80;

template <class Address>
void put(Target& target, const Address& address, socklen_t size) {
  std::memcpy(&target.address, &address, sizeof address);
  target.address_size = size;
}

bool put_ipv4(Target& target, const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return false;
  if (ntohl(address.sin_addr.s_addr) >> 24U != 127) return false;
  put(target, address, sizeof address);
  return true;
}

bool put_ipv6(Target& target, const std::string& host, std::uint16_t port) {
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') return false;
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  const std::string literal = host.substr(1, host.size() - 2);
  if (inet_pton(AF_INET6, literal.c_str(), &address.sin6_addr) != 1) return false;
  if (!IN6_IS_ADDR_LOOPBACK(&address.sin6_addr)) return false;
  put(target, address, sizeof address);
  return true;
}

Result<> put_unix(Target& target, std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(Errc::invalid, fmt::format("the socket's path is too long: {}", path));
  }
  std::ranges::copy(path, address.sun_path);
  put(target, address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1));
  return {};
}

Result<> put_loopback(Target& target, std::string_view authority) {
  auto colon = authority.rfind(':');
  const auto bracket = authority.rfind(']');
  if (bracket != std::string_view::npos && colon < bracket) colon = std::string_view::npos;
  std::uint64_t port = kDefaultPort;
  if (colon != std::string_view::npos) {
    const auto given = text::to_u64(authority.substr(colon + 1));
    if (!given || *given == 0 || *given > UINT16_MAX) {
      return fail(Errc::invalid, fmt::format("'{}' has no valid port", authority));
    }
    port = *given;
  }
  std::string host(authority.substr(0, colon));
  if (text::equal_ignoring_case(host, "localhost")) host = "127.0.0.1";
  const auto number = static_cast<std::uint16_t>(port);
  if (put_ipv4(target, host, number) || put_ipv6(target, host, number)) return {};
  return fail(Errc::unauthorized,
              fmt::format("'{}' is not loopback: load goes to 127.0.0.0/8, [::1], localhost or a "
                          "Unix socket alone",
                          host));
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

Result<Target> parse_target(std::string_view url, std::string_view unix_path) {
  if (!url.starts_with(kScheme) || !is_printable(url)) {
    return fail(Errc::invalid, fmt::format("'{}' is not an http:// URL", url));
  }
  const std::string_view rest = url.substr(kScheme.size());
  const auto slash = std::min(rest.find_first_of("/?"), rest.size());
  Target target;
  target.host = rest.substr(0, slash);
  target.path = rest.substr(slash);
  if (!target.path.starts_with('/')) target.path.insert(0, "/");
  auto placed = unix_path.empty() ? put_loopback(target, target.host) : put_unix(target, unix_path);
  if (!placed) return pass(placed);
  return target;
}

}  // namespace headroom::load
