#include "headroom/cache/cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

#include "headroom/base/metrics.h"
#include "headroom/cache/codec.h"
#include "headroom/cache/metrics.h"
#include "headroom/net/task_group.h"

namespace headroom::cache {
namespace {

using net::Task;
using net::TaskGroup;

// The small language of these tests: two workers, a cache, tasks run to their end on a worker, a clock that may be moved.
class CacheTest : public ::testing::Test {
 protected:
  CacheTest() { workers_.start(); }
  ~CacheTest() override {
    cache.stop();
    workers_.stop_and_join();
  }

  static CacheOptions options() {
    CacheOptions o = cache_section().defaults();
    o.memory_limit = Bytes::mib(16);
    o.jitter = 0;
    o.early_refresh = 0;
    o.soft_timeout = 50ms;
    o.hard_timeout = 5s;
    return o;
  }
  [[nodiscard]] TimePoint now() const { return start_ + Duration(moved_.load()); }
  void move_on(Duration by) { moved_ += by.count(); }

  template <class F>
  void run(F body, std::size_t on = 0) {
    TaskGroup group(workers_[on]);
    std::latch done(1);
    workers_[on].run_and_wait([&] {
      auto whole = [&]() -> Task<> {
        co_await body(group);
        done.count_down();
      };
      ASSERT_TRUE(group.spawn(whole));
    });
    done.wait();
    group.stop_and_join();
  }
  // Runs `count` tasks at once, by turns on both workers.
  template <class F>
  void run_many(int count, F body) {
    TaskGroup first(workers_[0]);
    TaskGroup second(workers_[1]);
    std::latch done(count);
    for (int i = 0; i < count; ++i) {
      TaskGroup& group = i % 2 == 0 ? first : second;
      group.worker().post([&, i] {
        auto whole = [&group, &done, &body, i]() -> Task<> {
          co_await body(group, i);
          done.count_down();
        };
        ASSERT_TRUE(group.spawn(whole));
      });
    }
    done.wait();
    first.stop_and_join();
    second.stop_and_join();
  }

  Found look(std::string_view key) {
    return cache.lookup(0, {.space = Space::http, .key = key, .now = now()});
  }
  Published publish(std::string_view key, Head head = {.lifetimes = {.ttl = 60s}}) {
    auto published = look(key).lease.publish(head, now());
    EXPECT_TRUE(published);
    return std::move(*published);
  }
  // Reads to the end.
  static Task<Result<std::string>> read_all(
      TaskGroup& group, ObjectRef object, std::function<void()> first = [] {}) {
    Reader reader(group, std::move(object));
    std::string all;
    while (true) {
      const TimePoint deadline = Clock::now() + 5s;
      auto more = co_await reader.wait(deadline);
      if (!more) co_return pass(more);
      if (!*more) co_return all;
      const std::string_view bytes = reader.available();
      if (all.empty()) first();
      all += bytes;
      reader.consume(bytes.size());
    }
  }

  const TimePoint start_ = Clock::now();
  std::atomic<std::int64_t> moved_{0};
  net::Workers workers_{2};
  metrics::Registry registry{2};
  Cache cache{workers_, registry, options(), [this] { return now(); }};
};

Loader loads(std::string value, std::atomic<int>& count, Duration time = 0ms) {
  return [value = std::move(value), &count, time](TaskGroup& group) -> Task<Result<Loaded>> {
    ++count;
    if (time > 0ms) static_cast<void>(co_await net::sleep(group, time));
    Loaded loaded;
    loaded.value = value;
    co_return loaded;
  };
}

TEST_F(CacheTest, AThousandMissesAreOneLoad) {
  std::atomic<int> count{0};
  std::atomic<int> right{0};
  run_many(1000, [&](TaskGroup& group, int) -> Task<> {
    auto loader = loads("value", count, 100ms);
    auto value = co_await cache.get_or_compute(group, "key", {}, loader);
    if (value && value->bytes() == "value") ++right;
  });
  EXPECT_EQ(count, 1);
  EXPECT_EQ(right, 1000);
  EXPECT_EQ(cache.stats().coalesced, 999U);
}

TEST_F(CacheTest, SetGetEraseAndTags) {
  run([&](TaskGroup& group) -> Task<> {
    Storing how{.cls = "statistics", .tags = {"users"}};
    EXPECT_TRUE(co_await cache.set(group, "a", "1", how));
    auto got = co_await cache.get(group, "a");
    EXPECT_EQ((*got)->bytes(), "1");
    move_on(121s);
    got = co_await cache.get(group, "a");
    EXPECT_FALSE(*got) << "statistics live 120 s";
    EXPECT_TRUE(co_await cache.set(group, "a", "2", how));
    cache.invalidate_entity("users");
    got = co_await cache.get(group, "a");
    EXPECT_FALSE(*got);
    EXPECT_TRUE(co_await cache.set(group, "a", "3", how));
    auto erased = co_await cache.erase(group, "a");
    EXPECT_TRUE(*erased);
    std::string too_long(2000, 'k');
    EXPECT_FALSE(co_await cache.get(group, too_long));
  });
}

TEST_F(CacheTest, LargeValuesAreCompressedWhereItSaves) {
  run([&](TaskGroup& group) -> Task<> {
    std::string text;
    for (int i = 0; i < 5000; ++i) text += "row " + std::to_string(i % 100) + ", ";
    Random random(3);
    std::string noise(text.size(), '\0');
    for (char& c : noise) c = static_cast<char>(random.next());
    EXPECT_TRUE(co_await cache.set(group, "text", text, {}));
    const auto used = cache.stats().bytes;
    EXPECT_LT(used, text.size() / 3);
    EXPECT_TRUE(co_await cache.set(group, "noise", noise, {}));
    EXPECT_GT(cache.stats().bytes - used, noise.size());
    auto got = co_await cache.get(group, "text");
    EXPECT_EQ((*got)->bytes(), text);
    got = co_await cache.get(group, "noise");
    EXPECT_EQ((*got)->bytes(), noise);
  });
}

TEST_F(CacheTest, AbsenceIsRememberedForItsOwnTime) {
  std::atomic<int> count{0};
  run([&](TaskGroup& group) -> Task<> {
    Loader loader = [&count](TaskGroup&) -> Task<Result<Loaded>> {
      ++count;
      Loaded loaded;
      loaded.outcome = Loaded::Outcome::absent;
      co_return loaded;
    };
    for (int i = 0; i < 3; ++i) {
      auto value = co_await cache.get_or_compute(group, "nobody", {}, loader);
      EXPECT_FALSE(value->found());
    }
    EXPECT_EQ(count, 1);
    move_on(31s);
    static_cast<void>(co_await cache.get_or_compute(group, "nobody", {}, loader));
    EXPECT_EQ(count, 2);
  });
}

TEST_F(CacheTest, AFailedLoadGoesToAnotherThenItRecovers) {
  std::atomic<int> count{0};
  std::atomic<int> failed{0};
  run_many(10, [&](TaskGroup& group, int) -> Task<> {
    Loader loader = [&count](TaskGroup& group) -> Task<Result<Loaded>> {
      ++count;
      static_cast<void>(co_await net::sleep(group, 50ms));
      co_return fail(Errc::unavailable, "no database");
    };
    auto value = co_await cache.get_or_compute(group, "key", {}, loader);
    if (!value && value.error().code == Errc::unavailable) ++failed;
  });
  EXPECT_EQ(failed, 10);
  EXPECT_EQ(count, 2) << "one load, one more by a waiter, then all hear of it";
  run([&](TaskGroup& group) -> Task<> {
    auto loader = loads("back", count);
    auto value = co_await cache.get_or_compute(group, "key", {}, loader);
    EXPECT_EQ(value->bytes(), "back");
  });
}

TEST_F(CacheTest, ASlowOrFailingLoadIsCoveredByTheStaleValue) {
  std::atomic<int> count{0};
  run([&](TaskGroup& group) -> Task<> {
    auto quick = loads("old", count);
    static_cast<void>(co_await cache.get_or_compute(group, "key", {}, quick));
    move_on(300s + 60s);
    auto slow = loads("new", count, 300ms);
    const TimePoint began = Clock::now();
    auto value = co_await cache.get_or_compute(group, "key", {}, slow);
    EXPECT_EQ(value->bytes(), "old") << "after the soft time-out";
    EXPECT_LT(elapsed(began, Clock::now()), 250ms);
    static_cast<void>(co_await net::sleep(group, 400ms));
    value = co_await cache.get_or_compute(group, "key", {}, slow);
    EXPECT_EQ(value->bytes(), "new") << "the load went on";
    EXPECT_EQ(count, 2);
  });
}

TEST_F(CacheTest, UncacheableLoadsRunSideBySide) {
  std::atomic<int> count{0};
  run_many(20, [&](TaskGroup& group, int i) -> Task<> {
    Loader loader = [&count, i](TaskGroup& group) -> Task<Result<Loaded>> {
      ++count;
      static_cast<void>(co_await net::sleep(group, 50ms));
      Loaded loaded;
      loaded.value = std::to_string(i);
      loaded.outcome = Loaded::Outcome::uncacheable;
      co_return loaded;
    };
    auto value = co_await cache.get_or_compute(group, "mine", {}, loader);
    EXPECT_EQ(value->bytes(), std::to_string(i));
  });
  EXPECT_EQ(count, 21) << "the first one's showed it, then everybody's own";
}

TEST_F(CacheTest, TheCallersDeadlineEndsItsWaitAndTheLoadGoesOn) {
  std::atomic<int> count{0};
  run([&](TaskGroup& group) -> Task<> {
    auto slow = loads("late", count, 200ms);
    const TimePoint deadline = Clock::now() + 40ms;
    auto value = co_await cache.get_or_compute(group, "key", {}, slow, deadline);
    EXPECT_EQ(value.error().code, Errc::timeout);
    static_cast<void>(co_await net::sleep(group, 300ms));
    auto got = co_await cache.get(group, "key");
    EXPECT_TRUE(got->has_value());
  });
}

TEST_F(CacheTest, ReadersOnBothWorkersFollowABodyThatGrows) {
  constexpr int kPieces = 300;
  std::string whole;
  for (int i = 0; i < kPieces; ++i)
    whole += std::string(static_cast<std::size_t>(i * 7 % 3000), static_cast<char>('a' + i % 26));
  Published published = publish("page");
  std::atomic<int> right{0};
  std::latch half_read(20);
  std::thread filling([&, filler = std::move(published.filler)]() mutable {
    for (int i = 0; i < kPieces; ++i) {
      filler.append(
          std::string(static_cast<std::size_t>(i * 7 % 3000), static_cast<char>('a' + i % 26)));
      if (i == kPieces / 2) half_read.wait();  // so that readers meet its end
    }
    filler.finish();
  });
  run_many(20, [&](TaskGroup& group, int) -> Task<> {
    Found found = look("page");
    EXPECT_EQ(found.answer, Answer::fresh);
    auto first = [&half_read] { half_read.count_down(); };
    auto all = co_await read_all(group, std::move(found.object), first);
    if (all && *all == whole) ++right;
  });
  filling.join();
  EXPECT_EQ(right, 20);
}

TEST_F(CacheTest, AFailedFillIsHeardByReadersAndLeavesTheIndex) {
  Published published = publish("page");
  std::latch half_read(1);
  std::thread failing([&half_read, filler = std::move(published.filler)]() mutable {
    filler.append("half");
    half_read.wait();
    filler.fail("upstream closed");
  });
  run([&](TaskGroup& group) -> Task<> {
    auto first = [&half_read] { half_read.count_down(); };
    auto all = co_await read_all(group, std::move(published.object), first);
    EXPECT_EQ(all.error().code, Errc::unavailable);
  });
  failing.join();
  EXPECT_EQ(look("page").answer, Answer::fill) << "and it recovers";
}

TEST_F(CacheTest, ABodyThatGetsTooLargeHoldsItsFillerBackAndIsReadToTheEnd) {
  constexpr std::size_t kSize = 8U << 20U;
  Published published = publish("large");
  std::atomic<std::uint64_t> most{0};
  run_many(2, [&](TaskGroup& group, int i) -> Task<> {
    if (i == 0) {
      Filler filler = std::move(published.filler);
      for (std::size_t sent = 0; sent < kSize; sent += 16384) {
        filler.append(std::string(16384, 'x'));
        EXPECT_TRUE(co_await filler.room(group, Clock::now() + 5s));
        most = std::max(most.load(), cache.stats().bytes);
      }
      EXPECT_FALSE(filler.indexed());
      filler.finish();
    } else {
      Reader reader(group, std::move(published.object));
      std::size_t read = 0;
      while (true) {
        auto more = co_await reader.wait(Clock::now() + 5s);
        EXPECT_TRUE(more);
        if (!more || !*more) break;
        const std::size_t size = reader.available().size();
        read += size;
        reader.consume(size);
        if (read / (1U << 20U) != (read - size) / (1U << 20U))
          static_cast<void>(co_await net::sleep(group, 20ms));
      }
      EXPECT_EQ(read, kSize);
    }
  });
  EXPECT_LT(most, 5U << 20U);
  EXPECT_EQ(look("large").answer, Answer::fill);
}

TEST_F(CacheTest, APurgedFillIsNotFoundAnyMoreButReadToItsEnd) {
  Published published = publish("page");
  published.filler.append("one ");
  cache.invalidate_prefix(Space::http, "pa");
  EXPECT_EQ(look("page").answer, Answer::fill);
  published.filler.append("two");
  published.filler.finish();
  run([&](TaskGroup& group) -> Task<> {
    auto all = co_await read_all(group, std::move(published.object));
    EXPECT_EQ(*all, "one two");
  });
}

TEST_F(CacheTest, AFillerHearsThatNobodyWantsItsBody) {
  Published published = publish("page");
  published.object = {};
  EXPECT_TRUE(published.filler.wanted()) << "it can be found";
  EXPECT_TRUE(cache.invalidate_key(Space::http, "page"));
  EXPECT_FALSE(published.filler.wanted());
}

TEST_F(CacheTest, AWaiterWhoCameAfterAnInvalidationDoesNotGetTheOlderLoad) {
  const std::vector<std::string> tags{"t"};
  Found filling = look("page");
  Found before = look("page");
  cache.invalidate_tag("t");
  Found after = look("page");
  ASSERT_EQ(after.answer, Answer::join);
  ASSERT_TRUE(filling.lease.store({.lifetimes = {.ttl = 60s}, .tags = tags}, "old", now()));
  run([&](TaskGroup& group) -> Task<> {
    auto early = co_await before.ticket.wait(group, Clock::now() + 1s);
    EXPECT_EQ(early->answer, Answer::fresh);
    auto late = co_await after.ticket.wait(group, Clock::now() + 1s);
    EXPECT_EQ(late->answer, Answer::again);
  });
}

TEST_F(CacheTest, ALeaseGivenUpPassesToOneWhoWaits) {
  Found filling = look("page");
  Found waiting = look("page");
  Found gone = look("page");
  filling.lease = {};
  run([&](TaskGroup& group) -> Task<> {
    auto heir = co_await waiting.ticket.wait(group, Clock::now() + 1s);
    EXPECT_EQ(heir->answer, Answer::fill);
    EXPECT_TRUE(heir->lease);
    heir->lease.uncacheable(10s, now());
    auto other = co_await gone.ticket.wait(group, Clock::now() + 1s);
    EXPECT_EQ(other->answer, Answer::bypass);
  });
}

TEST_F(CacheTest, AStopOfTheGroupEndsEveryWait) {
  Found filling = look("page");
  Found waiting = look("page");
  Published growing = publish("growing");
  run([&](TaskGroup& group) -> Task<> {
    TaskGroup inner(group.worker());
    std::atomic<int> ended{0};
    auto join = [&]() -> Task<> {
      auto found = co_await waiting.ticket.wait(inner, kNever);
      if (found.error().code == Errc::cancelled) ++ended;
    };
    auto read = [&]() -> Task<> {
      auto all = co_await read_all(inner, growing.object);
      if (all.error().code == Errc::cancelled) ++ended;
    };
    EXPECT_TRUE(inner.spawn(join));
    EXPECT_TRUE(inner.spawn(read));
    static_cast<void>(co_await net::sleep(group, 50ms));
    inner.stop();
    co_await inner.join();
    EXPECT_EQ(ended, 2);
  });
}

TEST_F(CacheTest, ClassesAreSettingsAndKeepTheirNumbers) {
  const ClassId before = cache.class_of("static");
  EXPECT_EQ(cache.ttl_of(before), 3600s);
  EXPECT_EQ(cache.ttl_of(cache.class_of("user_profile")), 3600s);
  CacheOptions changed = options();
  changed.classes = {{"aardvark", 7s}, {"static", 60s}};
  cache.configure(changed);
  EXPECT_EQ(cache.class_of("static"), before);
  EXPECT_EQ(cache.ttl_of(before), 60s);
  EXPECT_EQ(cache.ttl_of(cache.class_of("aardvark")), 7s);
}

TEST_F(CacheTest, StatsCountByClassAndTag) {
  run([&](TaskGroup& group) -> Task<> {
    Storing how{.cls = "static", .tags = {"users"}};
    EXPECT_TRUE(co_await cache.set(group, "a", "1", how));
    for (int i = 0; i < 500; ++i) static_cast<void>(co_await cache.get(group, "a"));
    static_cast<void>(co_await cache.get(group, "b"));
    const Stats stats = cache.stats();
    EXPECT_EQ(stats.hits, 500U);
    EXPECT_EQ(stats.misses, 1U);
    EXPECT_NEAR(stats.hit_ratio(), 0.998, 0.001);
    EXPECT_EQ(stats.tags.at(0).name, "users");
    EXPECT_GT(stats.tags.at(0).hits, 100U);
  });
  EXPECT_TRUE(cache.invalidate_key(Space::app, "a"));
  cache.upkeep();
  EXPECT_EQ(registry.counter(kRemovalsFamily, {"memory", "erased"}).total(), 1U);
}

TEST(Codec, APackedValueThatSaysItIsLargerThanItWasIsRefused) {
  Packer packer;
  const auto packed = packer.pack(std::string(10000, 'a'));
  ASSERT_TRUE(packed);
  EXPECT_TRUE(unpack(*packed, 10000));
  EXPECT_FALSE(unpack(*packed, 9999));
  EXPECT_FALSE(unpack("nonsense", 10000));
}

}  // namespace
}  // namespace headroom::cache
