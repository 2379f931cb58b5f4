#include "headroom/monitor/options.h"

namespace headroom::monitor {
namespace {

config::Section<TrendOptions> trends_section() {
  using config::Reload;
  config::Section<TrendOptions> s("trends", "Metrics over time: seconds for 10 minutes, 10 s for 6 hours, minutes for 2 days, hours for 400 days.");
  s.setting("enabled", &TrendOptions::enabled, "true", Reload::restart, "Off: none are kept.");
  s.setting("disk_limit", &TrendOptions::disk_limit, "256MiB", Reload::restart,
            "Size of the file, state_dir/trends.db; at the limit the oldest of the finest go first.", config::at_least(Bytes::mib(1)));
  s.setting("series_limit", &TrendOptions::series_limit, "5000", Reload::restart,
            "Series kept; further ones are left out and counted.", config::between(100, 100000));
  s.setting("detail", &TrendOptions::detail, "headroom_edge_request_seconds", Reload::restart,
            "Histograms kept for each label value; of others one is kept for all.");
  return s;
}

}  // namespace

const config::Section<MonitorOptions>& monitor_section() {
  static const auto section = [] {
    config::Section<MonitorOptions> s("monitor", "Health, metrics and their trends.");
    s.setting("enabled", &MonitorOptions::enabled, "true", config::Reload::live,
              "Off: `/metrics` answers 404; health answers all the same.");
    s.section("trends", &MonitorOptions::trends, trends_section());
    s.alias("ENABLE_MONITORING", "enabled");
    return s;
  }();
  return section;
}

}  // namespace headroom::monitor
