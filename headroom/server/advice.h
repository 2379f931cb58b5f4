// headroom/server/advice.h - what a figure means and what to do about it: one sentence each, from what was measured in the last minute.
//
// Owns: nothing; pure functions of values, and readings() which takes them from the trends and the rooms.
// Worker and threads: the trends thread. Limits: a sentence a figure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "headroom/json/writer.h"
#include "headroom/server/sources.h"

namespace headroom::server {

// The slow end (p99) of a route's answers and of their phases, in milliseconds.
struct RouteTimes {
  std::string route;
  std::uint64_t requests = 0;
  double queue = 0, connect = 0, first_byte = 0, total = 0;
};

// How the databases' connections were used.
struct PoolUse {
  std::string name;  // "database/user"
  std::uint64_t busy = 0;
  std::uint64_t limit = 0;
  std::uint64_t waiting = 0;    // at most at once
  std::uint64_t pool_size = 0;  // as it is set
};

struct Failures {
  std::string route;
  std::uint64_t unanswered = 0;  // ended without an answer
  std::uint64_t answered = 0;    // with 5xx
};

struct Misses {
  std::string space, cls;
  std::uint64_t count = 0;
};

struct Readings {
  std::vector<RouteTimes> routes;
  std::vector<edge::GroupStatus> groups;
  std::vector<PoolUse> pools;
  double query_wait_ms = 0;  // p99 of who waited for a connection
  double query_ms = 0;       // p99
  std::uint64_t requests = 0, errors = 0, shed = 0;
  std::vector<Failures> failures;
  std::uint64_t hits = 0, misses = 0;
  std::vector<Misses> missed;
};

[[nodiscard]] std::string explain_latency(const Readings& readings);
[[nodiscard]] std::string explain_errors(const Readings& readings);
[[nodiscard]] std::string explain_cache(const Readings& readings);
[[nodiscard]] std::string explain_pools(const Readings& readings);

// In how many seconds a use that grew like this (one value a `step`, the oldest first) reaches 1; nothing where it does not grow steadily.
[[nodiscard]] std::optional<double> full_in_seconds(std::span<const std::optional<double>> use,
                                                    double step);

// "explanations": {"latency", "errors", "cache", "database"}.
void write_explanations(json::Writer& out, const Sources& sources, monitor::Trends& trends,
                        std::int64_t now);

}  // namespace headroom::server
