// headroom/edge/upstream.h - a group of servers that can answer the same requests, and what is known of each.
//
// Owns: per server its counters, health and, for each worker, the idle connections. Borrows: the registry.
// Worker: health and in-flight counts are atomics, read by all workers; `slot(worker)` belongs to that worker alone. A Group is made whole and
//   never changes; a reload makes another and keeps the Servers that stay.
// Invariants: (1) a server's in-flight count never exceeds its max_connections; (2) no more than max_ejected of a group is ejected at once;
//   below half usable, all are used; (3) idle connections of a worker are made, used and ended on it (retire(), forget()).
// Limits: keep_alive idle connections per server and worker (1,024 for a second); `queue` waiting requests per group.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "headroom/base/address.h"
#include "headroom/base/hash.h"
#include "headroom/base/metrics.h"
#include "headroom/edge/options.h"
#include "headroom/http/client.h"
#include "headroom/limit/concurrency.h"
#include "headroom/net/tls.h"
#include "headroom/net/worker.h"

namespace headroom::edge {

// One line of `servers`.
struct ServerSpec {
  std::string text;  // as configured, without attributes
  bool tls = false;
  std::string host;  // empty: a Unix socket
  std::uint16_t port = 0;
  std::string unix_path;
  std::string authority;  // what Host says with host = "upstream"
  unsigned weight = 1;
  std::uint32_t max_connections = 0;
  bool backup = false;
  bool operator==(const ServerSpec&) const = default;

  // Errc::invalid with what is accepted.
  [[nodiscard]] static Result<ServerSpec> parse(std::string_view line);
};

using Endpoints = std::vector<net::Endpoint>;

class Server {
 public:
  static constexpr std::size_t kMostIdle = 1024;

  // What one worker keeps of a server.
  struct alignas(128) Slot {
    std::vector<std::unique_ptr<http::ClientConnection>> idle;  // the last used is last
    metrics::Cell* requests = nullptr;
    metrics::Cell* failures = nullptr;
    metrics::Cell* connects = nullptr;
    metrics::Histogram::Recorder first_byte;
    metrics::Histogram::Recorder connect;
  };

  Server(ServerSpec spec, const std::string& group, std::size_t workers,
         metrics::Registry& registry);

  [[nodiscard]] const ServerSpec& spec() const { return spec_; }
  [[nodiscard]] Slot& slot(const net::Worker& worker) { return slots_[worker.index()]; }

  // --- where it is ---
  [[nodiscard]] std::shared_ptr<const Endpoints> endpoints() const;
  void set_endpoints(Endpoints endpoints, std::string problem);

  // --- how it is ---
  [[nodiscard]] bool usable(TimePoint now) const;
  [[nodiscard]] bool ejected(TimePoint now) const {
    return now < ejected_until_.load(std::memory_order_relaxed);
  }
  // A connection that failed, a time-out, an answer that was none. True when this makes max_fails within fail_timeout.
  [[nodiscard]] bool failed(TimePoint now, const UpstreamOptions& options);
  void answered() { consecutive_ejections_.store(0, std::memory_order_relaxed); }
  void eject(TimePoint now, const UpstreamOptions& options);
  void set_probe(bool up, std::string reason, TimePoint now);
  // What is known of the same server under its attributes of before a reload.
  void inherit(const Server& before);
  void set_draining(bool draining) { draining_.store(draining, std::memory_order_relaxed); }
  // 0 to 1: what share of its weight a server that has just come up gets.
  [[nodiscard]] double warmth(TimePoint now, Duration slow_start) const;
  [[nodiscard]] std::string state(TimePoint now) const;
  [[nodiscard]] std::string reason() const;

  // --- how much it does ---
  [[nodiscard]] bool enter();
  // Ordered against those who begin to wait (waiting.h).
  void leave() { in_flight_.fetch_sub(1, std::memory_order_seq_cst); }
  [[nodiscard]] std::uint32_t in_flight() const {
    return in_flight_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool full() const {
    return spec_.max_connections != 0 &&
           in_flight_.load(std::memory_order_seq_cst) >= spec_.max_connections;
  }
  std::atomic<std::int64_t> idle_connections{0};
  [[nodiscard]] metrics::Counter& requests() { return requests_; }
  [[nodiscard]] metrics::Counter& failures() { return failures_; }
  [[nodiscard]] metrics::Histogram& first_byte() { return first_byte_; }

  // The server is out of use: forget() the connections of each worker, on it, and keep no more.
  void retire() { retired_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool retired() const { return retired_.load(std::memory_order_relaxed); }
  void forget(const net::Worker& worker);
  // Closes what has rested for longer than the keep-alive time, and beyond keep_alive what has rested for longer than a second: so a
  // burst does not make connections over and over. Every second, on the worker.
  void trim(const net::Worker& worker, TimePoint now, const UpstreamOptions& options);

 private:
  const ServerSpec spec_;
  std::vector<Slot> slots_;
  metrics::Counter& requests_;
  metrics::Counter& failures_;
  metrics::Histogram& first_byte_;
  metrics::GaugeHandle in_flight_gauge_;
  metrics::GaugeHandle up_gauge_;

  alignas(128) std::atomic<std::uint32_t> in_flight_{0};
  std::atomic<bool> retired_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> probe_down_{false};
  std::atomic<bool> resolved_{false};
  std::atomic<TimePoint> ejected_until_{TimePoint{}};
  std::atomic<TimePoint> up_since_{TimePoint{}};
  std::atomic<TimePoint> fails_since_{TimePoint{}};
  std::atomic<std::uint32_t> fails_{0};
  std::atomic<std::uint32_t> consecutive_ejections_{0};

  mutable std::mutex mutex_;  // look-ups and probes write rarely; read once per connect
  std::shared_ptr<const Endpoints> endpoints_;
  std::string resolve_problem_;
  std::string probe_reason_;
};

// Which server a request may not go to again.
using Tried = std::vector<const Server*>;

class Group {
 public:
  Group(UpstreamOptions options, std::vector<std::shared_ptr<Server>> servers,
        std::shared_ptr<limit::Concurrency> concurrency, std::shared_ptr<const net::TlsClient> tls);

  [[nodiscard]] const UpstreamOptions& options() const { return options_; }
  [[nodiscard]] const std::vector<std::shared_ptr<Server>>& servers() const { return servers_; }
  [[nodiscard]] limit::Concurrency& concurrency() const { return *concurrency_; }
  [[nodiscard]] const std::shared_ptr<limit::Concurrency>& shared_concurrency() const {
    return concurrency_;
  }
  [[nodiscard]] const net::TlsClient* tls() const { return tls_.get(); }

  struct Pick {
    Server* server = nullptr;
    bool all_full = false;  // there are usable servers, each at its max_connections
  };
  // Chooses and enters a server (Server::enter). `hash` matters for Balance::hash only.
  [[nodiscard]] Pick pick(TimePoint now, const Tried& tried, std::uint64_t hash,
                          Random& random) const;
  // What Balance::hash goes by: hash_by of the request.
  [[nodiscard]] std::uint64_t hash_of(const http::RequestHead& head, const IpAddress& client) const;
  // Takes a server out when it has failed too often and enough others are left.
  void note_failure(Server& server, TimePoint now) const;

  // Retries may be at most `retry_budget` of the requests, with ten in reserve.
  void earn_retry() const;
  [[nodiscard]] bool spend_retry() const;

 private:
  [[nodiscard]] bool eligible(const Server& server, TimePoint now, bool everyone) const;
  [[nodiscard]] Server* best_of(std::span<Server* const> candidates, TimePoint now,
                                std::uint64_t hash, Random& random) const;
  [[nodiscard]] double load_of(const Server& server, TimePoint now) const;

  const UpstreamOptions options_;
  const std::vector<std::shared_ptr<Server>> servers_;
  const std::shared_ptr<limit::Concurrency> concurrency_;
  const std::shared_ptr<const net::TlsClient> tls_;
  std::vector<std::pair<std::uint64_t, Server*>> ring_;  // for Balance::hash
  mutable std::atomic<std::uint64_t> turn_{0};
  mutable std::atomic<std::int64_t> retry_tokens_{10 * 1000};  // thousandths of a retry
};

}  // namespace headroom::edge
