// headroom/auth/login_limit.h - how often an address may fail to log in: 10 times in 15 minutes.
//
// Owns: a count for each address that failed lately.
// Worker and threads: one worker (that of the admin listener), or under its owner's care. Nothing blocks.
// Invariants: (1) who shows a good credential is never held up by others of its address: only a bad one is refused sooner;
//   (2) a block ends with its window, however often it is tried meanwhile; (3) the same bad credential again is no further failure.
// Limits: max_addresses; beyond them the one whose window began first is forgotten. An IPv6 /64 counts as one address.
//   This slows guessing and keeps a log short; what makes guessing hopeless is the tokens' 256 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "headroom/base/clock.h"

namespace headroom::auth {

struct LoginLimits {
  unsigned failures = 10;
  Duration window = std::chrono::minutes(15);
  std::size_t max_addresses = 4096;
};

class LoginLimit {
 public:
  explicit LoginLimit(LoginLimits limits = {}) : limits_(limits) {}
  LoginLimit(const LoginLimit&) = delete;
  LoginLimit& operator=(const LoginLimit&) = delete;

  // How long bad credentials from this address must still wait to be told what is wrong (429 and Retry-After); nothing when
  // they need not.
  [[nodiscard]] std::optional<Duration> blocked_for(std::string_view address, TimePoint now) const;
  // Whether it was counted: the same credential again is not.
  bool failed(std::string_view address, std::string_view credential, TimePoint now);
  [[nodiscard]] std::size_t size() const { return by_group_.size(); }

 private:
  struct Window {
    std::string group;
    TimePoint began;
    unsigned failures = 0;
    std::uint64_t last = 0;  // the hash of the last bad credential
  };

  LoginLimits limits_;
  std::list<Window> windows_;  // the oldest first
  std::unordered_map<std::string, std::list<Window>::iterator> by_group_;
};

// What is counted together: an IPv4 address alone, an IPv6 address by its /64, anything else as it is.
[[nodiscard]] std::string address_group(std::string_view address);

}  // namespace headroom::auth
