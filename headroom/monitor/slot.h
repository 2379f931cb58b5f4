// headroom/monitor/slot.h - what every series did in one slot of time, and that as bytes.
//
// Values merge: ten slots of a second are one of ten, a histogram of a week is the sum of its hours' histograms; so a quantile over any time is
// one of real values, never a mean of quantiles. Histograms have 8 buckets an octave here (12.5 % wide), where live ones have 32.
// Owns: values. Worker and threads: any.
// Invariants: (1) decode(encode(slot)) == slot; (2) bytes that encode() did not write are refused, never trusted.
// Limits: ids of 32 bits.
//
//   slot   := value*                           ids rise
//   value  := id-gap tag payload               numbers are LEB128, f64 is little endian
//   tag 0  counter   number                    1  counter  f64
//   tag 2  gauge     number (seen once)        3  gauge    f64 (seen once)      4  gauge  times f64:min f64:max f64:sum
//   tag 5  histogram sum-ns buckets (index-gap count)*
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/base/metrics.h"

namespace headroom::monitor {

using SeriesId = std::uint32_t;

// The trends' own scale: each bucket is four of metrics::Scale.
struct CoarseScale {
  static constexpr unsigned kShift = 2;
  static constexpr std::size_t kBuckets = metrics::Scale::kBuckets >> kShift;
  static constexpr Duration lower_bound(std::size_t i) {
    return metrics::Scale::lower_bound(i << kShift);
  }
};

// What one series did.
struct Value {
  metrics::Kind kind = metrics::Kind::counter;
  double added = 0;         // a counter's growth
  std::uint64_t times = 0;  // a gauge: seen so often, between min and max
  double min = 0;
  double max = 0;
  double sum = 0;
  std::uint64_t sum_ns = 0;  // a histogram
  std::vector<std::pair<std::uint32_t, std::uint64_t>>
      buckets{};  // filled ones: index and count, by index

  [[nodiscard]] static Value counted(double added);
  [[nodiscard]] static Value seen(double now);
  // Over the same time: adds counters and histograms; of gauges the range and mean over all that was seen.
  void merge(const Value& later);
  // Side by side, of another series at the same time: gauges add up.
  void add(const Value& beside);

  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] double mean() const;  // of a gauge
  [[nodiscard]] double mean_seconds() const;
  [[nodiscard]] double quantile_seconds(double q) const;
  bool operator==(const Value&) const = default;
};

using Slot = std::vector<std::pair<SeriesId, Value>>;  // by id

void merge(Slot& into, const Slot& later);

[[nodiscard]] std::string encode(const Slot& slot);
// Calls `take` for each value of a series that is wanted. Errc::internal for bytes that are not a slot's.
[[nodiscard]] Result<> decode(std::string_view bytes, const std::function<bool(SeriesId)>& wanted,
                              const std::function<void(SeriesId, Value&&)>& take);
[[nodiscard]] Result<Slot> decode(std::string_view bytes);

}  // namespace headroom::monitor
