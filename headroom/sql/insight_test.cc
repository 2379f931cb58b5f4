#include "headroom/sql/insight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;
using ::testing::Pair;

class Shapes : public ::testing::Test {
 protected:
  Insight::Use note(std::uint64_t fingerprint, std::string_view text = "SELECT 1") {
    return insight_.note(fingerprint, text, me_);
  }
  void run(std::uint64_t fingerprint, Observation seen) {
    seen.now = now_ += 1s;
    Insight::record(*note(fingerprint), seen);
  }
  std::unordered_map<std::uint64_t, ShapeReport> reports() {
    std::unordered_map<std::uint64_t, ShapeReport> all;
    insight_.snapshot(all);
    return all;
  }
  ShapeReport only() {
    auto all = reports();
    EXPECT_EQ(all.size(), 1U);
    return all.begin()->second;
  }

  const Insight::Asking me_{"db", "me"};
  Insight insight_;
  TimePoint now_ = Clock::now();
};

TEST(TimeScale, EachTimeLiesBelowTheEndOfItsBucketAndWithinAQuarterOfIt) {
  for (std::uint64_t us = 0; us < 300'000'000; us += 1 + us / 7) {
    const Duration time = std::chrono::microseconds(us);
    const std::size_t i = TimeScale::index(time);
    ASSERT_LT(i, TimeScale::kBuckets);
    EXPECT_GT(TimeScale::upper(i), time);
    if (us >= 4) {
      EXPECT_LE(TimeScale::upper(i), time + time / 4 + 1us) << us;
    }
    if (i > 0) {
      EXPECT_LE(TimeScale::upper(i - 1), time);
    }
  }
  EXPECT_EQ(TimeScale::index(std::chrono::hours(100)), TimeScale::kBuckets - 1);
  EXPECT_EQ(TimeScale::index(Duration(-1)), 0U);
}

TEST_F(Shapes, WhatIsCountedOfAStatementIsReported) {
  run(1, {.time = 10ms, .first_row = 4ms, .rows = 7, .bytes = 700});
  run(1,
      {.time = 30ms, .first_row = 5ms, .waited = 2ms, .rows = 1, .bytes = 100, .on_replica = true});
  run(1, {.time = 1ms, .sqlstate = "23505"});
  run(1, {.time = 1ms, .sqlstate = "23503"});
  run(1, {.time = 1ms, .sqlstate = "42P01"});
  Insight::record_hit(*note(1), now_, 100);
  const ShapeReport q = only();
  EXPECT_EQ(q.calls, 6U);
  EXPECT_EQ(q.errors, 3U);
  EXPECT_EQ(q.rows, 8U);
  EXPECT_EQ(q.bytes, 900U);
  EXPECT_EQ(q.waits, 1U);
  EXPECT_EQ(q.waited, 2ms);
  EXPECT_EQ(q.replica_reads, 1U);
  EXPECT_EQ(q.hits, 1U);
  EXPECT_EQ(q.total, 43ms);
  EXPECT_EQ(q.mean(), Duration(43ms) / 5);  // what the cache answered took no time of a server's
  EXPECT_EQ(q.slowest, 30ms);
  EXPECT_EQ(q.first_rows.count(), 2U);
  EXPECT_GE(q.quantile(0.99), 30ms);
  EXPECT_LE(q.quantile(0.5), 2ms);
  EXPECT_THAT(q.classes, ElementsAre(Pair("23", 2), Pair("42", 1)));
}

TEST_F(Shapes, OfManySqlstateClassesTheFurtherOnesCountAsErrors) {
  for (char c = 'A'; c < 'Z'; ++c) run(1, {.sqlstate = std::string(1, c) + "1000"});
  const ShapeReport q = only();
  EXPECT_EQ(q.errors, 25U);
  EXPECT_EQ(q.classes.size(), Insight::kMostClasses);
}

TEST_F(Shapes, UsersAndDatabasesAreApartAndWorkersAreMerged) {
  Insight other;
  for (Insight* each : {&insight_, &other}) {
    for (const std::string user : {"me", "you"})
      Insight::record(*each->note(1, "SELECT 1", {"db", user}), {.now = now_, .time = 1ms});
  }
  auto all = reports();
  other.snapshot(all);
  ASSERT_EQ(all.size(), 2U);
  for (const auto& [id, each] : all) {
    EXPECT_EQ(each.calls, 2U);
    EXPECT_EQ(each.id, id);
    EXPECT_EQ(each.query, "SELECT ?");
  }
}

TEST_F(Shapes, ThoseUsedLongestAgoAreForgottenButNotThoseInUse) {
  const Insight::Use held = note(1);
  note(2)->keep();
  for (std::uint64_t i = 0; i < Insight::kMostShapes + 500; ++i) run(10 + i, {});
  EXPECT_LE(reports().size(), Insight::kMostShapes);
  EXPECT_GE(insight_.forgotten(), 400U);
  Insight::record(*held, {.now = now_, .time = 1ms});
  Insight::record(*note(2), {.now = now_, .time = 1ms});
  const auto all = reports();
  EXPECT_TRUE(all.contains(held->id));
  EXPECT_TRUE(all.contains(note(2)->id));
  EXPECT_TRUE(all.contains(note(10 + Insight::kMostShapes + 499)->id));
  EXPECT_FALSE(all.contains(note(10)->id));  // made anew, and not called
}

TEST_F(Shapes, WhereAllAreInUseTheFurtherOnesCountTogether) {
  std::vector<Insight::Use> held;
  for (std::uint64_t i = 0; i < Insight::kMostShapes + 10; ++i) {
    held.push_back(note(1 + i));
    Insight::record(*held.back(), {.now = now_});
  }
  const auto all = reports();
  EXPECT_EQ(all.size(), Insight::kMostShapes + 1);
  EXPECT_EQ(all.at(0).calls, 10U);
  EXPECT_EQ(all.at(0).query, "(further queries)");
}

TEST_F(Shapes, LongTextsAreCut) {
  std::string text = "SELECT ";
  for (int i = 0; i < 2000; ++i) text += "column_" + std::to_string(i) + ", ";
  Insight::record(*note(1, text), {.now = now_});
  EXPECT_EQ(only().query.size(), Insight::kLongestText);
  EXPECT_TRUE(only().cut);
}

TEST_F(Shapes, TheSampleIsTheSlowestOfLate) {
  const Insight::Use shape = note(1);
  EXPECT_TRUE(Insight::wants_sample(*shape, 1ms, now_));
  insight_.keep_sample(*shape, {.query = "SELECT 'slow'", .time = 9ms, .at = now_});
  EXPECT_FALSE(Insight::wants_sample(*shape, 8ms, now_));
  EXPECT_TRUE(Insight::wants_sample(*shape, 10ms, now_));
  EXPECT_TRUE(Insight::wants_sample(*shape, 1ms, now_ + std::chrono::minutes(11)));
  EXPECT_EQ(insight_.sample(shape->id)->query, "SELECT 'slow'");
  EXPECT_FALSE(insight_.sample(shape->id + 1));
  insight_.keep_sample(*shape, {.query = std::string(Insight::kLongestSample + 1, 'x')});
  EXPECT_EQ(insight_.sample(shape->id)->query, "SELECT 'slow'");
}

TEST(Samples, ValuesAreTextOrHexadecimal) {
  Sample sample;
  EXPECT_THAT(parameters_of(sample), ElementsAre());
  sample.values = std::string("\0\2\0\0\0\1\0\3\0\0\0\2ab\0\0\0\2\1\xff\xff\xff\xff\xff", 25);
  EXPECT_THAT(parameters_of(sample), ElementsAre(Optional(std::string("ab")),
                                                 Optional(std::string("\\x01ff")), std::nullopt));
  sample.values = std::string("\0\1\0\1\0\1\0\0\0\1\x07", 11);  // one format for all
  EXPECT_THAT(parameters_of(sample), ElementsAre(Optional(std::string("\\x07"))));
  for (std::size_t i = 0; i < sample.values.size(); ++i)
    (void)parameters_of({.values = sample.values.substr(0, i)});
}

}  // namespace
}  // namespace headroom::sql
