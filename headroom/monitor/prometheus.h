// headroom/monitor/prometheus.h - metrics as text: Prometheus 0.0.4 or OpenMetrics 1.0, from one reading of the cells.
//
// Owns: nothing. Borrows: the Registry, whose lock it holds while it reads.
// Worker and threads: any thread but a worker: a full registry takes tens of milliseconds (a histogram's 928 cells per worker).
// Invariants: (1) a family is one block, HELP and TYPE first; (2) a histogram's borders are borders of its cells (metrics::Scale), so that
//   every bucket is exact, and `_count` is the +Inf bucket; (3) label values and help are escaped, names are checked when a family is met.
// Limits: most_bytes of text, beyond which series are left out and counted in headroom_monitor_series_left_out.
//
// Formats: prometheus.io/docs/instrumenting/exposition_formats; github.com/prometheus/OpenMetrics, specification/OpenMetrics.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/metrics.h"

namespace headroom::monitor {

enum class TextFormat : std::uint8_t { prometheus, open_metrics };

// What an Accept header asks for: OpenMetrics where it is named with a quality above that of plain text, else Prometheus.
[[nodiscard]] TextFormat format_for(std::string_view accept);
[[nodiscard]] std::string_view content_type(TextFormat format);

// A value that is read when metrics are, beside those of the registry: of a counter or a gauge.
struct Sample {
  metrics::Labels labels;
  double value = 0;
};
struct SampleFamily {
  const metrics::Family* family = nullptr;
  std::vector<Sample> samples;
};

// A histogram as classic buckets: borders in seconds, powers of two of the scale's unit from 0.131 ms to 68.7 s; how many values lie below each,
// and behind these all of them.
inline constexpr std::size_t kBorders = 20;
using BucketCounts = std::array<std::uint64_t, kBorders + 1>;
[[nodiscard]] const std::array<double, kBorders>& bucket_borders();
[[nodiscard]] BucketCounts counts_below_borders(const metrics::HistogramValues& values);

// `own` must not name a family of the registry.
[[nodiscard]] std::string render(const metrics::Registry& registry,
                                 std::span<const SampleFamily> own, TextFormat format,
                                 Bytes most = Bytes::mib(32));

}  // namespace headroom::monitor
