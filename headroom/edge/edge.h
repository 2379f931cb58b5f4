// headroom/edge/edge.h - the HTTP proxy: accepts users' requests, chooses an upstream that can answer, streams both ways, measures.
//
// Owns: its doors (listen, tls.listen), the routes, the upstream groups with their connections and health, the metrics `headroom_edge_*`.
//   Borrows: the workers, the resolver, the registry, hosted services.
// Worker: each worker has its own server, idle upstream connections and waiting requests; what is shared between workers (in-flight
//   counts, health, routes) is atomic or an immutable snapshot swapped on each worker.
// Invariants: (1) the framing of every message is validated and written anew; (2) a request is sent again only when it is idempotent or
//   nothing of it was sent, and never after its answer began; (3) client addresses are believed only from trusted_proxies; (4) a reload
//   never touches an open connection; (5) every queue and wait is bounded.
// Limits: EdgeOptions; 100,000 addresses counted for connection caps.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/signed_value.h"
#include "headroom/base/error.h"
#include "headroom/base/metrics.h"
#include "headroom/cache/cache.h"
#include "headroom/edge/doors.h"
#include "headroom/edge/options.h"
#include "headroom/edge/status.h"
#include "headroom/http/service.h"
#include "headroom/limit/rules.h"
#include "headroom/link/link.h"
#include "headroom/net/interfaces.h"
#include "headroom/net/resolver.h"
#include "headroom/net/worker.h"

namespace headroom::edge {

// What a running process hands to the next one.
struct Inherited {
  std::vector<Door> doors;
  std::string tls_ticket_keys;  // secret
};

class Edge final : public net::Health {
 public:
  // `cache`: where answers are kept; null: nowhere.
  Edge(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
       cache::Cache* cache = nullptr);
  ~Edge() override;

  // Opens the doors (those of `inherited` are used as they are) and serves. From main's thread, workers running. Errc::invalid (an address,
  // a certificate), unavailable (an address in use).
  [[nodiscard]] Result<> start(std::shared_ptr<const EdgeOptions> options,
                               std::shared_ptr<const limit::Rules> limits,
                               Inherited inherited = {});
  // Routes, upstreams, limits and certificates from now on; opens the TLS door with the first certificate, closes it with the last, and
  // moves it; on an error nothing changes. From main's thread or any that is no worker's. Errc::unavailable once stop_accepting() began.
  [[nodiscard]] Result<> reload(std::shared_ptr<const EdgeOptions> options,
                                std::shared_ptr<const limit::Rules> limits);

  // Every second or so, from main's thread: rotates the keys of TLS tickets when their time has come (and so takes up renewed certificates).
  void upkeep(TimePoint now);

  // Requests for `prefix` and below are answered by `service` on the worker they came to. Before start().
  void host(std::string prefix, http::Service& service);

  // Where requests meet their queries, for [edge.cache] sql_tags. Before start().
  void tie_to(link::Link& link);
  // Browsers get a cookie with how far the database's log had come with what they wrote (browser_session.h). After tie_to(), before start().
  void keep_sessions(auth::Signer signer, std::string cookie);
  // Who may ask for explanations (explain.h): whether this token is an operator's. Called on the worker of that index. Before start().
  void explain_to(
      std::function<bool(std::string_view token, const IpAddress& peer, std::size_t worker)>
          may_ask);

  // For a take-over.
  [[nodiscard]] std::vector<Door> doors() const;
  [[nodiscard]] std::string tls_ticket_keys() const;
  // Shutdown, in this order; each from main's thread. The doors' sockets stay open when another process has taken them over.
  void stop_accepting(Doors doors = Doors::closed);
  void drain();                            // no more keep-alive
  [[nodiscard]] std::size_t open() const;  // connections still open
  void stop();                             // ends what is left and waits for it

  // From any thread.
  [[nodiscard]] std::vector<net::HealthReport> health() const override;
  [[nodiscard]] std::string not_ready() const override;
  [[nodiscard]] std::vector<GroupStatus> upstreams() const;
  [[nodiscard]] std::vector<RouteStatus> routes() const;
  [[nodiscard]] Summary summary() const;
  // The rules asked now; null before start().
  [[nodiscard]] std::shared_ptr<const limit::Rules> limits() const;
  // Errc::not_found. `server` as in ServerStatus::address.
  [[nodiscard]] Result<> set_draining(std::string_view group, std::string_view server,
                                      bool draining);

  // Fetches what [[edge.warm]] lists into the cache. True: it has begun; false: it was under way. Errc::not_found: nothing is listed, or there
  // is no cache; unavailable. Not on a worker.
  [[nodiscard]] Result<bool> warm();
  [[nodiscard]] WarmStatus warm_status() const;
  [[nodiscard]] CdnStatus cdn_status() const;

 private:
  class Body;
  std::unique_ptr<Body> body_;
};

// What start() and reload() would say of `options`, without opening a door: groups, routes, and the files they name. Reads files.
// Errc::invalid. `cache`: whose TTL classes routes name.
[[nodiscard]] Result<> validate(const std::shared_ptr<const EdgeOptions>& options,
                                const cache::CacheOptions& cache);

// Of stored pages (page.h): to be changed with it, so that pages of another form on disk are not read.
inline constexpr std::string_view kPageFormat = "page 1";

// Drops the page of a URL (scheme, host, path and query), in all its variants. True: the memory held it.
bool drop_page(cache::Cache& cache, std::string_view url, cache::Hardness hardness);

}  // namespace headroom::edge
