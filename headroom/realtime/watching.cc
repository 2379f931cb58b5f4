// Part's share of the watchlist (watches.h).
#include "headroom/realtime/part.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

std::string user_key(const std::string& app, const std::string& user) {
  return channel_key(app, "#user-" + user);
}

// On the user's home.
void tell(Shard& home, const std::vector<Watches::Watcher>& watchers, const std::string& user,
          bool online) {
  for (const auto& who : watchers)
    home.part.shards().post(who.worker, [socket = who.socket, user, online](Shard& shard) {
      shard.part.watched(socket, user, online);
    });
}

}  // namespace

void Part::sign_in(const std::string& app, const std::string& user, SocketId socket) {
  const std::string key = user_key(app, user);
  shards_.post_home(key, [key, user, socket](Shard& home) {
    tell(home, home.watches.sign_in(key, socket), user, true);
  });
}

void Part::sign_out(const std::string& app, const std::string& user, SocketId socket) {
  const std::string key = user_key(app, user);
  shards_.post_home(key, [key, user, socket](Shard& home) {
    tell(home, home.watches.leave(key, socket), user, false);
  });
}

void Part::watch(const std::string& app, const std::string& user, Outlet& outlet) {
  watching_[outlet.id()] = &outlet;
  const std::string key = user_key(app, user);
  const Watches::Watcher me{worker_.index(), outlet.id()};
  shards_.post_home(
      key, [key, user, me](Shard& home) { tell(home, {me}, user, home.watches.watch(key, me)); });
}

void Part::unwatch(const std::string& app, const std::vector<std::string>& users, Outlet& outlet) {
  watching_.erase(outlet.id());
  news_.erase(outlet.id());
  for (const std::string& user : users) {
    const std::string key = user_key(app, user);
    shards_.post_home(
        key, [key, socket = outlet.id()](Shard& home) { home.watches.unwatch(key, socket); });
  }
}

void Part::watched(SocketId socket, const std::string& user, bool online) {
  if (!watching_.contains(socket)) return;
  if (news_.empty()) worker_.post([this] { tell_watchers(); });
  Presences& news = news_[socket];
  (online ? news.online : news.offline).push_back(user);
}

void Part::tell_watchers() {
  for (const auto& [socket, news] : std::exchange(news_, {})) {
    if (const auto at = watching_.find(socket); at != watching_.end())
      at->second->owner().watched(news);
  }
}

}  // namespace headroom::realtime
