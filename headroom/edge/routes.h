// headroom/edge/routes.h - which group answers a request: by host, then by the longest path prefix.
//
// Owns: the routes, immutable once made; counters are the registry's. Worker: read by all.
// Invariants: (1) an exact host comes before a wildcard, a wildcard before any host; within a host the longest prefix wins; (2) a prefix
//   matches whole segments; (3) matching sees the normalised path (http/path.h).
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/cache/cache.h"
#include "headroom/edge/cdn_purge.h"
#include "headroom/edge/coded.h"
#include "headroom/edge/options.h"
#include "headroom/edge/owner.h"
#include "headroom/edge/pagination.h"
#include "headroom/edge/policy.h"
#include "headroom/edge/upstream.h"
#include "headroom/edge/waiting.h"
#include "headroom/http/storable.h"

namespace headroom::edge {

// A group with those who wait for it: to be let in at all, and for a server with a free place. A reload keeps the queues.
struct Pool {
  Pool(const UpstreamOptions& options, std::vector<std::shared_ptr<Server>> servers,
       std::shared_ptr<limit::Concurrency> concurrency, std::shared_ptr<const net::TlsClient> tls,
       const Pool* before)
      : group(options, std::move(servers), std::move(concurrency), std::move(tls)),
        admission(before != nullptr ? before->admission : std::make_shared<Waiting>(options.queue)),
        places(before != nullptr ? before->places : std::make_shared<Waiting>(options.queue)) {}
  Group group;
  const std::shared_ptr<Waiting> admission;
  const std::shared_ptr<Waiting> places;
};

// What one worker counts for a route.
struct RouteCells {
  metrics::Cell* begun = nullptr;
  std::array<metrics::Cell*, 6> ended{};  // by class of status
  metrics::Cell* bytes_in = nullptr;
  metrics::Cell* bytes_out = nullptr;
  metrics::Cell* shed_queue = nullptr;
  metrics::Cell* shed_limit = nullptr;
  metrics::Cell* upgrades = nullptr;
  metrics::Cell* retries = nullptr;
  metrics::Histogram::Recorder queue, connect, first_byte, total;
};

struct RouteMetrics {
  RouteMetrics(const std::string& route, std::size_t workers, metrics::Registry& registry);
  metrics::Counter& begun;
  std::array<metrics::Counter*, 6> ended;
  metrics::Counter& bytes_in;
  metrics::Counter& bytes_out;
  metrics::Histogram& queue;
  metrics::Histogram& connect;
  metrics::Histogram& first_byte;
  metrics::Histogram& total;
  std::vector<RouteCells> cells;  // by worker
};

// Whether requests of a route should wait for one another when nothing is known of their answer yet: only where answers turn out to be
// cacheable now and then. Atomic; any worker.
class Sharing {
 public:
  [[nodiscard]] bool pays() const { return score_.load(std::memory_order_relaxed) >= 0; }
  void stored() { score_.store(kWorth, std::memory_order_relaxed); }
  void not_stored() {
    score_.store(std::max(score_.load(std::memory_order_relaxed) - 1, -1),
                 std::memory_order_relaxed);
  }
  void waited_in_vain() { score_.store(-1, std::memory_order_relaxed); }

 private:
  static constexpr int kWorth = 8;  // answers that may be uncacheable for each that is not
  std::atomic<int> score_{0};
};

// How a route's answers are cached.
struct RouteCache {
  bool enabled = false;
  std::optional<std::uint32_t> ttl;  // seconds; of answers that do not say
  cache::ClassId cls = 0;
  std::vector<std::string> tags;
  std::vector<std::string> invalidates;
  std::vector<std::string> strip_query;
  Owners owners;
  http::StoreRules rules;
  std::string browser;
  CdnHeaders cdn;
  std::unique_ptr<Sharing> sharing = std::make_unique<Sharing>();
};

struct Route {
  std::size_t order = 0;  // as configured: the first of equals wins
  std::string name;
  std::string host;  // lower case; "*.example.org" as ".example.org"
  bool wildcard = false;
  std::string path;
  Priority priority = Priority::normal;
  std::shared_ptr<Pool> pool;
  RoutePolicy policy;
  std::uint64_t body_limit = 0;
  Duration first_byte_timeout{};
  Duration idle_timeout{};
  std::uint32_t retries = 0;
  std::unique_ptr<Pagination> pagination;  // null: none
  RouteCache cache;
  RouteCoding coding;
  std::unique_ptr<RouteMetrics> metrics;
};

class RouteTable {
 public:
  explicit RouteTable(std::vector<Route> routes);
  // `path` normalised, `host` without port, any case; nullptr: no route.
  [[nodiscard]] const Route* match(std::string_view host, std::string_view path) const;
  [[nodiscard]] const std::vector<Route>& all() const { return routes_; }

 private:
  std::vector<Route> routes_;  // most specific first
};

// "example.org:8080" -> "example.org".
[[nodiscard]] std::string_view without_port(std::string_view authority);

}  // namespace headroom::edge
