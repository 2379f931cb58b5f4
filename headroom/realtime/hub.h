// headroom/realtime/hub.h - the real-time hub: channels that browsers subscribe to and servers publish to, over several protocols.
//
// A channel is a log with an epoch and offsets; a subscriber is a place in it, not a queue of copies; a message is encoded once for each
// protocol. How the parts on the workers work together is said in shards.h.
//
// Owns: a shard on each worker, the services that the edge hosts, the metrics `headroom_realtime_*`. Borrows: the workers, the registry.
// Worker: start(), reload(), drain() and stop() from main's thread or one that is no worker's; the services on each request's worker.
// Invariants: (1) messages of one channel and priority reach a subscriber in the order of their offsets, critical ones before others
//   that wait; (2) what a slow client costs is bounded by its channels' distance, and it costs the others nothing; (3) what a subscriber
//   was not given is counted and told to it, or its connection ends; (4) continuity is claimed only where it can be proved.
// Limits: RealtimeOptions.
#pragma once

#include <memory>

#include "headroom/base/metrics.h"
#include "headroom/http/service.h"
#include "headroom/net/worker.h"
#include "headroom/realtime/options.h"

namespace headroom::realtime {

class Hub {
 public:
  Hub(net::Workers& workers, metrics::Registry& registry, const RealtimeOptions& options);
  ~Hub();

  void reload(const RealtimeOptions& options);

  // What the edge is to host: prefixes with their services, which take only what is theirs.
  struct Hosting {
    std::string prefix;
    http::Service& service;
  };
  [[nodiscard]] std::vector<Hosting> hosting();

  // Ends all connections, spread over [realtime] drain. New ones are told to come back later.
  void drain();
  // After the edge has ended its connections.
  void stop();

 private:
  class Body;
  std::unique_ptr<Body> body_;
};

}  // namespace headroom::realtime
