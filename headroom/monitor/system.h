// headroom/monitor/system.h - how much of the machine is used and left: processors, memory, disk, network, descriptors, pressure.
//
// What a container may use counts, not what the machine has: the tightest limit of the control groups above this process (version 2, or
// version 1's cpu and memory) wins over the machine's figures.
// Owns: the last reading, for differences. Worker and threads: read() on one thread at a time, never a worker's: it reads /proc, some 100 us.
// Invariants: (1) what the kernel does not tell is left out, never 0; (2) a ratio is of the limit in force, 0 to 1, but for a clock's jitter.
// Limits: 16 network devices, the rest is not counted.
//
// Sources: proc(5), Documentation/admin-guide/cgroup-v2.rst, Documentation/accounting/psi.rst.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/monitor/prometheus.h"

namespace headroom::monitor {

// One reading. What grows counts since the machine or the control group began.
struct SystemUse {
  std::optional<double>
      cpu_seconds;  // used: by our control group where it has a quota, else by the machine
  std::optional<double> cpu_steal_seconds;
  std::optional<double> cpu_limit;  // processors: the quota, else the machine's
  std::optional<double> cpu_ratio;  // of the limit, since the reading before
  std::optional<double> throttled_seconds;
  std::optional<double> throttled_periods;
  std::optional<double> memory_used;  // bytes, without what the kernel can drop
  std::optional<double> memory_limit;
  std::optional<double> disk_size;  // of the file system of the state directory
  std::optional<double> disk_free;
  std::optional<double> descriptors_open;  // of this process
  std::optional<double> descriptors_most;
  std::optional<double> load;  // one minute's
  struct Device {
    std::string name;
    double received = 0;  // bytes
    double sent = 0;
  };
  std::vector<Device> devices;             // loopback too
  std::optional<double> retransmits;       // TCP segments
  std::optional<double> listen_overflows;  // connections that a full accept queue lost
  // Share of time in which some, or all, waited for the resource, over 10 s.
  struct Pressure {
    std::string_view resource;
    std::optional<double> some;
    std::optional<double> full;
  };
  std::array<Pressure, 3> pressure{{{"cpu", {}, {}}, {"memory", {}, {}}, {"io", {}, {}}}};
};

class System {
 public:
  struct Places {
    std::filesystem::path proc = "/proc";
    std::filesystem::path cgroup = "/sys/fs/cgroup";
    std::filesystem::path disk = "/";
  };
  explicit System(Places places) : places_(std::move(places)) {}

  const SystemUse& read(TimePoint now);
  [[nodiscard]] const SystemUse& last() const { return use_; }

 private:
  void read_machine(SystemUse& use) const;
  void read_groups(SystemUse& use) const;
  void read_disk(SystemUse& use) const;
  void read_descriptors(SystemUse& use) const;
  void read_network(SystemUse& use) const;
  void read_pressure(SystemUse& use) const;

  const Places places_;
  SystemUse use_;
  TimePoint at_{};
};

// The same as `headroom_monitor_system_*`.
[[nodiscard]] std::vector<SampleFamily> samples_of(const SystemUse& use);

}  // namespace headroom::monitor
