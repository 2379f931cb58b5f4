#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <latch>

#include "headroom/base/metrics.h"
#include "headroom/cache/cache.h"
#include "headroom/cache/journal.h"

namespace headroom::cache {
namespace {

namespace fs = std::filesystem;
using net::Task;
using net::TaskGroup;

class Directory {
 public:
  Directory()
      : path_(fs::temp_directory_path() / ("headroom-disk-test-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directory(path_);
  }
  ~Directory() { fs::remove_all(path_); }
  [[nodiscard]] fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

// --- The journal

class JournalTest : public ::testing::Test {
 protected:
  // A process: opens the file, and is gone without a word unless told to close.
  struct Process {
    explicit Process(const fs::path& path) {
      auto file = Journal::open(path);
      EXPECT_TRUE(file);
      trusted = file->trusted;
      journal.attach(*file);
    }
    Journal journal;
    bool trusted = false;
  };
  Directory directory_;
  const fs::path path_ = directory_ / "journal";
};

TEST_F(JournalTest, MarksOutliveAProcessThatWasKilled) {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  {
    Process process(path_);
    EXPECT_FALSE(process.trusted) << "there was no file";
    first = process.journal.next_generation();
    process.journal.tag("t", 2);
    process.journal.ban(Space::app, false, "pre", 3);
    process.journal.ban(Space::app, true, "*fix", 4);
    process.journal.key(Space::app, "erased");
    second = process.journal.next_generation();
  }
  Process next(path_);
  EXPECT_TRUE(next.trusted);
  EXPECT_EQ(next.journal.offset(), 4U);
  const auto valid = [&](std::string_view key, std::vector<std::string> tags, std::uint64_t seq,
                         std::uint64_t generation) {
    return next.journal.valid(Space::app, key, tags, seq, generation);
  };
  EXPECT_TRUE(valid("a", {"other"}, 1, first));
  EXPECT_FALSE(valid("a", {"other", "t"}, 1, first));
  EXPECT_TRUE(valid("a", {"other", "t"}, 2, first)) << "written after it";
  EXPECT_FALSE(valid("prefix", {}, 2, first));
  EXPECT_FALSE(valid("suffix", {}, 3, first));
  EXPECT_TRUE(valid("prefix", {}, 4, first));
  EXPECT_FALSE(valid("erased", {}, 4, first));
  EXPECT_TRUE(valid("erased", {}, 4, second));
  EXPECT_TRUE(next.journal.valid(Space::http, "prefix", {}, 2, first)) << "of another space";
  EXPECT_FALSE(valid("a", {}, 99, first)) << "of no process that has been";
  EXPECT_FALSE(valid("a", {}, 1, second + 99));
  EXPECT_GT(next.journal.next_generation(), second);
}

TEST_F(JournalTest, MarksMadeBeforeTheFileIsThereAreCarriedOver) {
  std::uint64_t generation = 0;
  {
    Process process(path_);
    generation = process.journal.next_generation();
    process.journal.tag("x", 9);
  }
  Journal late;
  late.tag("t", 2);
  late.ban(Space::app, false, "pre", 3);
  late.key(Space::app, "erased");
  late.attach(*Journal::open(path_));
  const std::vector<std::string> tags{"t"};
  EXPECT_FALSE(late.valid(Space::app, "a", tags, 10, generation));
  EXPECT_FALSE(late.valid(Space::app, "prefix", {}, 10, generation));
  EXPECT_FALSE(late.valid(Space::app, "erased", {}, 10, generation));
  EXPECT_TRUE(late.valid(Space::app, "a", {}, 10, generation));
}

TEST_F(JournalTest, MoreBansThanItHoldsVoidTheirSpace) {
  Process process(path_);
  const std::uint64_t generation = process.journal.next_generation();
  process.journal.ban(Space::app, false, "first", 2);
  for (std::uint64_t i = 3; i < 300; ++i)
    process.journal.ban(Space::app, false, "x" + std::to_string(i), i);
  EXPECT_FALSE(process.journal.valid(Space::app, "first", {}, 1, generation));
  EXPECT_FALSE(process.journal.valid(Space::app, "any", {}, 1, generation));
  EXPECT_TRUE(process.journal.valid(Space::http, "any", {}, 1, generation));
  process.journal.ban(Space::http, true, std::string(500, 'p'), 300);
  EXPECT_FALSE(process.journal.valid(Space::http, "any", {}, 1, generation))
      << "too long to be kept";
}

TEST_F(JournalTest, AFileOfAnotherStartOfTheMachineIsBelievedOnlyAfterAnOrderlyEnd) {
  const auto change_boot = [&] {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(8);
    file.write("another", 7);
  };
  {
    Process killed(path_);
  }
  change_boot();
  EXPECT_FALSE(Process(path_).trusted);
  {
    Process orderly(path_);
    orderly.journal.tag("t", 2);
    orderly.journal.close();
  }
  change_boot();
  Process next(path_);
  EXPECT_TRUE(next.trusted);
  const std::vector<std::string> tags{"t"};
  EXPECT_TRUE(next.journal.valid(Space::app, "a", tags, 1, 0) || next.journal.offset() == 2)
      << "marks are gone with what they voided";
}

// --- Cache and disk

class DiskTest : public ::testing::Test {
 protected:
  // One life of a process with a cache on the directory.
  class Life {
   public:
    explicit Life(const fs::path& directory, bool persist = true) {
      CacheOptions o = cache_section().defaults();
      o.memory_limit = Bytes::mib(4);
      o.disk_limit = Bytes::mib(64);
      o.persist = persist;
      o.jitter = 0;
      cache.emplace(workers_, registry_, o, Cache::Place{.directory = directory, .stamp = "test"});
      workers_.start();
      until([&] {
        cache->upkeep();
        return cache->stats().disk->up;
      });
    }
    ~Life() {
      cache->stop();
      workers_.stop_and_join();
    }
    template <class F>
    void run(F body) {
      TaskGroup group(workers_[0]);
      std::latch done(1);
      workers_[0].run_and_wait([&] {
        auto whole = [&]() -> Task<> {
          co_await body(group);
          done.count_down();
        };
        ASSERT_TRUE(group.spawn(whole));
      });
      done.wait();
      group.stop_and_join();
    }
    void set(std::string key, std::string value, Storing how = {.cls = "static"}) {
      run([&](TaskGroup& group) -> Task<> {
        EXPECT_TRUE(co_await cache->set(group, key, value, how));
      });
    }
    std::optional<std::string> get(std::string key) {
      std::optional<std::string> found;
      run([&](TaskGroup& group) -> Task<> {
        auto value = co_await cache->get(group, key);
        if (value && *value) found = std::string((*value)->bytes());
      });
      return found;
    }
    void written(std::uint64_t count) {
      until([&] { return cache->stats().disk->written >= count; });
    }
    // The disk has no way to tell a test: it is asked.
    template <class F>
    static void until(F question) {
      for (const TimePoint end = Clock::now() + 20s; !question();) {
        ASSERT_LT(Clock::now(), end);
        std::this_thread::sleep_for(1ms);
      }
    }

    [[nodiscard]] net::Worker& worker(std::size_t i) { return workers_[i]; }

   private:
    net::Workers workers_{2};
    metrics::Registry registry_{2};

   public:
    std::optional<Cache> cache;
  };

  static std::string noise(std::size_t size, std::uint64_t seed) {
    Random random(seed);
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random.next());
    return bytes;
  }

  Directory directory_;
  const fs::path path_ = directory_ / "cache";
};

TEST_F(DiskTest, WhatTheMemoryHasNoMoreIsReadBackAndNotLoadedAgain) {
  Life life(path_, false);
  for (std::uint64_t i = 0; i < 60; ++i) {  // 12 MB in 4 MiB
    life.set("k" + std::to_string(i), noise(200000, i));
    life.written(i + 1);
  }
  for (std::uint64_t i = 0; i < 60; ++i)
    EXPECT_EQ(life.get("k" + std::to_string(i)), noise(200000, i)) << i;
  EXPECT_GT(life.cache->stats().disk->hits, 30U);
  EXPECT_LE(life.cache->stats().bytes, 4U << 20U);
  life.run([&](TaskGroup& group) -> Task<> {
    Loader never = [](TaskGroup&) -> Task<Result<Loaded>> {
      ADD_FAILURE() << "there is a copy";
      co_return fail(Errc::unavailable, "no");
    };
    for (int i = 0; i < 60; ++i) {
      auto value = co_await life.cache->get_or_compute(group, "k" + std::to_string(i), {}, never);
      EXPECT_TRUE(value);
    }
  });
}

TEST_F(DiskTest, ACopyIsVoidedWithItsValue) {
  Life life(path_, false);
  const auto fill_memory = [&] {  // with what is not worth a copy
    for (int i = 0; i < 40; ++i)
      life.set("other" + std::to_string(i), noise(200000, static_cast<std::uint64_t>(i)),
               {.ttl = 1s});
  };
  const std::vector<std::function<void(const std::string&)>> ways{
      [&](const std::string& key) { life.cache->invalidate_tag("tag of " + key); },
      [&](const std::string& key) { life.cache->invalidate_prefix(Space::app, key); },
      [&](const std::string& key) { life.cache->invalidate_pattern(Space::app, key + "*"); },
      [&](const std::string& key) { life.cache->invalidate_tag("tag of " + key, Hardness::soft); },
      [&](const std::string& key) { life.cache->invalidate_key(Space::app, key); },
      [&](const std::string& key) { life.set(key, "small", {.ttl = 1s}); },
  };
  for (std::size_t way = 0; way < ways.size(); ++way) {
    const std::string key = "key" + std::to_string(way);
    const std::uint64_t before = life.cache->stats().disk->written;
    life.set(key, noise(200000, 7), {.cls = "static", .tags = {"tag of " + key}});
    life.written(before + 1);
    fill_memory();
    ASSERT_EQ(life.get(key), noise(200000, 7)) << way;
    fill_memory();
    ways[way](key);
    EXPECT_NE(life.get(key), noise(200000, 7)) << way;
    // Also when what is remembered of invalidations has been tidied up meanwhile.
    for (int i = 0; i < 300; ++i)
      life.cache->invalidate_prefix(Space::app, "none" + std::to_string(i));
    static_cast<void>(life.cache->clean_up());
    EXPECT_NE(life.get(key), noise(200000, 7)) << way;
  }
}

TEST_F(DiskTest, TheNextProcessHasWhatIsValidAndNothingElse) {
  {
    Life life(path_);
    for (std::uint64_t i = 0; i < 50; ++i)
      life.set("k" + std::to_string(i), noise(1000 + i * 100, i),
               {.cls = "static", .tags = {"t" + std::to_string(i % 5)}});
    life.set("short", "lived", {.ttl = 1s});
    life.written(50);
    life.cache->invalidate_tag("t3");
  }
  Life next(path_);
  EXPECT_EQ(next.cache->stats().disk->entries, 40U);
  for (std::uint64_t i = 0; i < 50; ++i) {
    const auto value = next.get("k" + std::to_string(i));
    if (i % 5 == 3) {
      EXPECT_FALSE(value) << i;
    } else {
      EXPECT_EQ(value, noise(1000 + i * 100, i)) << i;
    }
  }
  EXPECT_FALSE(next.get("short"));
  next.cache->invalidate_tag("t2");  // tags are known anew
  EXPECT_FALSE(next.get("k2"));
}

TEST_F(DiskTest, OneProcessUsesADirectoryAtATime) {
  auto first = std::make_unique<Life>(path_);
  first->set("k", "value");
  first->written(1);
  net::Workers workers(1);
  metrics::Registry registry(1);
  CacheOptions o = cache_section().defaults();
  o.disk_limit = Bytes::mib(64);
  o.persist = true;
  Cache second(workers, registry, o, Cache::Place{.directory = path_, .stamp = "test"});
  workers.start();
  for (int i = 0; i < 20; ++i) {
    second.upkeep();
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_FALSE(second.stats().disk->up);
  second.invalidate_key(Space::app, "k");  // while the other still has the directory
  first.reset();
  Life::until([&] {
    second.upkeep();
    return second.stats().disk->up;
  });
  EXPECT_EQ(second.stats().disk->entries, 0U)
      << "what was invalidated here before the directory came over is void too";
  second.stop();
  workers.stop_and_join();
}

// No answer may be older than the last write that was done before it was asked; the memory holds a tenth of what there is.
TEST_F(DiskTest, ManyThreadsNeverReadWhatWasWrittenOver) {
  Life life(path_);
  constexpr int kKeys = 40;
  constexpr int kTasks = 8;
  std::array<std::atomic<int>, kKeys> versions{};
  std::array<std::atomic<int>, kKeys> settled{};
  std::atomic<int> wrong{0};
  std::atomic<int> reads{0};
  std::latch done(kTasks);
  std::vector<std::unique_ptr<TaskGroup>> groups;
  for (int t = 0; t < kTasks; ++t)
    groups.push_back(std::make_unique<TaskGroup>(life.worker(static_cast<std::size_t>(t % 2))));
  for (int t = 0; t < kTasks; ++t) {
    TaskGroup& group = *groups[static_cast<std::size_t>(t)];
    group.worker().post([&, t] {
      auto work = [&, t]() -> Task<> {
        Random random(static_cast<std::uint64_t>(t));
        for (int i = 0; i < 3000; ++i) {
          const auto k = static_cast<std::size_t>(random.below(kKeys));
          const std::string key = "k" + std::to_string(k);
          // A key is written by one task only.
          if (static_cast<int>(k % kTasks) == t && random.below(4) == 0) {
            const int version = ++versions[k];
            const std::uint64_t kind = random.below(4);
            if (kind == 0) life.cache->invalidate_tag("tag" + key);
            if (kind == 1) static_cast<void>(life.cache->invalidate_key(Space::app, key));
            if (kind > 1) {
              Storing how{.cls = "static", .tags = {"tag" + key}};
              std::string value =
                  std::to_string(version) + " " +
                  noise(100000 + random.below(150000), static_cast<std::uint64_t>(i));
              static_cast<void>(co_await life.cache->set(group, key, value, how));
            }
            settled[k] = version;
          } else {
            const int least = settled[k];
            auto got = co_await life.cache->get(group, key);
            if (got && *got) {
              ++reads;
              if (std::stoi(std::string((*got)->bytes().substr(0, 12))) < least) ++wrong;
            }
          }
          if (i % 50 == 0) static_cast<void>(co_await net::sleep(group, 5ms));
        }
        done.count_down();
      };
      if (!group.spawn(work)) done.count_down();
    });
  }
  while (!done.try_wait()) {
    life.cache->upkeep();
    std::this_thread::sleep_for(5ms);
  }
  for (auto& group : groups) group->stop_and_join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(reads, 1000);
  EXPECT_GT(life.cache->stats().disk->hits, 0U);
  EXPECT_LE(life.cache->stats().disk->bytes, 64U << 20U);
}

}  // namespace
}  // namespace headroom::cache
