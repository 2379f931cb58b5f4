// headroom/edge/status.h - what the edge shows of itself: groups, routes, all requests. Values, made when somebody asks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "headroom/base/clock.h"

namespace headroom::edge {

// One server of a group, as `/api/v1/upstreams` shows it.
struct ServerStatus {
  std::string address;  // as configured
  std::string state;    // "up", "down" (health checks), "ejected", "draining", "unresolved"
  std::string reason;
  unsigned weight = 1;
  std::uint64_t in_flight = 0;
  std::uint64_t idle = 0;
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
  double p50_ms = 0, p90_ms = 0, p95_ms = 0, p99_ms = 0;  // first byte
};

struct GroupStatus {
  std::string name;
  std::uint64_t in_flight = 0;
  std::uint64_t in_flight_limit = 0;  // the adaptive limit now
  std::uint64_t queued = 0;
  std::vector<ServerStatus> servers;
};

// Milliseconds.
struct Quantiles {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0;
};

struct RouteStatus {
  std::string name;
  std::uint64_t requests = 0;
  std::array<std::uint64_t, 6> by_class{};  // [2] = 2xx; [0] = ended without an answer
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t in_flight = 0;
  Quantiles queue, connect, first_byte, total;
};

// All requests since the start.
struct Summary {
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;  // 5xx and requests ended without an answer
  std::uint64_t connections = 0;
  std::uint64_t in_flight = 0;
  Quantiles total;
};

// The warming under way, or the last one.
struct WarmStatus {
  struct Problem {
    std::string url;
    std::string outcome;  // "failed", "not_stored"
    std::string why;
  };
  bool running = false;
  std::uint64_t runs = 0;
  std::uint64_t total = 0;  // requests; of a run, or as listed
  std::uint64_t done = 0;
  std::uint64_t stored = 0;
  std::uint64_t fresh = 0;  // were there
  std::uint64_t not_stored = 0;
  std::uint64_t failed = 0;
  std::int64_t began = 0;  // Unix seconds
  Duration took{};
  std::vector<Problem> problems{};  // the first ten
};

// What the CDN in front has been told.
struct CdnStatus {
  std::string provider;       // "": none
  std::uint64_t waiting = 0;  // invalidations
  std::uint64_t told = 0;     // since the start
  std::uint64_t calls = 0;
  std::uint64_t refused = 0;   // invalidations
  std::uint64_t failures = 0;  // calls in a row
  std::string last_error;
  std::int64_t last_told = 0;  // Unix seconds; 0: never
};

}  // namespace headroom::edge
