// headroom/monitor/metrics.h - the table of monitor's own metrics.
#pragma once

#include <array>
#include <span>

#include "headroom/base/metrics.h"

namespace headroom::monitor {

using metrics::Family;
using metrics::Kind;

inline constexpr Family kHeartbeatAge{"headroom_monitor_worker_heartbeat_age_seconds",
                                      Kind::gauge,
                                      "Since the worker last went round.",
                                      {"worker"}};
inline constexpr Family kComponentState{"headroom_monitor_component_state",
                                        Kind::gauge,
                                        "0 = ok, 1 = degraded, 2 = failed.",
                                        {"component"}};
inline constexpr Family kReady{"headroom_monitor_ready", Kind::gauge, "Whether /readyz says yes."};
inline constexpr Family kLeftOut{"headroom_monitor_series_left_out", Kind::gauge,
                                 "Series that this answer had no room for."};
inline constexpr Family kCpu{"headroom_monitor_process_cpu_seconds_total", Kind::counter,
                             "Processor time used, user and system."};
inline constexpr Family kResident{"headroom_monitor_process_resident_bytes", Kind::gauge,
                                  "Memory resident."};
inline constexpr Family kThreads{"headroom_monitor_process_threads", Kind::gauge, "Threads."};
inline constexpr Family kOpenDescriptors{"headroom_monitor_process_open_descriptors", Kind::gauge,
                                         "File descriptors open."};
inline constexpr Family kMostDescriptors{"headroom_monitor_process_most_descriptors", Kind::gauge,
                                         "File descriptors allowed."};
inline constexpr Family kStartTime{"headroom_monitor_process_start_time_seconds", Kind::gauge,
                                   "When the process began, since 1970."};

inline constexpr std::array<const Family*, 10> kFamilies{
    &kHeartbeatAge, &kComponentState, &kReady,           &kLeftOut,         &kCpu,
    &kResident,     &kThreads,        &kOpenDescriptors, &kMostDescriptors, &kStartTime};
[[nodiscard]] constexpr std::span<const Family* const> all_families() { return kFamilies; }

}  // namespace headroom::monitor
