// headroom/monitor/trends.h - every metric over time: sampled once a second, kept in tiers, asked by range.
//
// Owns: the store, the last reading of each series, the seconds not yet written (ten at most, longer while the disk refuses).
// Borrows: the registry, and a function for the values beside it.
// Worker and threads: sample(), query(), open() and close() on one thread, the server's trends thread, which may wait for the disk; health() from any.
// Invariants: (1) a second is in the file ten seconds later, so a crash costs ten at most; (2) what the store refuses is kept up to kKept seconds
//   and tried again; (3) a counter that goes backwards has begun anew; (4) nothing is removed for its age, nor added up into coarser tiers, by a
//   clock that has not gone evenly for kBelieved seconds: a wrong clock at the start, or one that jumps for a while, costs no history.
// Limits: the store's; histograms of families that are not in `detail` are kept as one for all label values; queries of kMostPoints points, and kMostValues in all their curves.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/monitor/options.h"
#include "headroom/monitor/prometheus.h"
#include "headroom/monitor/trend_store.h"
#include "headroom/net/interfaces.h"

namespace headroom::monitor {

struct TrendQuery {
  std::string metric;
  std::int64_t from = 0;  // seconds since 1970; from <= at < to
  std::int64_t to = 0;
  std::int64_t step = 0;  // 0: so that there are about 300 points
  std::vector<std::pair<std::string, std::string>> where{};  // label values asked for
  std::optional<std::vector<std::string>>
      by{};  // labels to tell apart, all others are added up; without: every series by itself
};

struct TrendCurve {
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::optional<Value>> points;  // one a step
};

struct TrendAnswer {
  std::string metric;
  metrics::Kind kind = metrics::Kind::counter;
  std::int64_t from = 0;  // of the first step
  std::int64_t step = 0;
  std::int64_t tier_step = 0;  // how fine what was read is
  std::size_t points = 0;
  std::int64_t known_to = 0;  // what is behind the last sample nobody knows yet
  std::vector<TrendCurve> curves;
};

class Trends final : public net::Health {
 public:
  static constexpr std::size_t kKept = 600;         // seconds kept while the store refuses
  static constexpr std::int64_t kBelieved = 600;    // seconds
  static constexpr std::int64_t kLongestTick = 60;  // between two samples; what is more is a jump
  static constexpr std::int64_t kMostPoints = 11000;
  static constexpr std::size_t kMostValues = 400'000;  // points of all curves

  using Own = std::function<std::vector<SampleFamily>()>;
  Trends(metrics::Registry& registry, Own own, const TrendOptions& options);

  // Errc::unavailable and others when the file cannot be used: sample() tries again.
  [[nodiscard]] Result<> open(const std::filesystem::path& path);
  // Writes what is pending.
  void close(std::int64_t now);

  void sample(std::int64_t now);

  // Errc::not_found: no such metric; invalid: a wrong range; unavailable: there is no store.
  [[nodiscard]] Result<TrendAnswer> query(const TrendQuery& query);
  [[nodiscard]] std::vector<std::string> metrics() const;

  [[nodiscard]] std::vector<net::HealthReport> health() const override;

 private:
  class Reader;
  struct Live {
    std::optional<SeriesId> id;
    std::int64_t asked = 0;  // the hour in which there was no room for it
    bool begun = false;
    double counted = 0;
    std::vector<std::uint64_t> buckets;
    std::uint64_t sum_ns = 0;
    std::int64_t seen = 0;
  };

  [[nodiscard]] Slot take_slot(std::int64_t now);
  Live* live(const metrics::Family& family, const metrics::Labels& labels, std::int64_t now);
  void write(std::int64_t now);
  void say(const Error& error);

  metrics::Registry& registry_;
  const Own own_;
  const TrendOptions options_;
  std::filesystem::path path_;
  std::unique_ptr<TrendStore> store_;
  std::unordered_map<std::string, Live> live_;
  std::map<std::int64_t, Slot> pending_;
  std::int64_t sampled_ = 0;
  std::int64_t even_since_ = 0;  // since when the wall clock has gone evenly
  std::int64_t written_ = 0;     // the period of ten seconds last written
  metrics::Counter& failures_;
  metrics::Counter& shortened_;
  std::uint64_t shortened_told_ = 0;
  std::atomic<std::uint64_t> series_{0}, left_out_{0}, bytes_{0};
  std::atomic<bool> failing_{false};
  std::vector<metrics::GaugeHandle> gauges_;
};

}  // namespace headroom::monitor
