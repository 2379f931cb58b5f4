// headroom/realtime/hub.h - the real-time hub: channels that browsers subscribe to and servers publish to, over several protocols.
//
// A channel is a log with an epoch and offsets; a subscriber is a place in it, not a queue of copies; a message is encoded once for each
// protocol. How the parts on the workers work together is said in shards.h.
//
// Owns: a shard on each worker, the services that the edge hosts, the metrics `headroom_realtime_*`. Borrows: the workers, the resolver, the registry.
// Worker: start(), prepare() and what it gives, drain() and stop() from main's thread or one that is no worker's; the services, publish(), statistics() and
//   end_user() on each request's worker.
// Invariants: (1) messages of one channel and priority reach a subscriber in the order of their offsets, critical ones before others
//   that wait; (2) what a slow client costs is bounded by its channels' distance, and it costs the others nothing; (3) what a subscriber
//   was not given is counted and told to it, or its connection ends; (4) continuity is claimed only where it can be proved.
// Limits: RealtimeOptions.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/http/service.h"
#include "headroom/net/resolver.h"
#include "headroom/net/task_group.h"
#include "headroom/net/worker.h"
#include "headroom/realtime/look.h"
#include "headroom/realtime/options.h"
#include "headroom/realtime/statistics.h"

namespace headroom::realtime {

// What a server publishes to the plain faces' channels. Who is in several of them gets it once.
struct Notice {
  std::vector<std::string>
      channels;  // rooms, "user:ann", "group:staff", "location:eu/berlin", "broadcast"
  std::string type;
  std::string data;  // JSON
  bool critical = false;
};

class Hub {
 public:
  Hub(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry);
  ~Hub();

  // Errc::invalid: a key file.
  [[nodiscard]] Result<> start(const RealtimeOptions& options);
  // What makes the options those from now on; nothing changes until it is called. Errc::invalid.
  [[nodiscard]] Result<std::function<void()>> prepare(const RealtimeOptions& options);

  // What the edge is to host, after start(): prefixes with their services, which take only what is theirs.
  struct Hosting {
    std::string prefix;
    http::Service& service;
  };
  enum class SeedPaths : std::uint8_t { no, yes };
  [[nodiscard]] std::vector<Hosting> hosting(SeedPaths seeds);

  // When the channels' homes have ordered it. Errc::invalid: a name, or too much data; cancelled.
  [[nodiscard]] net::Task<Result<>> publish(net::TaskGroup& group, Notice notice);
  [[nodiscard]] std::uint64_t connections() const;  // any thread
  [[nodiscard]] net::Task<Result<Statistics>> statistics(net::TaskGroup& group, std::size_t top);
  // Channels whose names begin so, those with the most subscriptions first; of all apps where none is named.
  [[nodiscard]] net::Task<Result<std::vector<ChannelStatus>>> channels(net::TaskGroup& group,
                                                                       std::string app,
                                                                       std::string prefix);
  // On the worker of `group`, before stop(). `app` empty: the plain faces'.
  [[nodiscard]] std::unique_ptr<Look> look(net::TaskGroup& group, std::string app,
                                           std::string pattern);
  // Ends the connections of a user of the plain faces; how many.
  [[nodiscard]] net::Task<Result<std::size_t>> end_user(net::TaskGroup& group, std::string user);

  // The same, and from now on refuses the tokens that the user has.
  [[nodiscard]] net::Task<Result<std::size_t>> revoke(net::TaskGroup& group, std::string user);
  // A take-over, at the two ends of a socket that each takes over (relay.h): in the old process, and in the new one before it serves anybody.
  // What is published in either reaches the clients of both, and positions hold in both, until the old one has drained.
  void relay(int fd);
  void lead(int fd);
  // Ends all connections, spread over [realtime] drain. New ones are told to come back later.
  void drain();
  // After the edge has ended its connections.
  void stop();

 private:
  enum class Tokens : std::uint8_t { kept, revoked };
  [[nodiscard]] net::Task<Result<std::size_t>> end_user(net::TaskGroup& group, std::string user,
                                                        Tokens tokens);
  class Body;
  net::Workers& workers_;
  net::Resolver& resolver_;
  metrics::Registry& registry_;
  std::unique_ptr<Body> body_;
};

}  // namespace headroom::realtime
