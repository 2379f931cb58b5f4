#include "headroom/monitor/options.h"

namespace headroom::monitor {

const config::Section<MonitorOptions>& monitor_section() {
  static const auto section = [] {
    config::Section<MonitorOptions> s("monitor", "Health and metrics.");
    s.setting("enabled", &MonitorOptions::enabled, "true", config::Reload::live,
              "Off: `/metrics` answers 404; health answers all the same.");
    s.alias("ENABLE_MONITORING", "enabled");
    return s;
  }();
  return section;
}

}  // namespace headroom::monitor
