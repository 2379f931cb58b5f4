// Each algorithm is held to its own promise against a brute-force model: every request that was allowed, and every window that begins or
// ends at one of them.
#include "headroom/limit/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "headroom/base/hash.h"

namespace headroom::limit {
namespace {

using config::Rate;

const TimePoint kStart{1000s};

struct Use {
  TimePoint at;
  std::uint64_t cost;
};

// One subject with its budget, and all that it was allowed.
class One {
 public:
  explicit One(Budget budget) : budget_(budget), words_((budget.state_bytes() + 7) / 8) {
    budget_.begin(state());
  }

  Standing ask(TimePoint now, std::uint64_t cost = 1) {
    const Standing standing = budget_.check(state(), now, cost);
    if (standing.allowed) {
      budget_.take(state(), now, cost);
      uses_.push_back({now, cost});
    }
    return standing;
  }
  int allowed_of(int requests, TimePoint now) {
    int allowed = 0;
    while (requests-- > 0) allowed += ask(now).allowed ? 1 : 0;
    return allowed;
  }

  // The most that was allowed in any half-open stretch of this length.
  [[nodiscard]] std::uint64_t most_in(Duration length) const {
    std::uint64_t most = 0;
    for (const Use& first : uses_) {
      std::uint64_t in = 0;
      for (const Use& use : uses_) {
        if (use.at >= first.at && use.at < first.at + length) in += use.cost;
      }
      most = std::max(most, in);
    }
    return most;
  }
  // What was allowed in (now - length, now].
  [[nodiscard]] std::uint64_t used_before(TimePoint now, Duration length) const {
    std::uint64_t used = 0;
    for (const Use& use : uses_) used += use.at > now - length && use.at <= now ? use.cost : 0;
    return used;
  }
  [[nodiscard]] const std::vector<Use>& uses() const { return uses_; }
  std::byte* state() { return reinterpret_cast<std::byte*>(words_.data()); }
  [[nodiscard]] bool idle(TimePoint now) { return budget_.idle(state(), now); }
  void give_back(std::uint64_t cost) { budget_.give_back(state(), cost); }

 private:
  Budget budget_;
  std::vector<std::uint64_t> words_;
  std::vector<Use> uses_;
};

// Bursts, pauses, steps just around the window, and clocks that come a little late.
class Times {
 public:
  Times(std::uint64_t seed, Duration window, Duration late)
      : random_(seed), window_(window), late_(late) {}
  TimePoint next() {
    switch (random_.below(12)) {
      case 0: now_ += window_ / 2; break;
      case 1: now_ += window_ - Duration(1); break;
      case 2: now_ += window_; break;
      case 3: now_ += window_ / 100; break;
      case 4:
        now_ += Duration(
            static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(window_.count()))));
        break;
      case 5:
      case 6: now_ += window_ / 1000; break;
      default: break;
    }
    const auto back = random_.below(static_cast<std::uint64_t>(late_.count()) + 1);
    return now_ - Duration(static_cast<std::int64_t>(back));
  }
  std::uint64_t cost(std::uint64_t most) {
    return random_.below(4) == 0 ? 1 + random_.below(most) : 1;
  }

 private:
  Random random_;
  Duration window_;
  Duration late_;
  TimePoint now_ = kStart;
};

constexpr Duration kWindow = 5s;

TEST(SlidingLog, NeverOverTheLimitInAnyWindowAndNeverRefusesWithoutNeed) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const std::uint64_t limit = 1 + seed;
    One one(Budget::sliding({limit, kWindow}));
    Times times(seed, kWindow, 0s);
    for (int i = 0; i < 600; ++i) {
      const TimePoint now = times.next();
      const std::uint64_t cost = times.cost(limit);
      const std::uint64_t used = one.used_before(now, kWindow);
      const Standing standing = one.ask(now, cost);
      ASSERT_EQ(standing.allowed, used + cost <= limit) << "seed " << seed;
      ASSERT_EQ(standing.remaining, limit - used - (standing.allowed ? cost : 0));
    }
    ASSERT_LE(one.most_in(kWindow), limit);
  }
}

TEST(SlidingLog, KeepsItsPromiseWhenClocksComeLate) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    One one(Budget::sliding({10, kWindow}));
    Times times(seed, kWindow, kWindow / 3);
    for (int i = 0; i < 600; ++i) static_cast<void>(one.ask(times.next()));
    ASSERT_LE(one.most_in(kWindow), 10U);
  }
}

TEST(SubWindows, NeverOverTheLimitInAnyWindow) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    One one(Budget::sliding({100, kWindow}));
    Times times(seed, kWindow, seed % 2 == 0 ? 0s : kWindow * kLate / kSubWindows);
    for (int i = 0; i < 2000; ++i) static_cast<void>(one.ask(times.next(), times.cost(30)));
    ASSERT_LE(one.most_in(kWindow), 100U) << "seed " << seed;
    ASSERT_GE(one.uses().size(), 200U);
  }
}

TEST(SubWindows, ALateRequestStillSeesWhatCountsForIt) {
  constexpr Duration kStep = kWindow / kSubWindows;
  One one(Budget::sliding({100, kWindow}));
  EXPECT_EQ(one.allowed_of(200, kStart + kStep / 2), 100);
  EXPECT_EQ(one.allowed_of(50, kStart + kWindow + kStep + kStep / 5), 50);
  EXPECT_EQ(one.allowed_of(50, kStart + kWindow + kStep / 5),
            0);  // the first hundred are less than a window before it
  EXPECT_LE(one.most_in(kWindow), 100U);
}

TEST(SubWindows, RefuseOnlyWhatAWindowLongerByOneHundredthForbids) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    One one(Budget::sliding({100, kWindow}));
    Times times(seed, kWindow, 0s);
    for (int i = 0; i < 1500; ++i) {
      const TimePoint now = times.next();
      const std::uint64_t used = one.used_before(now, kWindow + kWindow / kSubWindows);
      if (!one.ask(now).allowed) ASSERT_GE(used, 100U) << "seed " << seed;
    }
  }
}

TEST(SubWindows, AWindowThatNoHundredDividesHoldsToo) {
  for (const Duration window : {Duration(1'000'003), Duration(999), Duration(1'000'000'007)}) {
    One one(Budget::sliding({65, window}));
    Times times(7, window, 0s);
    for (int i = 0; i < 3000; ++i) static_cast<void>(one.ask(times.next()));
    EXPECT_LE(one.most_in(window), 65U);
  }
}

TEST(SubWindows, WorkFromTheFirstMomentOfTheClock) {
  One one(Budget::sliding({100, 86400s}));
  EXPECT_EQ(one.allowed_of(150, TimePoint{}), 100);
  EXPECT_EQ(one.allowed_of(150, TimePoint{} + 86400s - 1s), 0);
  EXPECT_EQ(one.allowed_of(150, TimePoint{} + 90000s), 100);
}

TEST(Gcra, NeverOverBurstAndRateInAnyStretch) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const std::uint64_t burst = 1 + seed;
    One one(Budget::gcra({20, kWindow}, burst));
    Times times(seed, kWindow, seed % 2 == 0 ? Duration(0) : kWindow / 10);
    for (int i = 0; i < 800; ++i) static_cast<void>(one.ask(times.next(), times.cost(burst)));
    for (const Duration stretch : {kWindow / 20, kWindow / 7, kWindow, 3 * kWindow}) {
      const auto earned =
          static_cast<std::uint64_t>(20 * stretch.count() / Duration(kWindow).count());
      ASSERT_LE(one.most_in(stretch), burst + earned) << "seed " << seed;
    }
  }
}

TEST(Gcra, RefusesOnlyWhatTheBucketHasNot) {
  One one(Budget::gcra({10, 10s}, 3));
  EXPECT_EQ(one.allowed_of(9, kStart), 3);
  EXPECT_EQ(one.allowed_of(9, kStart + 1s), 1);
  EXPECT_EQ(one.allowed_of(9, kStart + 3s), 2);
  EXPECT_EQ(one.allowed_of(9, kStart + 100s), 3);
}

TEST(Fixed, NeverOverTheLimitInItsWindowNorOverTwiceInAny) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    One one(Budget::fixed({20, kWindow}));
    Times times(seed, kWindow, 0s);
    std::deque<TimePoint> window;
    for (int i = 0; i < 800; ++i) {
      const TimePoint now = times.next();
      if (window.empty() || now >= window.front() + kWindow) window.clear();
      const bool allowed = one.ask(now).allowed;
      ASSERT_EQ(allowed, window.size() < 20);
      if (allowed) window.push_back(now);
    }
    ASSERT_LE(one.most_in(kWindow), 40U);
  }
}

TEST(Concurrency, IsWhatWasTakenAndNotGivenBack) {
  One one(Budget::concurrency(5));
  Random random(1);
  std::uint64_t in_flight = 0;
  for (int i = 0; i < 2000; ++i) {
    if (random.below(2) == 0 && in_flight > 0) {
      one.give_back(1);
      --in_flight;
    } else {
      const Standing standing = one.ask(kStart);
      ASSERT_EQ(standing.allowed, in_flight < 5);
      in_flight += standing.allowed ? 1 : 0;
      ASSERT_EQ(standing.remaining, 5 - in_flight);
    }
  }
  one.give_back(in_flight);
  EXPECT_TRUE(one.idle(kStart));
}

// After retry_after it is allowed; the last moment before, it is not.
void expect_retry_is_right(Budget budget, Duration window, Duration grain) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    One one(budget);
    Times times(seed, window, 0s);
    for (int i = 0; i < 400; ++i) {
      const TimePoint now = times.next();
      const std::uint64_t cost = times.cost(budget.most_at_once());
      const Standing refused = budget.check(one.state(), now, cost);
      if (!refused.allowed) {
        ASSERT_GT(refused.retry_after, Duration(0));
        ASSERT_FALSE(budget.check(one.state(), now + refused.retry_after - grain, cost).allowed)
            << "seed " << seed;
        ASSERT_TRUE(budget.check(one.state(), now + refused.retry_after, cost).allowed)
            << "seed " << seed;
        return;
      }
      static_cast<void>(one.ask(now, cost));
    }
  }
}

TEST(RetryAfter, IsTheFirstMomentAtWhichTheSameRequestIsAllowed) {
  expect_retry_is_right(Budget::sliding({10, kWindow}), kWindow, Duration(1));
  expect_retry_is_right(Budget::sliding({200, kWindow}), kWindow, Duration(1));
  expect_retry_is_right(Budget::gcra({10, kWindow}, 5), kWindow, Duration(1));
  expect_retry_is_right(Budget::fixed({10, kWindow}), kWindow, Duration(1));
}

TEST(Idle, MeansThatForgettingChangesNothing) {
  for (const Budget& budget : {Budget::sliding({10, kWindow}), Budget::sliding({100, kWindow}),
                               Budget::gcra({10, kWindow}, 10), Budget::fixed({10, kWindow})}) {
    One one(budget);
    EXPECT_TRUE(one.idle(kStart));
    static_cast<void>(one.ask(kStart));
    EXPECT_FALSE(one.idle(kStart));
    EXPECT_TRUE(one.idle(kStart + kWindow + kWindow / 16));
    const Standing known = budget.check(one.state(), kStart + kWindow + kWindow / 16, 1);
    EXPECT_EQ(known.remaining, budget.check(nullptr, kStart, 1).remaining);
  }
}

}  // namespace
}  // namespace headroom::limit
