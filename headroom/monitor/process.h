// headroom/monitor/process.h - what this process uses of the machine, as the kernel tells it.
//
// Owns: nothing. Worker and threads: any thread but a worker: it reads /proc. Limits: none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/monitor/prometheus.h"

namespace headroom::monitor {

struct ProcessUse {
  double cpu_seconds = 0;  // user and system
  Bytes resident;
  std::uint64_t threads = 0;
  std::uint64_t open_descriptors = 0;
  std::uint64_t most_descriptors = 0;
  double started_at = 0;  // seconds since 1970
};

// Zero where /proc says nothing.
[[nodiscard]] ProcessUse read_process_use();

// Those open now, or at most a thousand times as long ago as it takes to count them; none: /proc says nothing.
[[nodiscard]] std::optional<std::uint64_t> open_descriptors(const std::filesystem::path& proc);

// The same as `headroom_monitor_process_*`.
[[nodiscard]] std::vector<SampleFamily> samples_of(const ProcessUse& use);

}  // namespace headroom::monitor
