// headroom/realtime/roster.h - who is in a presence channel: users, each by all of their connections.
//
// Owns: the members. Worker: the channel's home.
// Invariants: (1) a user is a member from the first of its connections to the last; (2) what a connection did not enter it cannot leave;
//   (3) what a user told of itself first holds until the user has left.
// Limits: `most` users; kMostBytes of what they tell of themselves, for each who enters is sent it whole.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/realtime/channel.h"

namespace headroom::realtime {

class Roster {
 public:
  static constexpr std::size_t kMostBytes = 512U << 10U;
  enum class Entered : std::uint8_t { first, again, full };
  [[nodiscard]] Entered enter(const Member& member, SocketId socket, std::uint64_t most);
  // Whether that was the user's last connection.
  [[nodiscard]] bool leave(const std::string& user_id, SocketId socket);

  [[nodiscard]] std::size_t size() const { return users_.size(); }
  [[nodiscard]] bool has(const std::string& user_id) const { return users_.contains(user_id); }
  [[nodiscard]] std::vector<std::string> users() const;
  // As the Pusher protocol shows it: {"presence": {"ids": [...], "hash": {id: info}, "count": n}}. Made anew when somebody came or left.
  [[nodiscard]] Bits snapshot();

 private:
  struct User {
    std::string info;
    std::vector<SocketId> sockets;
  };
  std::map<std::string, User> users_;
  std::size_t bytes_ = 0;
  Bits snapshot_;
};

}  // namespace headroom::realtime
