#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "headroom/load/load.h"

namespace headroom::load {

namespace {

// A generator this late, at the 99th of 100 sendings, has not made the load it was asked for.
constexpr Duration kLatenessLimit = 20ms;

double quantile_ms(const metrics::HistogramValues& values, double q, Duration most) {
  return milliseconds(std::min(values.quantile(q), most));
}

double per_second(std::uint64_t count, Duration time) {
  return time > Duration::zero() ? static_cast<double>(count) / seconds(time) : 0;
}

// Names and values here need no escaping.
class Object {
 public:
  void add(std::string_view name, std::uint64_t value) { add_text(name, std::to_string(value)); }
  void add(std::string_view name, double value) { add_text(name, fmt::format("{:.6f}", value)); }
  void add_text(std::string_view name, std::string_view json) {
    text_ += fmt::format("{}\"{}\": {}", text_.empty() ? "{" : ", ", name, json);
  }
  [[nodiscard]] std::string text() && { return std::move(text_) + "}"; }

 private:
  std::string text_;
};

}  // namespace

std::string_view to_string(Failure failure) {
  switch (failure) {
    case Failure::connect: return "connect";
    case Failure::reset: return "reset";
    case Failure::timeout: return "timeout";
    case Failure::short_body: return "short_body";
    case Failure::malformed: return "malformed";
    case Failure::wrong_length: return "wrong_length";
    case Failure::status_3xx: return "status_3xx";
    case Failure::status_4xx: return "status_4xx";
    case Failure::status_5xx: return "status_5xx";
    case Failure::unsent: return "unsent";
  }
  return "unknown";
}

std::uint64_t Report::errors() const {
  return std::accumulate(failures.begin(), failures.end(), std::uint64_t{0});
}

double Report::rps() const { return per_second(requests - errors(), elapsed); }

bool Report::saturated() const { return lateness.quantile(0.99) > kLatenessLimit; }

std::string to_json(const Report& report) {
  Object failures;
  for (std::size_t i = 0; i < kFailures; ++i) {
    failures.add(to_string(static_cast<Failure>(i)), report.failures[i]);
  }
  Object all;
  all.add("requests", report.requests);
  all.add("errors", report.errors());
  all.add_text("errors_by_kind", std::move(failures).text());
  all.add("rps", report.rps());
  all.add("target_rate", report.target_rate);
  all.add("achieved_rate", per_second(report.requests, report.elapsed));
  all.add_text("saturated", report.saturated() ? "true" : "false");
  all.add("bytes", report.bytes_in);
  all.add("bytes_out", report.bytes_out);
  all.add("connects", report.connects);
  all.add("elapsed_s", seconds(report.elapsed));
  all.add("generator_cpu_s", seconds(report.generator_cpu));
  all.add("watched_cpu_s", seconds(report.watched_cpu));
  const Duration most = report.latency_max;
  all.add("p50_ms", quantile_ms(report.latency, 0.5, most));
  all.add("p90_ms", quantile_ms(report.latency, 0.9, most));
  all.add("p95_ms", quantile_ms(report.latency, 0.95, most));
  all.add("p99_ms", quantile_ms(report.latency, 0.99, most));
  all.add("p999_ms", quantile_ms(report.latency, 0.999, most));
  all.add("max_ms", milliseconds(most));
  all.add("mean_ms", milliseconds(report.latency.mean()));
  all.add("service_p50_ms", quantile_ms(report.service, 0.5, most));
  all.add("service_p99_ms", quantile_ms(report.service, 0.99, most));
  all.add("late_p99_ms", milliseconds(report.lateness.quantile(0.99)));
  return std::move(all).text();
}

}  // namespace headroom::load
