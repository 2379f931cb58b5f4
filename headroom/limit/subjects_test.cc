#include "headroom/limit/subjects.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "headroom/base/hash.h"

namespace headroom::limit {
namespace {

constexpr Duration kWindow = 60s;

// What a rule does with the table for one request.
class Table {
 public:
  Table(Budget budget, std::size_t capacity) : subjects_({budget}, capacity), budget_(budget) {}

  bool ask(std::uint64_t key, TimePoint now) {
    Subjects::Shard& shard = subjects_.shard(key);
    const std::scoped_lock lock(shard.mutex);
    const Subjects::Subject subject{.key = key};
    Subjects::Slot* slot = shard.find(subject, now);
    if (!budget_.check(slot == nullptr ? nullptr : slot->state(), now, 1).allowed) return false;
    Subjects::Shard::Room room{};
    slot = &shard.settle(slot, subject, now, room);
    evicted_ += room == Subjects::Shard::Room::evicted ? 1 : 0;
    budget_.take(slot->state(), now, 1);
    shard.used(*slot);
    shared_ += slot->shared ? 1 : 0;
    return true;
  }
  Subjects& subjects() { return subjects_; }
  [[nodiscard]] int evicted() const { return evicted_; }
  [[nodiscard]] int shared() const { return shared_; }

 private:
  Subjects subjects_;
  Budget budget_;
  int evicted_ = 0;
  int shared_ = 0;
};

std::uint64_t key(std::uint64_t i) { return Random(i).next(); }

TEST(Subjects, KeepsEachApart) {
  Table table(Budget::sliding({2, kWindow}), 10000);
  const TimePoint now{1000s};
  for (std::uint64_t i = 0; i < 5000; ++i) EXPECT_TRUE(table.ask(key(i), now));
  for (std::uint64_t i = 0; i < 5000; ++i) EXPECT_TRUE(table.ask(key(i), now));
  for (std::uint64_t i = 0; i < 5000; ++i) EXPECT_FALSE(table.ask(key(i), now));
  EXPECT_EQ(table.subjects().size(), 5000U);
}

// The promise under attack: a flood of strangers makes nobody forgotten. A plain map says who was allowed what.
TEST(Subjects, AFullTableNeverAllowsASubjectMoreThanItsLimit) {
  for (const Budget& budget : {Budget::sliding({5, kWindow}), Budget::fixed({5, kWindow}),
                               Budget::sliding({70, kWindow})}) {
    Table table(budget, 100);
    Random random(3);
    TimePoint now{1000s};
    std::map<std::uint64_t, std::multiset<TimePoint>> model;
    for (int i = 0; i < 40000; ++i) {
      const std::uint64_t subject =
          random.below(3) == 0 ? key(random.below(10)) : key(random.below(2000));
      if (random.below(4) == 0) now += 50ms;
      if (!table.ask(subject, now)) continue;
      auto& uses = model[subject];
      uses.insert(now);
      const auto in_window = std::distance(uses.upper_bound(now - kWindow), uses.end());
      const auto most = static_cast<std::ptrdiff_t>(
          budget.kind() == Budget::Kind::fixed ? 2 * budget.limit() : budget.limit());
      ASSERT_LE(in_window, most);
    }
    EXPECT_LE(table.subjects().size(), 100U);
    EXPECT_GT(table.shared(), 0);
    EXPECT_GT(table.evicted(), 0);
  }
}

TEST(Subjects, WhoIsKnownIsNotTouchedByAFloodAndTheTableRecovers) {
  Table table(Budget::sliding({10, kWindow}), 64);
  TimePoint now{1000s};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(table.ask(key(1), now));
  for (std::uint64_t i = 0; i < 100'000; ++i) static_cast<void>(table.ask(key(100 + i), now));
  EXPECT_GT(table.shared(), 0);
  for (int i = 0; i < 7; ++i)
    EXPECT_TRUE(table.ask(key(1), now));  // all that was left of its budget
  EXPECT_FALSE(table.ask(key(1), now));
  EXPECT_FALSE(table.ask(key(777'777), now));  // a stranger shares a count that is used up

  now += kWindow + kWindow / 10;  // and it recovers
  const int shared = table.shared();
  for (std::uint64_t i = 0; i < 40; ++i) EXPECT_TRUE(table.ask(key(300'000 + i), now));
  EXPECT_EQ(table.shared(), shared);
}

TEST(Subjects, WhoLeavesASharedCountTakesItsHistoryAlong) {
  Table table(Budget::sliding({5, kWindow}), 64);
  const TimePoint start{1000s};
  for (std::uint64_t i = 0; i < 64; ++i) EXPECT_TRUE(table.ask(key(i), start));
  const std::uint64_t stranger = key(1000);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(table.ask(stranger, start + kWindow / 2));
  EXPECT_EQ(table.shared(), 3);
  const TimePoint room =
      start + kWindow + kWindow / 10;  // the 64 have expired, the stranger's three have not
  EXPECT_TRUE(table.ask(stranger, room));
  EXPECT_TRUE(table.ask(stranger, room));
  EXPECT_FALSE(table.ask(stranger, room));
  EXPECT_EQ(table.shared(), 3);
  EXPECT_TRUE(table.ask(stranger, start + 2 * kWindow));  // and it recovers
}

TEST(Subjects, MemoryStaysWithinItsBound) {
  Table table(Budget::sliding({64, kWindow}), 1000);
  EXPECT_LT(table.subjects().bytes_at_most(), 1000U * 800U);
}

// Removing from the middle of probe chains must lose nobody.
TEST(Subjects, EvictionKeepsTheIndexWhole) {
  Table table(Budget::sliding({1, kWindow}), 64);
  Random random(5);
  TimePoint now{1000s};
  std::map<std::uint64_t, TimePoint> model;
  for (int i = 0; i < 50000; ++i) {
    now += 2s;  // about 30 in a window: there is always room
    const std::uint64_t subject =
        random.below(60) << 32U | random.below(2);  // many like the same place
    const bool expected = !model.contains(subject) || now >= model[subject] + kWindow;
    ASSERT_EQ(table.ask(subject, now), expected);
    if (expected) model[subject] = now;
  }
  EXPECT_EQ(table.shared(), 0);
  EXPECT_GT(table.evicted(), 1000);
}

}  // namespace
}  // namespace headroom::limit
