// headroom/monitor/options.h - the settings of `[monitor]`.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/config/section.h"

namespace headroom::monitor {

// [monitor.trends]
struct TrendOptions {
  bool enabled = true;
  Bytes disk_limit = Bytes::mib(256);
  std::uint64_t series_limit = 5000;
  std::vector<std::string> detail{};
};

// What of a metric is watched over a window. share: 100 * metric / of; miss_free: 100 * of / (of + metric).
enum class Figure : std::uint8_t { rate, mean, max, p50, p95, p99, share, miss_free };
inline constexpr std::array<config::Choice<Figure>, 8> kFigures{{{"rate", Figure::rate},
                                                                 {"mean", Figure::mean},
                                                                 {"max", Figure::max},
                                                                 {"p50", Figure::p50},
                                                                 {"p95", Figure::p95},
                                                                 {"p99", Figure::p99},
                                                                 {"share", Figure::share},
                                                                 {"miss_free", Figure::miss_free}}};
constexpr const auto& setting_choices(Figure /*of*/) { return kFigures; }

enum class Side : std::uint8_t { above, below };
inline constexpr std::array<config::Choice<Side>, 2> kSides{
    {{"above", Side::above}, {"below", Side::below}}};
constexpr const auto& setting_choices(Side /*of*/) { return kSides; }

// What it means when there is no value: well, as before, or bad.
enum class NoData : std::uint8_t { ok, keep, fire };
inline constexpr std::array<config::Choice<NoData>, 3> kNoData{
    {{"ok", NoData::ok}, {"keep", NoData::keep}, {"fire", NoData::fire}}};
constexpr const auto& setting_choices(NoData /*of*/) { return kNoData; }

enum class Shape : std::uint8_t { alertmanager, slack };
inline constexpr std::array<config::Choice<Shape>, 2> kShapes{
    {{"alertmanager", Shape::alertmanager}, {"slack", Shape::slack}}};
constexpr const auto& setting_choices(Shape /*of*/) { return kShapes; }

enum class Severity : std::uint8_t { none, warning, critical };

// [[monitor.alerting.rules]]
struct AlertOptions {
  std::string name{};
  std::string summary{};
  std::string metric{};
  Figure figure = Figure::mean;
  std::string of{};
  std::vector<std::string> where{};  // "label:value"
  std::vector<Duration>
      windows{};  // the mildest of all counts: burn rates have a long and a short one
  Side side = Side::above;
  double warning = -1;
  double critical = -1;
  double clear = -1;
  double least = 0;  // events in the window, below which there is no value
  Duration hold{};
  Duration keep_firing{};
  NoData no_data = NoData::ok;
  std::vector<std::string> depends_on{};
  bool operator==(const AlertOptions&) const = default;
};
[[nodiscard]] const config::Section<AlertOptions>& alert_section();

// [monitor.alerting]
struct AlertingOptions {
  bool enabled = true;
  bool standard = true;
  std::vector<std::string> off{};
  Duration interval{};
  std::string webhook{};
  Shape shape = Shape::alertmanager;
  std::vector<AlertOptions> rules{};
  bool operator==(const AlertingOptions&) const = default;
};

// [[monitor.objectives]]
struct ObjectiveOptions {
  std::string name{};
  std::vector<std::string> routes{};
  std::string metric{};
  Figure figure = Figure::p95;
  Duration most{};  // 0: what the seeds' documents say of this name
  Duration window{};
  [[nodiscard]] Duration target() const;
};
// The seeds' targets of response times that are named for what a route does.
using SeedTarget = std::pair<std::string_view, Duration>;
[[nodiscard]] std::span<const SeedTarget> seed_targets();

// [monitor.prices]
struct PriceOptions {
  std::string currency{};
  double vcpu_hour = 0;
  double gib_hour = 0;
  double egress_gib = 0;
  double database_hour = 0;
  [[nodiscard]] bool known() const {
    return vcpu_hour > 0 || gib_hour > 0 || egress_gib > 0 || database_hour > 0;
  }
};

// [monitor.otlp]
struct OtlpOptions {
  std::string endpoint{};
  std::vector<std::string> headers{};  // "Name: value"
  std::string service{};
  bool traces = true;
  double sample = 0;
  bool metrics = true;
  Duration interval{};
  Duration timeout{};
  bool operator==(const OtlpOptions&) const = default;
};

struct MonitorOptions {
  bool enabled = true;
  OtlpOptions otlp;
  PriceOptions prices;
  TrendOptions trends;
  AlertingOptions alerting;
  std::vector<ObjectiveOptions> objectives{};
};

[[nodiscard]] const config::Section<MonitorOptions>& monitor_section();

}  // namespace headroom::monitor
