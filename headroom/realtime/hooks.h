// headroom/realtime/hooks.h - tells an app's server what happens in its channels: the webhooks of the Pusher protocol.
//
//   POST {webhook_url}
//   X-Pusher-Key: the app's key
//   X-Pusher-Signature: hex(HMAC-SHA256(secret, body))
//   {"time_ms": ..., "events": [{"name": "channel_occupied" or "channel_vacated", "channel": "..."},
//                               {"name": "member_added" or "member_removed", "channel", "user_id"},
//                               {"name": "client_event", "channel", "event", "data", "socket_id", "user_id"?},
//                               {"name": "cache_miss", "channel"}, {"name": "subscription_count", "channel", "subscription_count"}]}
//
// Owns: what waits for each app, and the tasks that send it. Borrows: the settings of the first worker's Part, the resolver.
// Worker: the first; note() from any.
// Invariants: (1) an app's events are sent in the order in which they came here, one call at a time; (2) an event is sent until the app has
//   answered 2xx, or until webhook_retry has passed since its first try: then it is dropped, counted and logged; (3) of a channel that is
//   left and entered again (or the other way round) before it was told, neither is told.
// Limits: kMostWaiting events of an app, beyond which a cache_miss is dropped first (the oldest; the next one will come), then the oldest of
//   all; kMostInCall a call.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <unordered_map>

#include "headroom/http/call.h"
#include "headroom/net/task_group.h"
#include "headroom/realtime/cells.h"
#include "headroom/realtime/options.h"
#include "headroom/realtime/settings.h"

namespace headroom::realtime {

class Shards;

struct HookEvent {
  HookKind kind{};
  std::string name;
  std::string channel;
  std::string json;  // the whole object
};
[[nodiscard]] HookEvent occupied_event(const std::string& channel);
[[nodiscard]] HookEvent vacated_event(const std::string& channel);
[[nodiscard]] HookEvent member_event(std::string_view name, const std::string& channel,
                                     const std::string& user);
[[nodiscard]] HookEvent client_event(const Publication& what);
[[nodiscard]] HookEvent cache_miss_event(const std::string& channel);
[[nodiscard]] HookEvent count_event(const std::string& channel, std::uint64_t subscriptions);

// What waits for one app.
class HookQueue {
 public:
  static constexpr std::size_t kMostWaiting = 10000;
  static constexpr std::size_t kMostInCall = 100;

  // How many were dropped for it.
  std::size_t add(HookEvent event);
  [[nodiscard]] bool empty() const { return live_ == 0; }
  [[nodiscard]] bool fills_a_call() const { return live_ >= kMostInCall; }
  // The next call's, {"time_ms": ..., "events": [...]}; and how many they are.
  struct Batch {
    std::string body;
    std::size_t events = 0;
  };
  [[nodiscard]] Batch take(std::int64_t now_ms);

 private:
  void drop_first();
  [[nodiscard]] bool drop_miss();

  std::deque<HookEvent> events_;  // those that are not to be told any more have no text
  std::size_t live_ = 0;
  std::uint64_t first_ = 0;  // the number of events_.front(); numbers grow by one
  std::unordered_map<std::string, std::uint64_t>
      existence_;                     // of a channel: the number of the last that waits
  std::deque<std::uint64_t> misses_;  // the numbers of cache_miss events; some have gone
};

class Hooks {
 public:
  Hooks(Shards& shards, net::Worker& worker, net::Resolver& resolver, metrics::Registry& registry);
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  // Whether the app wants to know of such events. For who makes them.
  [[nodiscard]] static bool wants(const Settings& settings, const std::string& app, HookKind kind);
  // From any worker.
  void note(const std::string& app, HookEvent event);

  [[nodiscard]] net::TaskGroup& tasks() { return tasks_; }

 private:
  struct Waiting {
    HookQueue queue;
    bool sending = false;
  };
  void take(const std::string& app, HookEvent event);
  [[nodiscard]] net::Task<> send_all(std::string app);
  [[nodiscard]] net::Task<> send(std::string app, HookQueue::Batch batch);

  Shards& shards_;
  net::Worker& worker_;
  net::Resolver& resolver_;
  metrics::Cell& sent_;
  metrics::Cell& dropped_;
  metrics::Cell& failed_calls_;
  std::map<std::string, Waiting> apps_;
  net::TaskGroup tasks_;
};

}  // namespace headroom::realtime
