// headroom/realtime/watches.h - who is signed in, and who wants to know: the watchlist of the Pusher protocol.
//
// A user is online while one of its connections is signed in. A connection watches up to a hundred users; it is told at first which of them
// are online, then who comes and goes.
//
// Owns: for each user who hashes here its connections and its watchers. Worker: one; others reach it by Shards::post(), and are told the same
//   way (Part::watched()). Invariants: (1) a user is told of when its first connection signs in and when its last has gone; (2) what a
//   connection did not begin it cannot end.
// Limits: kMostWatched a connection.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/realtime/message.h"

namespace headroom::realtime {

inline constexpr std::size_t kMostWatched = 100;

class Watches {
 public:
  // Where somebody is told: a connection of a worker.
  struct Watcher {
    std::size_t worker = 0;
    SocketId socket = 0;
  };
  // Whom to tell that the user is online now, or no longer; often nobody.
  [[nodiscard]] std::vector<Watcher> sign_in(const std::string& user, SocketId socket);
  [[nodiscard]] std::vector<Watcher> leave(const std::string& user, SocketId socket);
  // Whether the user is online.
  [[nodiscard]] bool watch(const std::string& user, Watcher who);
  void unwatch(const std::string& user, SocketId socket);
  [[nodiscard]] std::size_t size() const { return users_.size(); }

 private:
  struct User {
    std::vector<SocketId> sockets;
    std::vector<Watcher> watchers;
  };
  void forget_if_idle(const std::string& user);
  std::unordered_map<std::string, User> users_;
};

}  // namespace headroom::realtime
