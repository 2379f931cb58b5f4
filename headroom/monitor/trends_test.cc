#include "headroom/monitor/trends.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <fstream>
#include <random>

namespace headroom::monitor {
namespace {

namespace fs = std::filesystem;
using testing::Contains;

constexpr metrics::Family kCount{
    "test_things_total", metrics::Kind::counter, "", {"route", "class"}};
constexpr metrics::Family kDepth{"test_depth", metrics::Kind::gauge, "", {"queue"}};
constexpr metrics::Family kTime{"test_seconds", metrics::Kind::histogram, "", {"route"}};
constexpr metrics::Family kPhase{"test_phase_seconds", metrics::Kind::histogram, "", {"route"}};
constexpr metrics::Family kMachine{"test_machine_total", metrics::Kind::counter, ""};

constexpr std::int64_t kBegin = 1'700'000'000 - (1'700'000'000 % 3600);

// A process whose seconds pass as fast as it can count.
struct TrendsTest : testing::Test {
  fs::path directory =
      fs::temp_directory_path() / ("headroom-trends-test-" + std::to_string(::getpid()));
  TrendOptions options{.detail = {"test_seconds"}};
  double machine = 5000;
  std::optional<metrics::Registry> registry;
  std::optional<Trends> trends;
  std::int64_t now = kBegin;

  TrendsTest() {
    fs::create_directories(directory);
    start();
  }
  ~TrendsTest() override {
    trends.reset();
    registry.reset();
    fs::remove_all(directory);
  }
  void start() {
    trends.reset();
    registry.emplace(1);
    trends.emplace(
        *registry, [this] { return std::vector<SampleFamily>{{&kMachine, {{{}, machine}}}}; },
        options);
    ASSERT_TRUE(trends->open(directory / "trends.db"));
  }
  void restart() {
    trends->close(now);
    start();
  }
  void count(std::uint64_t n, const std::string& route = "a", const std::string& cls = "2xx") {
    registry->counter(kCount, {route, cls}).at(0).add(n);
  }
  void record(Duration time, const std::string& route = "a") {
    registry->histogram(kTime, {route}).at(0).record(time);
  }
  template <class F>
  void pass_seconds(std::int64_t n, F each) {
    for (std::int64_t i = 0; i < n; ++i) {
      each();
      trends->sample(now++);
    }
  }
  TrendAnswer ask(TrendQuery query) {
    auto answer = trends->query(query);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? std::move(*answer) : TrendAnswer{};
  }
  static double sum_of(const TrendAnswer& answer, std::size_t curve = 0) {
    double all = 0;
    for (const auto& point : answer.curves.at(curve).points) all += point ? point->added : 0;
    return all;
  }
  [[nodiscard]] std::uint64_t disk() const {
    std::uint64_t all = 0;
    for (const auto& each : fs::directory_iterator(directory)) all += each.file_size();
    return all;
  }
};

TEST_F(TrendsTest, TheLastSecondsAreThereAtOnce) {
  pass_seconds(3, [&] { count(4); });
  const auto answer = ask({.metric = "test_things_total", .from = kBegin, .to = now});
  EXPECT_EQ(answer.step, 1);
  ASSERT_EQ(answer.curves.size(), 1U);
  ASSERT_EQ(answer.points, 3U);
  for (const auto& point : answer.curves[0].points) EXPECT_EQ(point->added, 4);
  EXPECT_THAT(answer.curves[0].labels, Contains(std::pair<std::string, std::string>("route", "a")));
}

TEST_F(TrendsTest, WhatIsBehindTheLastSampleIsNotYetKnown) {
  pass_seconds(4, [&] { count(4); });
  const auto answer =
      ask({.metric = "test_things_total", .from = kBegin, .to = now + 7, .step = 3});
  EXPECT_EQ(answer.known_to, now);  // a second of the second step: no rate is made of three
  EXPECT_EQ(answer.curves.at(0).points.at(1)->added, 4);
  EXPECT_EQ(ask({.metric = "test_things_total", .from = kBegin, .to = now - 2}).known_to, now - 2);
}

TEST_F(TrendsTest, NothingIsLostOrCountedTwiceByTiersAndRestarts) {
  double all = 0;
  for (int part = 0; part < 5; ++part) {
    pass_seconds(1499, [&] { count(2), all += 2; });
    --now;  // the next one begins in the second in which this one ends
    restart();
  }
  for (const std::int64_t step :
       {std::int64_t{0}, std::int64_t{10}, std::int64_t{60}, std::int64_t{3600}}) {
    EXPECT_EQ(
        sum_of(ask({.metric = "test_things_total", .from = kBegin, .to = now + 1, .step = step})),
        all)
        << step;
  }
  EXPECT_EQ(ask({.metric = "test_things_total", .from = kBegin, .to = now, .step = 3600}).tier_step,
            3600);
}

TEST_F(TrendsTest, AClockThatIsWrongForAWhileCostsNoHistory) {
  pass_seconds(4000, [&] { count(2); });
  const auto whole = [&](std::int64_t step) {
    return sum_of(ask({.metric = "test_things_total", .from = kBegin, .to = now, .step = step}));
  };
  const std::int64_t right = now;
  for (const std::int64_t wrong : {std::int64_t{3} * 3600, std::int64_t{3650} * 86400}) {
    now = right + wrong;
    pass_seconds(120, [&] { count(2); });
    now = right;
  }
  restart();
  now = right + (std::int64_t{3650} * 86400);  // also at a start
  pass_seconds(120, [&] { count(2); });
  now = right;
  EXPECT_EQ(whole(60), 8000);
  pass_seconds(4000, [&] { count(2); });
  EXPECT_EQ(whole(60), 16000);
  EXPECT_EQ(whole(3600), 16000);
}

TEST_F(TrendsTest, AClockThatWasAheadForLongStopsNothing) {
  pass_seconds(4000, [&] { count(2); });
  const std::int64_t right = now;
  now += 3 * 3600;
  pass_seconds(1300, [&] { count(2); });  // believed after ten minutes
  now = right;
  pass_seconds(4000, [&] { count(2); });
  const auto sum =
      sum_of(ask({.metric = "test_things_total", .from = right, .to = now, .step = 60}));
  EXPECT_GE(sum, 8000 - 120);  // but for a slot of a minute at either end
  EXPECT_LE(sum, 8000 + 120);
}

TEST_F(TrendsTest, SeriesAreToldApartByTheLabelsAskedFor) {
  pass_seconds(2, [&] { count(1, "a"), count(2, "b"), count(4, "b", "5xx"); });
  TrendQuery query{.metric = "test_things_total", .from = kBegin, .to = now};
  EXPECT_EQ(ask(query).curves.size(), 3U);
  query.by = {"route"};
  EXPECT_EQ(sum_of(ask(query), 1), 12);
  query.by = std::vector<std::string>{};
  EXPECT_EQ(sum_of(ask(query)), 14);
  query.where = {{"class", "5xx"}};
  EXPECT_EQ(sum_of(ask(query)), 8);
}

TEST_F(TrendsTest, AWeeksPercentileIsOneOfItsValues) {
  pass_seconds(7200, [&] {
    const bool slow = now < kBegin + 60;
    for (int i = 0; i < (slow ? 100 : 1); ++i) record(slow ? 900ms : 10ms);
  });
  TrendQuery query{.metric = "test_seconds", .from = kBegin, .to = now, .step = 7200};
  const auto answer = ask(query);
  EXPECT_EQ(answer.curves[0].points[0]->count(), 6000U + 7140U);
  EXPECT_NEAR(answer.curves[0].points[0]->quantile_seconds(0.6), 0.9,
              0.12);  // hours' medians would say 10 ms
  EXPECT_NEAR(answer.curves[0].points[0]->quantile_seconds(0.5), 0.01, 0.0015);
}

TEST_F(TrendsTest, OfOtherHistogramsOneIsKeptForAllLabels) {
  pass_seconds(1, [&] {
    registry->histogram(kPhase, {"a"}).at(0).record(5ms);
    registry->histogram(kPhase, {"b"}).at(0).record(5ms);
  });
  const auto answer = ask({.metric = "test_phase_seconds", .from = kBegin, .to = now});
  ASSERT_EQ(answer.curves.size(), 1U);
  EXPECT_EQ(answer.curves[0].points[0]->count(), 2U);
}

TEST_F(TrendsTest, GaugesKeepTheirRangeAndMean) {
  double depth = 0;
  const auto gauge = registry->gauge(kDepth, {"q"}, [&] { return depth; });
  pass_seconds(1200, [&] { depth = now % 60 == 0 ? 100 : 1; });
  const auto answer = ask({.metric = "test_depth", .from = kBegin, .to = now, .step = 60});
  const Value& minute = *answer.curves[0].points[3];
  EXPECT_EQ(minute.min, 1);
  EXPECT_EQ(minute.max, 100);
  EXPECT_NEAR(minute.mean(), 159.0 / 60, 0.01);
}

TEST_F(TrendsTest, WhatTheMachineCountedBeforeUsIsNotOurs) {
  pass_seconds(3, [&] { machine += 7; });
  EXPECT_EQ(sum_of(ask({.metric = "test_machine_total", .from = kBegin, .to = now})), 14);
}

TEST_F(TrendsTest, ADayOf100BusyRoutesStaysSmallOnDiskAndInMemory) {
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> milliseconds(3, 0.8);
  std::vector<Duration> times(1U << 14U);
  for (Duration& time : times)
    time = Duration(static_cast<std::int64_t>(milliseconds(random) * 1e6));
  std::vector<metrics::Histogram::Recorder> total;
  std::vector<metrics::Cell*> requests;
  std::vector<metrics::GaugeHandle> gauges;
  for (int route = 0; route < 100; ++route) {
    const std::string name = "route-" + std::to_string(route);
    total.push_back(registry->histogram(kTime, {name}).at(0));
    requests.push_back(&registry->counter(kCount, {name, "2xx"}).at(0));
    gauges.push_back(
        registry->gauge(kDepth, {name}, [&random] { return static_cast<double>(random() % 50); }));
  }
  // 500 requests a second. What a day leaves: its first hours in minutes, six hours by ten seconds, the last ten minutes by the second.
  const auto pass_time = [&](std::int64_t from, std::int64_t to, std::int64_t step) {
    for (now = kBegin + from; now < kBegin + to; now += step) {
      for (std::size_t route = 0; route < 100; ++route) {
        requests[route]->add(static_cast<std::uint64_t>(5 * step));
        for (std::int64_t i = 0; i < 5 * step; ++i)
          total[route].record(times[random() % times.size()]);
      }
      trends->sample(now);
    }
  };
  constexpr std::int64_t kDay = 86400;
  pass_time(0, kDay - 21600, 60);
  pass_time(kDay - 21600, kDay - 600, 10);
  pass_time(kDay - 600, kDay, 1);
  const auto with_trends = mallinfo2().uordblks;
  EXPECT_LT(disk(), 64U << 20U);
  RecordProperty("bytes_on_disk", std::to_string(disk()));
  trends->close(now);
  trends.reset();
  EXPECT_LT(with_trends - mallinfo2().uordblks, 16U << 20U);
  RecordProperty("bytes_of_memory", std::to_string(with_trends - mallinfo2().uordblks));
  start();
  EXPECT_EQ(ask({.metric = "test_seconds", .from = kBegin, .to = kBegin + kDay, .step = 3600})
                .curves.size(),
            100U);
}

TEST_F(TrendsTest, TheDiskLimitHoldsAndTheNewestStays) {
  options.disk_limit = Bytes::mib(1);
  restart();
  std::vector<metrics::GaugeHandle> gauges;
  for (int i = 0; i < 300; ++i)
    gauges.push_back(registry->gauge(kDepth, {std::to_string(i)}, [this, i] {
      return static_cast<double>((now * 7919 + i) % 1000) / 7;
    }));
  pass_seconds(2400, [&] { count(1); });
  EXPECT_LT(fs::file_size(directory / "trends.db"), (1U << 20U) + 1);
  EXPECT_EQ(sum_of(ask({.metric = "test_things_total", .from = now - 5, .to = now})), 5);
  EXPECT_EQ(trends->health()[0].state, net::HealthReport::State::ok);
}

TEST_F(TrendsTest, BeyondTheSeriesLimitOldNamesMakeRoom) {
  options.series_limit = 100;
  restart();
  pass_seconds(20, [&] {
    for (int i = 0; i < 150; ++i) count(1, "old-" + std::to_string(i));
  });
  restart();
  now += 3600;
  pass_seconds(20, [&] { count(1, "new"); });
  EXPECT_EQ(sum_of(ask({.metric = "test_things_total",
                        .from = now - 20,
                        .to = now,
                        .where = {{"route", "new"}}})),
            20);
}

TEST_F(TrendsTest, ADamagedFileIsPutAsideAndTrendsGoOn) {
  pass_seconds(20, [&] { count(1); });
  trends->close(now);
  std::ofstream(directory / "trends.db") << std::string(8192, 'x');
  start();
  pass_seconds(20, [&] { count(1); });
  EXPECT_EQ(sum_of(ask({.metric = "test_things_total", .from = now - 20, .to = now})), 20);
  EXPECT_TRUE(fs::exists(directory / "trends.db.damaged"));
}

TEST_F(TrendsTest, AQueryThatMakesNoSenseIsRefused) {
  pass_seconds(1, [&] { count(1); });
  EXPECT_EQ(trends->query({.metric = "nothing", .from = 1, .to = 2}).error().code, Errc::not_found);
  EXPECT_EQ(trends->query({.metric = "test_things_total", .from = 2, .to = 2}).error().code,
            Errc::invalid);
  EXPECT_EQ(trends->query({.metric = "test_things_total", .from = -5, .to = 2}).error().code,
            Errc::invalid);
  const TrendQuery absurd{
      .metric = "test_things_total", .from = now - 500, .to = INT64_MAX / 2, .step = 1};
  EXPECT_EQ(trends->query(absurd).error().code, Errc::invalid);
}

}  // namespace
}  // namespace headroom::monitor
