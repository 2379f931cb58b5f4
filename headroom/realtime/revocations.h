// headroom/realtime/revocations.h - users whose tokens of before a moment no longer hold.
//
// Owns: the moments, by user. Worker: one; each worker has the same.
// Invariants: (1) a token that does not say when it was issued counts as issued before; (2) what is remembered is given up only after
//   kRemembered, by which time tokens should have expired, or when there are too many, the oldest first.
// Limits: kMost users.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>

#include "headroom/realtime/caller.h"

namespace headroom::realtime {

class Revocations {
 public:
  static constexpr std::size_t kMost = 100000;
  static constexpr auto kRemembered = std::chrono::hours(24 * 7);

  void revoke(const std::string& user, auth::WallTime now) {
    while (!order_.empty() && (order_.size() >= kMost || order_.front().second + kRemembered < now))
      forget_oldest();
    since_[user] = now;
    order_.emplace_back(user, now);
  }
  [[nodiscard]] bool is_revoked(const Caller& caller) const {
    const auto at = since_.find(caller.name);
    return at != since_.end() && (!caller.issued || *caller.issued <= at->second);
  }
  [[nodiscard]] std::size_t size() const { return since_.size(); }

 private:
  void forget_oldest() {
    const auto& [user, when] = order_.front();
    // Not if it was revoked again later.
    if (const auto at = since_.find(user); at != since_.end() && at->second == when)
      since_.erase(at);
    order_.pop_front();
  }
  std::unordered_map<std::string, auth::WallTime> since_;
  std::deque<std::pair<std::string, auth::WallTime>> order_;
};

}  // namespace headroom::realtime
