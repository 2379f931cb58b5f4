// bench/cache/traces.h - made-up request traces: keys as numbers, each with the size of its value.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "headroom/base/hash.h"

namespace headroom::bench {

struct Request {
  std::uint64_t key;
  std::uint32_t size;
};

// Rank 0 is asked for most: P(rank) ~ 1 / (rank + 1)^s, by inversion over a table.
class Zipf {
 public:
  Zipf(std::size_t count, double s) : sums_(count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i)
      sums_[i] = sum += std::pow(static_cast<double>(i + 1), -s);
  }
  std::uint64_t next(Random& random) const {
    const double at = random.unit() * sums_.back();
    return static_cast<std::uint64_t>(std::ranges::upper_bound(sums_, at) - sums_.begin());
  }

 private:
  std::vector<double> sums_;
};

struct Trace {
  std::string name;
  std::uint64_t footprint;  // bytes of all distinct values, about
  std::function<Request()> next;
};

inline std::uint32_t web_size(std::uint64_t key) {
  // Log-normal, median 6 KB, as page and API answers are; fixed for a key.
  Random random(key * 77 + 1);
  const double normal =
      std::sqrt(-2 * std::log(1 - random.unit())) * std::cos(6.283185307 * random.unit());
  return static_cast<std::uint32_t>(
      std::clamp(std::exp(std::log(6000.0) + 1.1 * normal), 100.0, 400000.0));
}

inline std::vector<Trace> traces() {
  constexpr std::uint32_t kSmall = 200;
  constexpr std::size_t kKeys = 200000;
  std::vector<Trace> all;
  for (const double s : {0.7, 0.9, 1.1}) {
    auto zipf = std::make_shared<Zipf>(kKeys, s);
    auto random = std::make_shared<Random>(1);
    all.push_back({"zipf " + std::to_string(s).substr(0, 3), kKeys * kSmall,
                   [=] { return Request{zipf->next(*random), kSmall}; }});
  }
  {
    // Zipf with a tenth of the requests a scan over keys that never come back.
    auto zipf = std::make_shared<Zipf>(kKeys, 0.9);
    auto random = std::make_shared<Random>(2);
    auto scanned = std::make_shared<std::uint64_t>(1ULL << 40U);
    auto left = std::make_shared<int>(0);
    all.push_back({"zipf + scans", kKeys * kSmall, [=] {
                     if (*left == 0 && random->below(20000) == 0) *left = 20000;
                     if (*left > 0) {
                       --*left;
                       if (random->below(2) == 0) return Request{(*scanned)++, kSmall};
                     }
                     return Request{zipf->next(*random), kSmall};
                   }});
  }
  {
    auto at = std::make_shared<std::uint64_t>(0);
    all.push_back({"loop", 50000ULL * kSmall, [=] { return Request{(*at)++ % 50000, kSmall}; }});
  }
  {
    // The popular keys move on: every 400 requests each rank belongs to the next key.
    auto zipf = std::make_shared<Zipf>(kKeys, 0.9);
    auto random = std::make_shared<Random>(3);
    auto count = std::make_shared<std::uint64_t>(0);
    all.push_back({"shifting", kKeys * kSmall, [=] {
                     const std::uint64_t shift = ++*count / 400;
                     return Request{(zipf->next(*random) + shift) % kKeys, kSmall};
                   }});
  }
  {
    // Every 500,000 requests other keys are popular, at once.
    auto zipf = std::make_shared<Zipf>(kKeys, 0.9);
    auto random = std::make_shared<Random>(4);
    auto count = std::make_shared<std::uint64_t>(0);
    all.push_back({"changing", kKeys * kSmall, [=] {
                     const std::uint64_t epoch = ++*count / 500000;
                     return Request{hash64({}, zipf->next(*random) + epoch * kKeys) % kKeys,
                                    kSmall};
                   }});
  }
  for (const double s : {0.75, 0.95}) {
    // Web-like: Zipf over pages of log-normal size, new pages all the time (the youngest are popular), a third asked for once only.
    auto zipf = std::make_shared<Zipf>(40000, s);
    auto young = std::make_shared<Zipf>(2000, 0.8);
    auto random = std::make_shared<Random>(5);
    auto newest = std::make_shared<std::uint64_t>(1ULL << 32U);
    auto once = std::make_shared<std::uint64_t>(1ULL << 41U);
    all.push_back({"web-like " + std::to_string(s).substr(0, 4), 40000ULL * 10000, [=] {
                     const std::uint64_t kind = random->below(100);
                     if (random->below(50) == 0) ++*newest;
                     const std::uint64_t key = kind < 15   ? (*once)++
                                               : kind < 40 ? *newest - young->next(*random)
                                                           : zipf->next(*random);
                     return Request{key, web_size(key)};
                   }});
  }
  return all;
}

}  // namespace headroom::bench
