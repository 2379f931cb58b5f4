#include "headroom/base/address.h"

#include <arpa/inet.h>

#include <cstring>

namespace headroom {
IpAddress IpAddress::from_v4(const std::uint8_t* four) {
  IpAddress a;
  a.v4_ = true;
  std::memcpy(a.bytes_.data() + 12, four, 4);
  return a;
}
IpAddress IpAddress::from_v6(const std::uint8_t* sixteen) {
  IpAddress a;
  std::memcpy(a.bytes_.data(), sixteen, 16);
  return a;
}
std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string copy(text);
  std::uint8_t bytes[16];
  if (inet_pton(AF_INET, copy.c_str(), bytes) == 1) return from_v4(bytes);
  if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1) return from_v6(bytes);
  return std::nullopt;
}
std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  if (v4_) return inet_ntop(AF_INET, bytes_.data() + 12, text, sizeof text);
  return inet_ntop(AF_INET6, bytes_.data(), text, sizeof text);
}
}  // namespace headroom
