#include "headroom/monitor/otlp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "headroom/json/json.h"

namespace headroom::monitor {
namespace {

using metrics::Family;
using metrics::Kind;

constexpr Family kRequests{
    "headroom_x_requests_total", Kind::counter, "Requests.", {"route", "class"}};
constexpr Family kTimes{"headroom_x_wait_seconds", Kind::histogram, "Waits."};
constexpr Family kOpen{"headroom_x_open", Kind::gauge, "Open."};

const OtlpSender kSender{.service = "shop",
                         .version = "1",
                         .instance = "i",
                         .host = "h",
                         .started = 1'000,
                         .now = 2'000,
                         .steady_zero = 500};

// The text of what lies at a path such as "resourceSpans.0.resource"; "" where nothing does.
std::string at(const std::string& body, std::string_view path) {
  const auto document = json::parse(body, {.bytes = Bytes::mib(64), .depth = 32});
  if (!document) return document.error().message;
  std::optional<json::Value> here = document->root();
  while (here && !path.empty()) {
    const std::string_view step = path.substr(0, path.find('.'));
    path.remove_prefix(std::min(path.size(), step.size() + 1));
    const bool index = step[0] >= '0' && step[0] <= '9';
    const std::size_t i = index ? static_cast<std::size_t>(step[0] - '0') : 0;
    here = !index             ? here->find(step)
           : i < here->size() ? std::optional(here->item(i))
                              : std::nullopt;
  }
  return here ? here->text() : "";
}

TEST(Otlp, ASpanHasHexadecimalIdsAndTimesAsStrings) {
  link::Span span;
  span.trace = {0x0af7651916cd43ddULL, 0x8448eb211c80319cULL};
  span.id = 0xb7ad6b7169203331ULL;
  span.kind = link::Span::Kind::server;
  span.name = "GET shop";
  span.began = TimePoint(Duration(100));
  span.ended = TimePoint(Duration(250));
  span.failed = true;
  span.note("url.path", "/\xff\"x");
  span.note("http.response.status_code", 503);
  const std::string body = otlp_traces(std::span(&span, 1), kSender);
  const std::string path = "resourceSpans.0.scopeSpans.0.spans.0";
  EXPECT_EQ(at(body, path + ".traceId"), "\"0af7651916cd43dd8448eb211c80319c\"");
  EXPECT_EQ(at(body, path + ".spanId"), "\"b7ad6b7169203331\"");
  EXPECT_EQ(at(body, path + ".parentSpanId"), "");
  EXPECT_EQ(at(body, path + ".startTimeUnixNano"), "\"600\"");
  EXPECT_EQ(at(body, path + ".endTimeUnixNano"), "\"750\"");
  EXPECT_EQ(at(body, path + ".kind"), "2");
  EXPECT_EQ(at(body, path + ".status.code"), "2");
  EXPECT_EQ(at(body, path + ".attributes.0.value.stringValue"), "\"/\xef\xbf\xbd\\\"x\"");
  EXPECT_EQ(at(body, path + ".attributes.1.value.intValue"), "\"503\"");
  EXPECT_EQ(at(body, "resourceSpans.0.resource.attributes.0.value.stringValue"), "\"shop\"");
}

TEST(Otlp, MetricsAreCumulativeAndAHistogramsBucketsAddUpToItsCount) {
  metrics::Registry registry(1);
  registry.counter(kRequests, {"a\"b", "2xx"}).at(0).add(7);
  metrics::Histogram& times = registry.histogram(kTimes);
  for (const Duration time : {Duration(1ms), Duration(1ms), Duration(100s)})
    times.at(0).record(time);
  const std::vector<SampleFamily> own{{&kOpen, {{{}, 2.5}}}};
  const auto bodies = otlp_metrics(registry, own, kSender);
  ASSERT_EQ(bodies.size(), 1U);
  const std::string metrics = "resourceMetrics.0.scopeMetrics.0.metrics.";
  EXPECT_EQ(at(bodies[0], metrics + "0.name"), "\"headroom_x_requests_total\"");
  EXPECT_EQ(at(bodies[0], metrics + "0.sum.isMonotonic"), "true");
  EXPECT_EQ(at(bodies[0], metrics + "0.sum.aggregationTemporality"), "2");
  EXPECT_EQ(at(bodies[0], metrics + "0.sum.dataPoints.0.asInt"), "\"7\"");
  EXPECT_EQ(at(bodies[0], metrics + "0.sum.dataPoints.0.startTimeUnixNano"), "\"1000\"");
  EXPECT_EQ(at(bodies[0], metrics + "0.sum.dataPoints.0.attributes.0.value.stringValue"),
            R"("a\"b")");
  const std::string point = metrics + "1.histogram.dataPoints.0";
  EXPECT_EQ(at(bodies[0], metrics + "1.unit"), "\"s\"");
  EXPECT_EQ(at(bodies[0], point + ".count"), "\"3\"");
  std::uint64_t sum = 0;
  const auto document = json::parse(bodies[0]);
  const auto buckets = document->root()
                           .find("resourceMetrics")
                           ->item(0)
                           .find("scopeMetrics")
                           ->item(0)
                           .find("metrics")
                           ->item(1)
                           .find("histogram")
                           ->find("dataPoints")
                           ->item(0)
                           .find("bucketCounts");
  for (std::size_t i = 0; i < buckets->size(); ++i)
    sum += std::stoull(std::string(*buckets->item(i).string()));
  EXPECT_EQ(buckets->size(), kBorders + 1);
  EXPECT_EQ(sum, 3U);
  EXPECT_EQ(at(bodies[0], metrics + "2.gauge.dataPoints.0.asDouble"), "2.5E0");
}

TEST(Otlp, ManyPointsBecomeSeveralBodiesAndNoneIsLost) {
  metrics::Registry registry(1);
  for (int i = 0; i < 25; ++i) registry.counter(kRequests, {std::to_string(i), "2xx"}).at(0).add();
  const auto bodies = otlp_metrics(registry, {}, kSender, 10);
  ASSERT_EQ(bodies.size(), 3U);
  std::size_t points = 0;
  for (const std::string& body : bodies) {
    EXPECT_EQ(at(body, "resourceMetrics.0.scopeMetrics.0.metrics.0.unit"), "\"1\"");
    for (std::size_t from = 0; (from = body.find("asInt", from)) != std::string::npos; ++from)
      ++points;
  }
  EXPECT_EQ(points, 25U);
}

TEST(Otlp, WhatACollectorHasNotTakenIsReadWhateverItsShape) {
  EXPECT_EQ(otlp_rejected(R"({"partialSuccess":{"rejectedSpans":"5","errorMessage":"x"}})").count,
            5U);
  EXPECT_EQ(otlp_rejected(R"({"partialSuccess":{"rejectedDataPoints":7}})").count, 7U);
  for (const std::string_view body : {"", "{}", "[]", "{", R"({"partialSuccess":3})",
                                      R"({"partialSuccess":{"rejectedSpans":-1}})",
                                      R"({"partialSuccess":{"rejectedSpans":"many"}})"})
    EXPECT_EQ(otlp_rejected(body).count, 0U) << body;
}

}  // namespace
}  // namespace headroom::monitor
