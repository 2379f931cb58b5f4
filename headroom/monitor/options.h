// headroom/monitor/options.h - the settings of `[monitor]`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/config/section.h"

namespace headroom::monitor {

// [monitor.trends]
struct TrendOptions {
  bool enabled = true;
  Bytes disk_limit = Bytes::mib(256);
  std::uint64_t series_limit = 5000;
  std::vector<std::string> detail{};
};

struct MonitorOptions {
  bool enabled = true;
  TrendOptions trends;
};

[[nodiscard]] const config::Section<MonitorOptions>& monitor_section();

}  // namespace headroom::monitor
