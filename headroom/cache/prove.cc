// headroom/cache/prove.cc - the history checker: many threads look up, load, write and invalidate at random; no answer may be older than it
// may be. tools/prove cache runs it at full length.
//
// A make-believe database holds a version for each of its sources. A write raises the version of a source, then invalidates in one of the
// cache's ways what was made of it, then notes that version as `settled`. A load notes the versions of its sources one by one, with pauses.
// Whoever looks up a key reads `settled` of its sources before and holds the answer to it: each version in it must be at least that.
//
// Once with the memory alone, and a tenth of it with a disk behind that has copies of all.
//
//   cache_prove [--operations N] [--threads N] [--seed N]
#include <fmt/format.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX's

#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "headroom/base/hash.h"
#include "headroom/cache/cache.h"
#include "headroom/net/task_group.h"
#include "headroom/net/worker.h"

namespace headroom::cache {
namespace {

constexpr std::size_t kSources = 200;  // tags "s0".."s199"
constexpr std::size_t kKeys = 300;
constexpr std::size_t kPerKey = 3;

struct Source {
  std::atomic<std::uint64_t> version{0};
  std::atomic<std::uint64_t> settled{0};
};

enum class Copies : std::uint8_t { none, on_disk };

struct Options {
  std::uint64_t operations = 10'000'000;
  unsigned threads = 4;
  std::uint64_t seed = 1;
};

struct Counts {
  std::atomic<std::uint64_t> done{0}, hits{0}, loads{0}, waits{0}, writes{0}, stale{0}, wrong{0};
};

using Versions = std::array<std::uint64_t, kPerKey>;

class Checker {
 public:
  Checker(const Options& options, Copies copies)
      : options_(options),
        copies_(copies),
        workers_(options.threads),
        registry_(options.threads),
        cache_(workers_, registry_, cache_options(copies), {directory_.path, "prove"}) {}

  int run();

 private:
  static CacheOptions cache_options(Copies copies) {
    CacheOptions made = cache_section().defaults();
    made.memory_limit = Bytes::mib(1);
    made.value_share = 0.25;
    made.waiters_limit = 1000;
    made.persist = copies == Copies::on_disk;
    made.disk_limit = copies == Copies::on_disk ? Bytes::mib(64) : Bytes{};
    return made;
  }
  // Key k is made of three sources and says which, so that a prefix or a pattern can mean them.
  static std::size_t source_of(std::size_t key, std::size_t i) {
    return i == 0 ? key % kSources : hash64(std::to_string(key), i) % kSources;
  }
  static std::string name_of(std::size_t key) {
    return fmt::format("/s{}/s{}/s{}/{}", source_of(key, 0), source_of(key, 1), source_of(key, 2),
                       key);
  }

  Versions settled(std::size_t key) const {
    Versions versions{};
    for (std::size_t i = 0; i < kPerKey; ++i)
      versions[i] = sources_[source_of(key, i)].settled.load();
    return versions;
  }
  // Short, so that values end in all states; on disk is only what lasts for seconds.
  Duration ttl(Random& random) const {
    return std::chrono::milliseconds(1 + random.below(copies_ == Copies::none ? 50 : 6000));
  }
  std::string load(std::size_t key, Random& random) {
    Versions versions{};
    for (std::size_t i = 0; i < kPerKey; ++i) {
      versions[i] = sources_[source_of(key, i)].version.load();
      pause(random);
    }
    ++counts_.loads;
    return {reinterpret_cast<const char*>(versions.data()), sizeof versions};
  }
  void pause(Random& random) {
    const std::uint64_t kind = random.below(64);
    if (kind == 0) std::this_thread::sleep_for(std::chrono::microseconds(random.below(200)));
    if (kind < 8) std::this_thread::yield();
  }
  void check(std::size_t key, const ObjectRef& object, const Versions& least);
  void write(std::size_t source, Random& random);
  void end_lease(Lease lease, std::size_t key, Random& random);
  net::Task<> look(net::TaskGroup& group, std::size_t key, Random& random);
  net::Task<> work(net::TaskGroup& group, std::uint64_t seed);

  const Options options_;
  const Copies copies_;
  std::array<Source, kSources> sources_;
  std::array<std::mutex, kSources> writing_;  // one writer a source, as a row lock would have it
  std::mutex upkeep_;
  struct Directory {
    Directory() : path(std::filesystem::temp_directory_path() / "headroom-prove.XXXXXX") {
      std::string name = path.string();
      path = ::mkdtemp(name.data());
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
  } directory_;
  net::Workers workers_;
  metrics::Registry registry_;
  Cache cache_;
  MemoryTier& tier_ = cache_.memory();
  Counts counts_;
};

void Checker::check(std::size_t key, const ObjectRef& object, const Versions& least) {
  Versions versions{};
  std::string bytes(object.stored());
  if (bytes.empty()) {  // streamed: only whole ones are read here
    if (object.state() != BodyState::whole) return;
    bytes = object->metadata();
  }
  std::memcpy(versions.data(), bytes.data(), sizeof versions);
  for (std::size_t i = 0; i < kPerKey; ++i) {
    if (versions[i] >= least[i]) continue;
    ++counts_.wrong;
    fmt::print(stderr,
               "WRONG: key {} has version {} of source {}, which was at {} before the look-up\n",
               name_of(key), versions[i], source_of(key, i), least[i]);
  }
}

void Checker::write(std::size_t source, Random& random) {
  const std::scoped_lock lock(writing_[source]);
  const std::uint64_t version = ++sources_[source].version;
  pause(random);
  if (random.below(32) == 0)
    tier_.invalidate_pattern(Space::app, fmt::format("noise{}", version), Hardness::hard);
  const std::string tag = fmt::format("s{}", source);
  const std::uint64_t kind = random.below(8);
  // A prefix means only the keys whose first source this is: the tag goes with it. A pattern, and the keys one by one, are enough alone.
  if (kind == 0) tier_.invalidate_prefix(Space::app, fmt::format("/{}/", tag), Hardness::hard);
  if (kind == 1) {
    tier_.invalidate_pattern(Space::app, fmt::format("*/{}/*", tag), Hardness::hard);
  } else if (kind == 2) {
    for (std::size_t key = 0; key < kKeys; ++key) {
      for (std::size_t i = 0; i < kPerKey; ++i) {
        if (source_of(key, i) == source)
          tier_.erase(Space::app, name_of(key), Hardness::hard, Clock::now());
      }
    }
  } else {
    tier_.invalidate_tag(tag, Hardness::hard);
  }
  sources_[source].settled = version;
  ++counts_.writes;
}

void Checker::end_lease(Lease lease, std::size_t key, Random& random) {
  const std::uint64_t kind = random.below(32);
  const std::string value = load(key, random);
  if (kind == 0) return;  // given up
  if (kind == 1) return static_cast<void>(lease.fail({Errc::unavailable, "made up"}, Clock::now()));
  if (kind == 2) return lease.uncacheable(std::chrono::milliseconds(random.below(5)), Clock::now());
  // The tags are first heard of here, after the load.
  std::vector<std::string> tags;
  for (std::size_t i = 0; i < kPerKey; ++i) tags.push_back(fmt::format("s{}", source_of(key, i)));
  const Lifetimes lifetimes{.ttl = ttl(random)};
  if (kind < 6) {
    auto published =
        lease.publish({.metadata = value, .lifetimes = lifetimes, .tags = tags}, Clock::now());
    if (!published) return;
    for (int i = 0; i < 5; ++i) published->filler.append(std::string(random.below(3000), 'x'));
    if (kind != 3) published->filler.finish();
    return;
  }
  // Besides, fat enough that the index overflows and evicts.
  static_cast<void>(lease.store(
      {.metadata = std::string(random.below(12000), 'm'), .lifetimes = lifetimes, .tags = tags},
      value, Clock::now()));
}

net::Task<> Checker::look(net::TaskGroup& group, std::size_t key, Random& random) {
  const Versions least = settled(key);
  const std::string name = name_of(key);
  Found found = cache_.lookup(group.worker().index(),
                              {.space = Space::app, .key = name, .now = Clock::now()});
  if (found.answer == Answer::join) {
    ++counts_.waits;
    auto waited = co_await found.ticket.wait(group, Clock::now() + 2s);
    if (!waited) co_return;
    found = std::move(*waited);
  }
  if (found.object) {
    ++counts_.hits;
    check(key, found.object, least);
  }
  if (found.lease) end_lease(std::move(found.lease), key, random);
}

net::Task<> Checker::work(net::TaskGroup& group, std::uint64_t seed) {
  Random random(seed);
  while (counts_.done.fetch_add(1) < options_.operations) {
    const std::size_t key = random.below(random.below(2) == 0 ? 20 : kKeys);
    const std::uint64_t kind = random.below(1000);
    if (kind < 40) {
      write(random.below(kSources), random);
    } else if (kind < 70) {
      // The app's own way: look at the source, then set, unless an invalidation came between.
      const std::uint64_t since = tier_.snapshot();
      const std::string value = load(key, random);
      if (random.below(4) == 0) std::this_thread::sleep_for(200us);
      std::vector<std::string> tags;
      for (std::size_t i = 0; i < kPerKey; ++i)
        tags.push_back(fmt::format("s{}", source_of(key, i)));
      static_cast<void>(tier_.set(Space::app, name_of(key),
                                  {.lifetimes = {.ttl = ttl(random)}, .tags = tags}, value,
                                  Clock::now(), since));
    } else if (kind < 72) {
      if (upkeep_.try_lock()) {  // one thread's work
        cache_.upkeep(1000);
        upkeep_.unlock();
      }
    } else if (kind < 76) {
      // Tags that nobody holds: they push out what is remembered of others.
      for (int i = 0; i < 50; ++i)
        tier_.invalidate_tag(fmt::format("noise{}", random.next()), Hardness::hard);
    } else {
      co_await look(group, key, random);
    }
    if ((random.next() & 63U) == 0)
      co_await net::asio::post(group.worker().executor(), net::kToken);
    if (tier_.memory().used() > tier_.memory().limit() + 64 * Body::kWindow) ++counts_.wrong;
  }
}

int Checker::run() {
  net::Workers& workers = workers_;
  workers.start();
  while (copies_ == Copies::on_disk && !cache_.stats().disk->up) {
    cache_.upkeep();
    std::this_thread::yield();
  }
  std::vector<std::unique_ptr<net::TaskGroup>> groups;
  constexpr unsigned kTasks = 4;  // on each thread, so that some wait while others load
  std::latch done(static_cast<std::ptrdiff_t>(options_.threads) * kTasks);
  for (unsigned i = 0; i < options_.threads; ++i) {
    groups.push_back(std::make_unique<net::TaskGroup>(workers[i]));
    net::TaskGroup& group = *groups.back();
    workers[i].post([&, i] {
      for (unsigned t = 0; t < kTasks; ++t) {
        const std::uint64_t seed = options_.seed * 1000 + i * kTasks + t;
        const bool spawned = group.spawn([this, &group, &done, seed]() -> net::Task<> {
          co_await work(group, seed);
          done.count_down();
        });
        if (!spawned) done.count_down();
      }
    });
  }
  const TimePoint began = Clock::now();
  done.wait();
  for (auto& group : groups) group->stop_and_join();
  const Stats stats = cache_.stats();
  const std::uint64_t from_disk = stats.disk ? stats.disk->hits : 0;
  cache_.stop();
  workers.stop_and_join();
  fmt::print(
      "cache: {} operations in {:.1f} s: {} answers from the cache, {} of them off the disk, {} "
      "loads, {} waits, {} writes, {} entries evicted; {} wrong\n",
      options_.operations, seconds(elapsed(began, Clock::now())), counts_.hits.load(), from_disk,
      counts_.loads.load(), counts_.waits.load(), counts_.writes.load(),
      tier_.removals(Removal::capacity), counts_.wrong.load());
  const bool did_something = counts_.hits > options_.operations / 20 && counts_.waits > 0 &&
                             counts_.writes > 0 &&
                             (!stats.disk || from_disk > options_.operations / 1000);
  if (!did_something) fmt::print(stderr, "cache: the history was too tame to prove anything\n");
  return counts_.wrong == 0 && did_something ? 0 : 1;
}

}  // namespace
}  // namespace headroom::cache

int main(int count, char** arguments) {
  headroom::cache::Options options;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = arguments[i];
    const std::uint64_t value = std::strtoull(arguments[i + 1], nullptr, 10);
    if (name == "--operations") options.operations = value;
    if (name == "--threads") options.threads = static_cast<unsigned>(value);
    if (name == "--seed") options.seed = value;
  }
  using namespace headroom::cache;
  const int alone = Checker(options, Copies::none).run();
  options.operations /= 10;
  const int with_disk = Checker(options, Copies::on_disk).run();
  return alone != 0 ? alone : with_disk;
}
