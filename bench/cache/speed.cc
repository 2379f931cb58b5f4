// bench/cache - ns per get and set, on one thread and on several, beside tbb::concurrent_lru_cache and an LRU under a mutex.
//
//   bench_cache_speed [operations of each thread]
//
// Keys are Zipf (0.9) over 100,000 and over 1,000,000, values of 64 to 191 bytes; the memory holds more than half of them, so that there is
// eviction all the time. Then the purge of a tag.
#include <fmt/format.h>
#include <oneapi/tbb/concurrent_lru_cache.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/cache/lru.h"
#include "bench/cache/traces.h"
#include "headroom/cache/memory_tier.h"

namespace headroom::bench {
namespace {

struct Load {
  std::size_t keys;
  std::uint64_t memory;
};
constexpr Load kLarge{1'000'000, 128ULL << 20U};
constexpr Load kMedium{100'000, 13ULL << 20U};

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::vector<std::string> make_keys(std::size_t count) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) keys.push_back(fmt::format("user:{:08}", i));
  return keys;
}

std::vector<std::uint32_t> make_order(std::size_t keys, std::size_t count, std::uint64_t seed) {
  const Zipf zipf(keys, 0.9);
  Random random(seed);
  std::vector<std::uint32_t> order(count);
  for (auto& one : order) one = static_cast<std::uint32_t>(hash64({}, zipf.next(random)) % keys);
  return order;
}

std::string_view value_of(std::size_t key) {
  static const std::string bytes(256, 'v');
  return std::string_view(bytes).substr(0, 64 + key % 128);
}

// ns of CPU an operation takes, the median of five rounds; `work(thread, order)` is run by all threads at once.
double measure(std::size_t keys, unsigned threads, std::size_t count,
               const std::function<void(const std::vector<std::uint32_t>&)>& work) {
  std::vector<std::vector<std::uint32_t>> orders;
  for (unsigned t = 0; t < threads; ++t) orders.push_back(make_order(keys, count, t + 1));
  std::vector<double> rounds;
  for (int round = 0; round < 5; ++round) {
    std::vector<double> cpu(threads);
    std::vector<std::thread> running;
    for (unsigned t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        const double before = thread_seconds();
        work(orders[t]);
        cpu[t] = thread_seconds() - before;
      });
    }
    for (auto& thread : running) thread.join();
    double sum = 0;
    for (const double one : cpu) sum += one;
    rounds.push_back(sum / threads / static_cast<double>(count) * 1e9);
  }
  std::ranges::sort(rounds);
  return rounds[2];
}

void row(const char* name, double one, double two) {
  fmt::print("{:<44} {:>9.0f} {:>9.0f} {:>10.1f}\n", name, one, two, 1e3 / one);
  std::fflush(stdout);
}

}  // namespace

void speed(const Load& load, std::size_t count) {
  const std::vector<std::string> keys = make_keys(load.keys);
  const auto [kKeys, kMemory] = load;
  const TimePoint now = Clock::now();
  const std::vector<std::string> tags{"user", "page"};
  const cache::Head head{.lifetimes = {.ttl = 3600s}, .tags = tags};
  const auto space = cache::Space::app;
  fmt::print("\n{} keys, {} MiB\n{:<44} {:>9} {:>9} {:>10}\n", kKeys, kMemory >> 20U,
             "ns of CPU an operation", "1 thread", "2 threads", "M/s/thread");
  {
    const auto harness = [&](const std::vector<std::uint32_t>& order) {
      std::uint64_t sum = 0;
      for (const std::uint32_t key : order) sum += hash64(keys[key]);
      if (sum == 0) std::abort();
    };
    row("the harness alone: hashing the key", measure(kKeys, 1, count, harness),
        measure(kKeys, 2, count, harness));
  }
  {
    cache::MemoryTier tier(
        {.memory_limit = kMemory, .value_limit = 1U << 20U, .early_refresh = 0, .seed = 5});
    const auto get_or_fill = [&](const std::vector<std::uint32_t>& order) {
      for (const std::uint32_t key : order) {
        cache::Found found = tier.lookup({.space = space, .key = keys[key], .now = now});
        if (found.lease) static_cast<void>(found.lease.store(head, value_of(key), now));
      }
    };
    get_or_fill(make_order(kKeys, 2'000'000, 99));
    row("headroom get, else load and set (evicting)", measure(kKeys, 1, count, get_or_fill),
        measure(kKeys, 2, count, get_or_fill));
    const auto get = [&](const std::vector<std::uint32_t>& order) {
      std::size_t hits = 0;
      for (const std::uint32_t key : order)
        hits += tier.peek({.space = space, .key = keys[key], .now = now}) ? 1 : 0;
      if (hits == 0) std::abort();
    };
    row("headroom get", measure(kKeys, 1, count, get), measure(kKeys, 2, count, get));
    const auto one = [&](const std::vector<std::uint32_t>& order) {
      for (std::size_t i = 0; i < order.size(); ++i) {
        if (!tier.peek({.space = space, .key = "user:hot", .now = now}))
          static_cast<void>(tier.set(space, "user:hot", head, value_of(1), now));
      }
    };
    row("headroom get of one hot key", measure(kKeys, 1, count, one),
        measure(kKeys, 2, count, one));
    const auto set = [&](const std::vector<std::uint32_t>& order) {
      for (const std::uint32_t key : order)
        static_cast<void>(tier.set(space, keys[key], head, value_of(key), now));
    };
    row("headroom set, two tags (evicting)", measure(kKeys, 1, count / 4, set),
        measure(kKeys, 2, count / 4, set));
  }
  {
    MutexLru lru(kMemory, 80);
    const auto get_or_fill = [&](const std::vector<std::uint32_t>& order) {
      std::string value;
      for (const std::uint32_t key : order) {
        if (!lru.get(keys[key], value)) lru.set(keys[key], std::string(value_of(key)));
      }
    };
    get_or_fill(make_order(kKeys, 2'000'000, 99));
    row("mutex LRU get, else set (evicting)", measure(kKeys, 1, count, get_or_fill),
        measure(kKeys, 2, count, get_or_fill));
    const auto get = [&](const std::vector<std::uint32_t>& order) {
      std::string value;
      for (const std::uint32_t key : order) static_cast<void>(lru.get(keys[key], value));
    };
    row("mutex LRU get", measure(kKeys, 1, count, get), measure(kKeys, 2, count, get));
  }
  {
    // It bounds the number of unused entries, not bytes; it has neither time to live nor tags.
    using Tbb =
        tbb::concurrent_lru_cache<std::uint32_t, std::string, std::string (*)(std::uint32_t)>;
    Tbb lru(+[](std::uint32_t key) { return std::string(value_of(key)); }, kMemory / 220);
    const auto get = [&](const std::vector<std::uint32_t>& order) {
      for (const std::uint32_t key : order) {
        if (lru[key].value().empty()) std::abort();
      }
    };
    get(make_order(kKeys, 2'000'000, 99));
    row("tbb::concurrent_lru_cache get, else load", measure(kKeys, 1, count, get),
        measure(kKeys, 2, count, get));
  }
}

void purge() {
  const std::vector<std::string> keys = make_keys(1'000'000);
  const TimePoint now = Clock::now();
  const auto space = cache::Space::app;
  cache::MemoryTier tier({.memory_limit = 1ULL << 30U, .value_limit = 1U << 20U, .seed = 6});
  std::uint64_t payload = 0;
  for (std::size_t key = 0; key < keys.size(); ++key) {
    const std::vector<std::string> two{key < 100'000 ? "purged" : "kept", "user"};
    static_cast<void>(
        tier.set(space, keys[key], {.lifetimes = {.ttl = 3600s}, .tags = two}, value_of(key), now));
    payload += keys[key].size() + value_of(key).size();
  }
  const auto each = [&](std::uint64_t bytes) {
    return static_cast<double>(bytes - payload) / static_cast<double>(tier.entries());
  };
  fmt::print("\n{} entries with TTL and two tags: overhead {:.1f} bytes each\n", tier.entries(),
             each(tier.memory().used()));
  const TimePoint began = Clock::now();
  tier.invalidate_tag("purged", cache::Hardness::hard);
  const Duration took = elapsed(began, Clock::now());
  std::size_t stale = 0;
  for (std::size_t key = 0; key < 100'000; ++key)
    stale += tier.peek({.space = space, .key = keys[key], .now = now}) ? 1 : 0;
  const TimePoint sweeping = Clock::now();
  const std::size_t swept = tier.sweep_all(now);
  fmt::print(
      "purge of a tag of 100,000 of {} entries: {:.1f} us; found afterwards: {}; a whole sweep "
      "takes {} ms and frees {} more\n",
      keys.size(), seconds(took) * 1e6, stale, elapsed(sweeping, Clock::now()).count() / 1000000,
      swept);
}

}  // namespace headroom::bench

int main(int count, char** arguments) {
  using namespace headroom::bench;  // NOLINT
  const std::size_t operations = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 2'000'000;
  speed(kMedium, operations);
  speed(kLarge, operations);
  purge();
}
