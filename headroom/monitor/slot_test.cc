#include "headroom/monitor/slot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace headroom::monitor {
namespace {

Value histogram(std::initializer_list<std::pair<std::uint32_t, std::uint64_t>> buckets,
                std::uint64_t sum_ns) {
  Value value;
  value.kind = metrics::Kind::histogram;
  value.buckets = buckets;
  value.sum_ns = sum_ns;
  return value;
}

Slot every_shape() {
  Value many = Value::seen(1.5);
  many.merge(Value::seen(-3));
  return {{1, Value::counted(7)},
          {2, Value::counted(0.25)},
          {9, Value::seen(0)},
          {10, Value::seen(1e300)},
          {300, many},
          {4000000000, histogram({{0, 1}, {5, 1000000}, {231, 3}}, 123456789)}};
}

TEST(SlotTest, WhatIsWrittenIsReadBack) {
  const Slot slot = every_shape();
  const auto back = decode(encode(slot));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, slot);
  EXPECT_TRUE(decode("")->empty());
}

TEST(SlotTest, CutAndForeignBytesAreRefusedOrRead) {
  const std::string bytes = encode(every_shape());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    (void)decode(bytes.substr(0, size));  // a prefix may be a smaller slot
  EXPECT_FALSE(decode(bytes.substr(0, bytes.size() - 1)));
  EXPECT_FALSE(decode("\x01\x07"));
  EXPECT_FALSE(decode(std::string("\x01\x05\x00\xff\xff\xff\x7f", 7)));
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string changed = bytes;
    changed[random() % changed.size()] = static_cast<char>(random());
    (void)decode(changed);
  }
}

TEST(SlotTest, ReadingMayPickSeries) {
  std::vector<SeriesId> seen;
  ASSERT_TRUE(decode(
      encode(every_shape()), [](SeriesId id) { return id == 9; },
      [&](SeriesId id, Value&&) { seen.push_back(id); }));
  EXPECT_EQ(seen, std::vector<SeriesId>{9});
}

TEST(SlotTest, SlotsMergeByTime) {
  Slot first{{1, Value::counted(2)}, {2, Value::seen(10)}};
  merge(first, {{2, Value::seen(20)}, {3, Value::counted(1)}});
  merge(first, {{1, Value::counted(5)}});
  ASSERT_EQ(first.size(), 3U);
  EXPECT_EQ(first[0].second.added, 7);
  EXPECT_EQ(first[1].second.mean(), 15);
  EXPECT_EQ(first[1].second.max, 20);
}

TEST(SlotTest, GaugesBesideEachOtherAddUp) {
  Value both = Value::seen(10);
  both.add(Value::seen(5));
  EXPECT_EQ(both.mean(), 15);
}

TEST(SlotTest, AQuantileOfMergedHistogramsIsThatOfAllValues) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> milliseconds(2, 1);
  Value all;
  all.kind = metrics::Kind::histogram;
  std::vector<double> values;
  for (int hour = 0; hour < 50; ++hour) {
    Value one = histogram({}, 0);
    std::map<std::uint32_t, std::uint64_t> buckets;
    const int busy = hour == 7 ? 20000 : 100;  // a mean of quantiles would be far off
    for (int i = 0; i < busy; ++i) {
      const double value = milliseconds(random) * (hour == 7 ? 10 : 1);
      values.push_back(value / 1000);
      ++buckets[static_cast<std::uint32_t>(
          metrics::Scale::index(Duration(static_cast<std::int64_t>(value * 1e6))) >>
          CoarseScale::kShift)];
    }
    one.buckets.assign(buckets.begin(), buckets.end());
    all.merge(one);
  }
  std::ranges::sort(values);
  for (const double q : {0.5, 0.9, 0.99}) {
    const double real = values[static_cast<std::size_t>(q * static_cast<double>(values.size()))];
    EXPECT_NEAR(all.quantile_seconds(q), real, real * 0.07) << q;
  }
}

}  // namespace
}  // namespace headroom::monitor
