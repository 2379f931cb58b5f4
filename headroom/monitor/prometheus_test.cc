#include "headroom/monitor/prometheus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::monitor {
namespace {

using metrics::Family;
using metrics::Kind;
using testing::HasSubstr;
using testing::Not;

constexpr Family kHits{
    "headroom_test_hits_total", Kind::counter, "Hits \\ of\nall \"kinds\".", {"path", "kind"}};
constexpr Family kDepth{"headroom_test_depth", Kind::gauge, "Depth."};
constexpr Family kTime{"headroom_test_time_seconds", Kind::histogram, "Time.", {"route"}};
constexpr Family kOwn{"headroom_test_own_total", Kind::counter, "Own."};

struct Fixture : testing::Test {
  metrics::Registry registry{2};

  std::string text(TextFormat format = TextFormat::prometheus) const {
    return render(registry, {}, format);
  }
  static std::size_t count(const std::string& text, std::string_view part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
      ++found;
    return found;
  }
};
using PrometheusText = Fixture;

TEST_F(PrometheusText, IsExactlyThis) {
  registry.counter(kHits, {"/a", "get"}).at(0).add(3);
  registry.counter(kHits, {"/a", "get"}).at(1).add(4);
  registry.counter(kHits, {"x\"y\\z\n", "put"}).add_shared(1);
  const auto depth = registry.gauge(kDepth, {}, [] { return 2.5; });
  EXPECT_EQ(text(),
            "# HELP headroom_test_depth Depth.\n"
            "# TYPE headroom_test_depth gauge\n"
            "headroom_test_depth 2.5\n"
            "# HELP headroom_test_hits_total Hits \\\\ of\\nall \"kinds\".\n"
            "# TYPE headroom_test_hits_total counter\n"
            "headroom_test_hits_total{path=\"/a\",kind=\"get\"} 7\n"
            "headroom_test_hits_total{path=\"x\\\"y\\\\z\\n\",kind=\"put\"} 1\n");
}

TEST_F(PrometheusText, InOpenMetricsNamesCountersWithoutTotalInTheirHeadAndEnds) {
  registry.counter(kHits, {"/a", "get"}).at(0).add(3);
  EXPECT_EQ(text(TextFormat::open_metrics),
            "# HELP headroom_test_hits Hits \\\\ of\\nall \\\"kinds\\\".\n"
            "# TYPE headroom_test_hits counter\n"
            "headroom_test_hits_total{path=\"/a\",kind=\"get\"} 3\n"
            "# EOF\n");
}

TEST_F(PrometheusText, OfAHistogramHasExactBucketsAndACountThatIsTheLastOne) {
  auto recorder = registry.histogram(kTime, {"r"}).at(0);
  const Duration border = Duration(131072);  // the first: 2^17 ns
  recorder.record(border - Duration(1024));
  recorder.record(border);
  recorder.record(1s);
  recorder.record(std::chrono::hours(1));
  const std::string all = text();
  EXPECT_THAT(all,
              HasSubstr("headroom_test_time_seconds_bucket{route=\"r\",le=\"0.000131072\"} 1\n"));
  EXPECT_THAT(all,
              HasSubstr("headroom_test_time_seconds_bucket{route=\"r\",le=\"0.000262144\"} 2\n"));
  EXPECT_THAT(all,
              HasSubstr("headroom_test_time_seconds_bucket{route=\"r\",le=\"1.073741824\"} 3\n"));
  EXPECT_THAT(all,
              HasSubstr("headroom_test_time_seconds_bucket{route=\"r\",le=\"68.719476736\"} 3\n"));
  EXPECT_THAT(all, HasSubstr("headroom_test_time_seconds_bucket{route=\"r\",le=\"+Inf\"} 4\n"));
  EXPECT_THAT(all, HasSubstr("headroom_test_time_seconds_count{route=\"r\"} 4\n"));
  EXPECT_EQ(count(all, "_bucket{"), 21U);
}

TEST_F(PrometheusText, KeepsAFamilyInOneBlock) {
  registry.histogram(kTime, {"a"});
  registry.counter(kHits, {"/", "get"});
  registry.histogram(kTime, {"b"});
  const std::string all = text();
  EXPECT_EQ(count(all, "# TYPE headroom_test_time_seconds "), 1U);
  EXPECT_GT(all.find("route=\"b\""), all.find("route=\"a\""));
}

TEST_F(PrometheusText, HasValuesReadBesideTheRegistry) {
  const SampleFamily own{&kOwn, {{{}, 1e7}}};
  EXPECT_EQ(render(registry, std::span(&own, 1), TextFormat::prometheus),
            "# HELP headroom_test_own_total Own.\n# TYPE headroom_test_own_total "
            "counter\nheadroom_test_own_total 10000000\n");
}

TEST_F(PrometheusText, IsBoundedAndCountsWhatItLeavesOut) {
  for (int i = 0; i < 100; ++i) registry.counter(kHits, {std::to_string(i), "get"});
  registry.histogram(kTime, {"a"});
  const std::string all = render(registry, {}, TextFormat::prometheus, Bytes{1000});
  EXPECT_LT(all.size(), 2500U);
  const auto shown = count(all, "\nheadroom_test_hits_total{");
  EXPECT_THAT(all, HasSubstr("headroom_monitor_series_left_out " + std::to_string(101 - shown)));
}

TEST_F(PrometheusText, ShowsInfinitiesAndNoNumber) {
  const auto depth =
      registry.gauge(kDepth, {}, [] { return std::numeric_limits<double>::infinity(); });
  EXPECT_THAT(text(), HasSubstr("headroom_test_depth +Inf\n"));
}

TEST(PrometheusFormat, FollowsAccept) {
  const auto chosen = [](std::string_view accept) { return format_for(accept); };
  EXPECT_EQ(chosen(""), TextFormat::prometheus);
  EXPECT_EQ(chosen("*/*"), TextFormat::prometheus);
  EXPECT_EQ(chosen("text/html, text/plain"), TextFormat::prometheus);
  EXPECT_EQ(
      chosen("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
      TextFormat::open_metrics);
  EXPECT_EQ(chosen("application/openmetrics-text; q=0.2, text/plain; q=0.9"),
            TextFormat::prometheus);
  EXPECT_EQ(chosen("application/openmetrics-text;q=0"), TextFormat::prometheus);
  EXPECT_EQ(chosen("application/openmetrics-text;q=banana"), TextFormat::prometheus);
}

}  // namespace
}  // namespace headroom::monitor
