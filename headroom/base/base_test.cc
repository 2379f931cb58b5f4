#include <gtest/gtest.h>

#include <thread>

#include "headroom/base/assert.h"
#include "headroom/base/bytes.h"
#include "headroom/base/error.h"
#include "headroom/base/hash.h"
#include "headroom/base/log.h"
#include "headroom/base/metrics.h"
#include "headroom/base/text.h"

namespace headroom {
namespace {

TEST(Error, GainsContextOnTheWayUp) {
  const Error error = Error{Errc::timeout, "no answer"}.with("upstream a");
  EXPECT_EQ(error.message, "upstream a: no answer");
  EXPECT_EQ(error.code, Errc::timeout);
}

TEST(AssertDeathTest, PrintsItsOperands) {
  const int left = 3;
  EXPECT_DEATH(HR_ASSERT(left == 4), "left == 4 does not hold \\(3 == 4\\)");
}

TEST(Bytes, AreShownInTheLargestUnitThatDividesThem) {
  EXPECT_EQ(to_string(Bytes::mib(256)), "256MiB");
  EXPECT_EQ(to_string(Bytes{1025}), "1025B");
}

TEST(Text, NearestFindsTypingErrorsOnly) {
  const std::vector<std::string> names{"listen", "upstreams", "header_timeout"};
  EXPECT_EQ(text::nearest("lisen", names), "listen");
  EXPECT_EQ(text::nearest("header_time_out", names), "header_timeout");
  EXPECT_EQ(text::nearest("zebra", names), std::nullopt);
  const std::vector<std::string> sections{"sql", "edge"};
  EXPECT_EQ(text::nearest("egde", sections), "edge");
  EXPECT_EQ(text::nearest("slq", sections), "sql");
}

TEST(Text, SplitKeepsEmptyParts) {
  EXPECT_EQ(text::split("a, ,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_TRUE(text::split("", ',').empty());
}

TEST(Random, BelowStaysBelow) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) EXPECT_LT(random.below(7), 7U);
}

constexpr metrics::Family kCount{"t_total", metrics::Kind::counter, "help", {"a"}};
constexpr metrics::Family kTime{"t_seconds", metrics::Kind::histogram, "help"};

TEST(Metrics, ScaleBoundsContainTheirValues) {
  using metrics::Scale;
  Random random(7);
  for (int i = 0; i < 100000; ++i) {
    const auto value =
        Duration(static_cast<std::int64_t>(random.next() >> (22 + random.below(40))));
    const std::size_t bucket = Scale::index(value);
    ASSERT_LE(Scale::lower_bound(bucket), value);
    ASSERT_LT(value, Scale::lower_bound(bucket + 1)) << value.count();
  }
  EXPECT_EQ(Scale::index(Duration::max()), Scale::kBuckets - 1);
  EXPECT_EQ(Scale::index(Duration(-5)), 0U);
}

TEST(Metrics, CountersSumTheWorkersAndTheOthers) {
  metrics::Registry registry(2);
  auto& counter = registry.counter(kCount, {"x"});
  std::vector<std::jthread> threads;
  for (std::size_t w = 0; w < 2; ++w) {
    threads.emplace_back([&counter, w] {
      for (int i = 0; i < 10000; ++i) counter.at(w).add();
    });
    threads.emplace_back([&counter] {
      for (int i = 0; i < 10000; ++i) counter.add_shared();
    });
  }
  threads.clear();
  EXPECT_EQ(counter.total(), 40000U);
  EXPECT_EQ(&registry.counter(kCount, {"x"}), &counter);
}

TEST(Metrics, SeriesBeyondTheLimitShareOne) {
  metrics::Registry registry(1, 3);
  for (const char* label : {"a", "b", "c", "d", "e"})
    registry.counter(kCount, {label}).add_shared();
  EXPECT_EQ(registry.counter(kCount, {"f"}).total(), 2U);
  EXPECT_EQ(registry.counter(kCount, {"a"}).total(), 1U);
}

TEST(Metrics, QuantilesAreWithinABucket) {
  metrics::Registry registry(1);
  auto& histogram = registry.histogram(kTime);
  auto recorder = histogram.at(0);
  for (int i = 1; i <= 10000; ++i) recorder.record(std::chrono::microseconds(i * 10));
  const auto values = histogram.values();
  EXPECT_EQ(values.count(), 10000U);
  EXPECT_NEAR(milliseconds(values.quantile(0.5)), 50, 50 * 0.035);
  EXPECT_NEAR(milliseconds(values.quantile(0.99)), 99, 99 * 0.035);
  EXPECT_NEAR(milliseconds(values.mean()), 50, 0.1);
}

TEST(Metrics, AGaugeEndsWithItsHandle) {
  static constexpr metrics::Family kGauge{"g", metrics::Kind::gauge, "help"};
  struct Count : metrics::Registry::Visitor {
    int gauges = 0;
    void family(const metrics::Family&) override {}
    void counter(const metrics::Labels&, std::uint64_t) override {}
    void gauge(const metrics::Labels&, double value) override { gauges += static_cast<int>(value); }
    void histogram(const metrics::Labels&, const metrics::HistogramValues&) override {}
  };
  metrics::Registry registry(1);
  {
    const auto handle = registry.gauge(kGauge, {}, [] { return 7.0; });
    Count count;
    registry.visit(count);
    EXPECT_EQ(count.gauges, 7);
  }
  Count count;
  registry.visit(count);
  EXPECT_EQ(count.gauges, 0);
}

TEST(Metrics, OnlyTheNewestOfEqualGaugesIsShown) {
  static constexpr metrics::Family kTwice{"twice", metrics::Kind::gauge, "help", {"server"}};
  struct Values : metrics::Registry::Visitor {
    std::vector<double> seen;
    void family(const metrics::Family&) override {}
    void counter(const metrics::Labels&, std::uint64_t) override {}
    void gauge(const metrics::Labels&, double value) override { seen.push_back(value); }
    void histogram(const metrics::Labels&, const metrics::HistogramValues&) override {}
  };
  metrics::Registry registry(1);
  const auto before = registry.gauge(kTwice, {"a"}, [] { return 1.0; });
  const auto after = registry.gauge(kTwice, {"a"}, [] { return 2.0; });
  const auto other = registry.gauge(kTwice, {"b"}, [] { return 3.0; });
  Values values;
  registry.visit(values);
  EXPECT_EQ(values.seen, (std::vector<double>{2.0, 3.0}));
}

TEST(Metrics, AGaugeMayHoldWhatEndsAnotherGauge) {
  static constexpr metrics::Family kOuter{"outer", metrics::Kind::gauge, "help"};
  static constexpr metrics::Family kInner{"inner", metrics::Kind::gauge, "help"};
  metrics::Registry registry(1);
  auto inner =
      std::make_shared<metrics::GaugeHandle>(registry.gauge(kInner, {}, [] { return 1.0; }));
  auto outer = registry.gauge(kOuter, {}, [held = std::move(inner)] { return 2.0; });
  outer = {};  // a deadlock once
}

TEST(Log, TheNewestChangesAreKeptWhateverElseIsLoggedAndNoMore) {
  for (std::size_t i = 0; i < log::kChanges + 3; ++i) {
    log::change(log::Level::debug, "test", "settings", fmt::format("change {}", i));
    log::debug("test", "a line");
  }
  const auto kept = log::changes();
  ASSERT_EQ(kept.size(), log::kChanges);
  EXPECT_EQ(kept.front().text, fmt::format("change {}", log::kChanges + 2));
  EXPECT_EQ(kept.back().text, "change 3");
  EXPECT_EQ(kept.front().kind, "settings");
  EXPECT_GE(kept.front().at, kept.back().at);
}

}  // namespace
}  // namespace headroom
