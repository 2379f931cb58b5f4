#include "headroom/realtime/watches.h"

#include <algorithm>

namespace headroom::realtime {

std::vector<Watches::Watcher> Watches::sign_in(const std::string& user, SocketId socket) {
  User& one = users_[user];
  if (std::ranges::find(one.sockets, socket) != one.sockets.end()) return {};
  one.sockets.push_back(socket);
  return one.sockets.size() == 1 ? one.watchers : std::vector<Watcher>{};
}

std::vector<Watches::Watcher> Watches::leave(const std::string& user, SocketId socket) {
  const auto at = users_.find(user);
  if (at == users_.end() || std::erase(at->second.sockets, socket) == 0 ||
      !at->second.sockets.empty())
    return {};
  std::vector<Watcher> watchers = at->second.watchers;
  forget_if_idle(user);
  return watchers;
}

bool Watches::watch(const std::string& user, Watcher who) {
  User& one = users_[user];
  const bool there = std::ranges::any_of(
      one.watchers, [&](const Watcher& each) { return each.socket == who.socket; });
  if (!there) one.watchers.push_back(who);
  return !one.sockets.empty();
}

void Watches::unwatch(const std::string& user, SocketId socket) {
  const auto at = users_.find(user);
  if (at == users_.end()) return;
  std::erase_if(at->second.watchers, [&](const Watcher& each) { return each.socket == socket; });
  forget_if_idle(user);
}

void Watches::forget_if_idle(const std::string& user) {
  const auto at = users_.find(user);
  if (at->second.sockets.empty() && at->second.watchers.empty()) users_.erase(at);
}

}  // namespace headroom::realtime
