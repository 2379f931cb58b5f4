// headroom/monitor/options.h - the settings of `[monitor]`.
#pragma once

#include "headroom/config/section.h"

namespace headroom::monitor {

struct MonitorOptions {
  bool enabled = true;
};

[[nodiscard]] const config::Section<MonitorOptions>& monitor_section();

}  // namespace headroom::monitor
