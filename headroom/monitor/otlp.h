// headroom/monitor/otlp.h - spans and metrics as OTLP/HTTP bodies in JSON, and what a collector answers.
//
// The format: opentelemetry.io/docs/specs/otlp (1.3): protobuf's JSON mapping in lowerCamelCase, but ids are hexadecimal; 64-bit integers are
// strings; enums are numbers. Counters are cumulative since the start of the process.
//
// Functions. Threads: any that may take milliseconds. Limits: kPointsInBody data points a body.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/link/spans.h"
#include "headroom/monitor/prometheus.h"

namespace headroom::monitor {

// Who sends, and when: nanoseconds since 1970.
struct OtlpSender {
  std::string service;
  std::string version;
  std::string instance;  // of the process: a restart is another one
  std::string host;
  std::int64_t started = 0;
  std::int64_t now = 0;
  std::int64_t steady_zero = 0;  // when Clock's zero was
};

// At most `most` points each.
inline constexpr std::size_t kPointsInBody = 2000;

[[nodiscard]] std::string otlp_traces(std::span<const link::Span> spans, const OtlpSender& sender);
[[nodiscard]] std::vector<std::string> otlp_metrics(const metrics::Registry& registry,
                                                    std::span<const SampleFamily> own,
                                                    const OtlpSender& sender,
                                                    std::size_t most = kPointsInBody);

// What a collector that took a call says it has not taken of it (partialSuccess).
struct OtlpRejected {
  std::uint64_t count = 0;
  std::string message;
};
[[nodiscard]] OtlpRejected otlp_rejected(std::string_view body);

}  // namespace headroom::monitor
