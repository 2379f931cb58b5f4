#include "headroom/realtime/roster.h"

#include <algorithm>

#include "headroom/json/writer.h"

namespace headroom::realtime {
namespace {

// In a snapshot: the id twice.
std::size_t bytes_of(std::string_view id, std::string_view info) {
  return 2 * id.size() + info.size() + 16;
}

}  // namespace

Roster::Entered Roster::enter(const Member& member, SocketId socket, std::uint64_t most) {
  const auto at = users_.find(member.user_id);
  if (at != users_.end()) {
    if (std::ranges::find(at->second.sockets, socket) == at->second.sockets.end())
      at->second.sockets.push_back(socket);
    return Entered::again;
  }
  const std::size_t more = bytes_of(member.user_id, member.info);
  if (users_.size() >= most || bytes_ + more > kMostBytes) return Entered::full;
  bytes_ += more;
  users_[member.user_id] = {member.info, {socket}};
  snapshot_.reset();
  return Entered::first;
}

bool Roster::leave(const std::string& user_id, SocketId socket) {
  const auto at = users_.find(user_id);
  if (at == users_.end() || std::erase(at->second.sockets, socket) == 0 ||
      !at->second.sockets.empty())
    return false;
  bytes_ -= bytes_of(at->first, at->second.info);
  users_.erase(at);
  snapshot_.reset();
  return true;
}

std::vector<std::string> Roster::users() const {
  std::vector<std::string> ids;
  for (const auto& [id, user] : users_) ids.push_back(id);
  return ids;
}

Bits Roster::snapshot() {
  if (snapshot_) return snapshot_;
  std::string text;
  json::Writer out(text);
  out.begin_object().key("presence").begin_object().field("ids", users());
  out.key("hash").begin_object();
  for (const auto& [id, user] : users_) out.key(id).raw(user.info.empty() ? "null" : user.info);
  out.end_object().field("count", users_.size()).end_object().end_object();
  snapshot_ = std::make_shared<const std::string>(std::move(text));
  return snapshot_;
}

}  // namespace headroom::realtime
