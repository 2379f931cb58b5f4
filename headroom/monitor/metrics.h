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
inline constexpr Family kExceptions{"headroom_monitor_worker_exceptions_total",
                                    Kind::counter,
                                    "What a worker ran and what ended by an exception, which is "
                                    "for want of memory; the rest goes on.",
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

inline constexpr Family kSystemCpu{
    "headroom_monitor_system_cpu_seconds_total", Kind::counter,
    "Processor time used by the control group that has a quota, else by the machine."};
inline constexpr Family kSystemSteal{"headroom_monitor_system_steal_seconds_total", Kind::counter,
                                     "Processor time that the hypervisor gave to others."};
inline constexpr Family kSystemCpuLimit{"headroom_monitor_system_cpu_limit", Kind::gauge,
                                        "Processors: the quota in force, else the machine's."};
inline constexpr Family kSystemCpuRatio{
    "headroom_monitor_system_cpu_ratio", Kind::gauge,
    "Processor time used in the last second, as a share of the limit."};
inline constexpr Family kSystemThrottled{"headroom_monitor_system_throttled_seconds_total",
                                         Kind::counter,
                                         "Time for which the quota stopped the control group."};
inline constexpr Family kSystemThrottledPeriods{"headroom_monitor_system_throttled_periods_total",
                                                Kind::counter,
                                                "Periods in which the quota was used up."};
inline constexpr Family kSystemMemory{"headroom_monitor_system_memory_bytes", Kind::gauge,
                                      "Memory used, without what the kernel can drop."};
inline constexpr Family kSystemMemoryLimit{
    "headroom_monitor_system_memory_limit_bytes", Kind::gauge,
    "Memory: the control group's limit, else the machine's."};
inline constexpr Family kSystemMemoryRatio{"headroom_monitor_system_memory_ratio", Kind::gauge,
                                           "Memory used, as a share of the limit."};
inline constexpr Family kSystemDisk{"headroom_monitor_system_disk_bytes", Kind::gauge,
                                    "Size of the file system that holds state_dir."};
inline constexpr Family kSystemDiskFree{"headroom_monitor_system_disk_free_bytes", Kind::gauge,
                                        "What is free of it."};
inline constexpr Family kSystemDiskRatio{"headroom_monitor_system_disk_ratio", Kind::gauge,
                                         "What is used of it, as a share."};
inline constexpr Family kSystemDescriptorsRatio{
    "headroom_monitor_system_descriptors_ratio", Kind::gauge,
    "File descriptors open, as a share of those allowed."};
inline constexpr Family kSystemLoad{"headroom_monitor_system_load", Kind::gauge,
                                    "Load average of one minute."};
inline constexpr Family kSystemReceived{"headroom_monitor_system_received_bytes_total",
                                        Kind::counter,
                                        "Bytes received, by network device.",
                                        {"device"}};
inline constexpr Family kSystemSent{"headroom_monitor_system_sent_bytes_total",
                                    Kind::counter,
                                    "Bytes sent, by network device.",
                                    {"device"}};
inline constexpr Family kSystemRetransmits{"headroom_monitor_system_retransmits_total",
                                           Kind::counter, "TCP segments sent again."};
inline constexpr Family kSystemListenOverflows{
    "headroom_monitor_system_listen_overflows_total", Kind::counter,
    "Connections lost because an accept queue was full."};
inline constexpr Family kSystemPressure{
    "headroom_monitor_system_pressure_ratio",
    Kind::gauge,
    "Share of the last 10 s in which some, or all, tasks waited for the resource.",
    {"resource", "who"}};

inline constexpr Family kCeilingRatio{"headroom_monitor_ceiling_ratio",
                                      Kind::gauge,
                                      "Use of each limited resource, as a share of its limit.",
                                      {"kind", "resource"}};
inline constexpr Family kAlertState{"headroom_monitor_alert_firing",
                                    Kind::gauge,
                                    "Whether an alert fires: 0 no, 1 as a warning, 2 critically.",
                                    {"alert"}};

inline constexpr Family kTrendSeries{"headroom_monitor_trend_series", Kind::gauge,
                                     "Series whose trend is kept."};
inline constexpr Family kTrendLeftOut{"headroom_monitor_trend_series_left_out", Kind::gauge,
                                      "Series for which trends had no room at the last sample."};
inline constexpr Family kTrendBytes{"headroom_monitor_trend_bytes", Kind::gauge,
                                    "Size of the file of trends."};
inline constexpr Family kTrendFailures{"headroom_monitor_trend_failures_total", Kind::counter,
                                       "Times that trends could not be written."};
inline constexpr Family kTrendShortened{"headroom_monitor_trend_shortened_total", Kind::counter,
                                        "Times that old trends went early for want of disk."};

inline constexpr Family kOtlpSpans{
    "headroom_monitor_otlp_spans_total",
    Kind::counter,
    "Spans of sampled traces: sent, refused by the collector, lost for want of room or of a "
    "collector.",
    {"result"}};
inline constexpr Family kOtlpCalls{"headroom_monitor_otlp_calls_total",
                                   Kind::counter,
                                   "Calls to the collector, by what came of them.",
                                   {"signal", "result"}};

inline constexpr std::array kFamilies{&kHeartbeatAge,
                                      &kExceptions,
                                      &kComponentState,
                                      &kReady,
                                      &kLeftOut,
                                      &kCpu,
                                      &kResident,
                                      &kThreads,
                                      &kOpenDescriptors,
                                      &kMostDescriptors,
                                      &kStartTime,
                                      &kSystemCpu,
                                      &kSystemSteal,
                                      &kSystemCpuLimit,
                                      &kSystemCpuRatio,
                                      &kSystemThrottled,
                                      &kSystemThrottledPeriods,
                                      &kSystemMemory,
                                      &kSystemMemoryLimit,
                                      &kSystemMemoryRatio,
                                      &kSystemDisk,
                                      &kSystemDiskFree,
                                      &kSystemDiskRatio,
                                      &kSystemDescriptorsRatio,
                                      &kSystemLoad,
                                      &kSystemReceived,
                                      &kSystemSent,
                                      &kSystemRetransmits,
                                      &kSystemListenOverflows,
                                      &kSystemPressure,
                                      &kCeilingRatio,
                                      &kAlertState,
                                      &kTrendSeries,
                                      &kTrendLeftOut,
                                      &kTrendBytes,
                                      &kTrendFailures,
                                      &kTrendShortened,
                                      &kOtlpSpans,
                                      &kOtlpCalls};
[[nodiscard]] constexpr std::span<const Family* const> all_families() { return kFamilies; }

}  // namespace headroom::monitor
