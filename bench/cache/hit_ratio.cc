// bench/cache - hit ratios on made-up traces, beside an LRU of the same bytes: bench_cache_hits [requests [share of the footprint]].
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "bench/cache/lru.h"
#include "bench/cache/traces.h"
#include "headroom/cache/memory_tier.h"

namespace headroom::bench {
namespace {

constexpr std::uint64_t kOverhead = 80;

struct Ratios {
  double ours = 0;
  double lru = 0;
};

Ratios run(const Trace& trace, std::uint64_t limit, std::uint64_t requests) {
  cache::MemoryTier tier(
      {.memory_limit = limit, .value_limit = limit / 10, .early_refresh = 0, .seed = 1});
  MutexLru lru(limit, kOverhead);
  const std::string bytes(1U << 20U, 'x');
  const TimePoint now = Clock::now();
  std::uint64_t ours = 0;
  std::uint64_t theirs = 0;
  for (std::uint64_t i = 0; i < requests; ++i) {
    const Request request = trace.next();
    const std::string key = fmt::format("{:016x}", request.key);
    const std::string_view value = std::string_view(bytes).substr(0, request.size);
    cache::Found found = tier.lookup({.space = cache::Space::app, .key = key, .now = now});
    if (found.answer == cache::Answer::fresh) {
      ++ours;
    } else {
      static_cast<void>(found.lease.store({.lifetimes = {.ttl = 86400s}}, value, now));
    }
    if (lru.touch(key)) {
      ++theirs;
    } else if (value.size() <= limit / 10) {
      lru.set_size(key, value.size());
    }
  }
  const auto all = static_cast<double>(requests) / 100;
  return {static_cast<double>(ours) / all, static_cast<double>(theirs) / all};
}

}  // namespace
}  // namespace headroom::bench

int main(int count, char** arguments) {
  using namespace headroom::bench;  // NOLINT
  const std::uint64_t requests = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 2000000;
  const std::vector<double> shares = count > 2
                                         ? std::vector<double>{std::strtod(arguments[2], nullptr)}
                                         : std::vector<double>{0.02, 0.1, 0.3};
  fmt::print("{:<16} {:>8} {:>9} {:>8} {:>8} {:>8}\n", "trace", "memory", "", "ours %", "LRU %",
             "gain");
  for (std::size_t t = 0; t < traces().size(); ++t) {
    for (const double share : shares) {
      const Trace trace = traces()[t];
      const auto limit = std::max<std::uint64_t>(
          1U << 20U, static_cast<std::uint64_t>(static_cast<double>(trace.footprint) * share));
      const Ratios ratios = run(trace, limit, requests);
      fmt::print("{:<16} {:>6.1f}MB {:>8.0f}% {:>8.2f} {:>8.2f} {:>+8.2f}\n", trace.name,
                 static_cast<double>(limit) / 1048576, share * 100, ratios.ours, ratios.lru,
                 ratios.ours - ratios.lru);
      std::fflush(stdout);
    }
  }
}
