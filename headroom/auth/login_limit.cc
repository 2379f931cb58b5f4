#include "headroom/auth/login_limit.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "headroom/base/hash.h"

namespace headroom::auth {

std::string address_group(std::string_view address) {
  const std::string text(address);
  in6_addr parsed{};
  if (::inet_pton(AF_INET6, text.c_str(), &parsed) != 1) return text;
  if (IN6_IS_ADDR_V4MAPPED(&parsed)) {
    std::array<char, INET_ADDRSTRLEN> four{};
    return ::inet_ntop(AF_INET, &parsed.s6_addr[12], four.data(), four.size());
  }
  std::fill(std::begin(parsed.s6_addr) + 8, std::end(parsed.s6_addr), std::uint8_t{0});
  std::array<char, INET6_ADDRSTRLEN> six{};
  return std::string(::inet_ntop(AF_INET6, &parsed, six.data(), six.size())) + "/64";
}

std::optional<Duration> LoginLimit::blocked_for(std::string_view address, TimePoint now) const {
  const auto found = by_group_.find(address_group(address));
  if (found == by_group_.end() || found->second->failures < limits_.failures) return std::nullopt;
  const Duration left = limits_.window - elapsed(found->second->began, now);
  return left > Duration::zero() ? std::optional(left) : std::nullopt;
}

bool LoginLimit::failed(std::string_view address, std::string_view credential, TimePoint now) {
  const std::uint64_t hash = hash64(credential);
  while (!windows_.empty() && elapsed(windows_.front().began, now) >= limits_.window) {
    by_group_.erase(windows_.front().group);
    windows_.pop_front();
  }
  std::string group = address_group(address);
  if (const auto found = by_group_.find(group); found != by_group_.end()) {
    Window& window = *found->second;
    if (std::exchange(window.last, hash) == hash) return false;
    ++window.failures;
    return true;
  }
  if (windows_.size() >= limits_.max_addresses) {
    by_group_.erase(windows_.front().group);
    windows_.pop_front();
  }
  windows_.push_back({.group = group, .began = now, .failures = 1, .last = hash});
  by_group_.emplace(std::move(group), std::prev(windows_.end()));
  return true;
}

}  // namespace headroom::auth
