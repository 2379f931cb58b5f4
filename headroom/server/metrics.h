// headroom/server/metrics.h - the table of the server's own metrics: those of the admin API.
#pragma once

#include <array>
#include <span>

#include "headroom/base/metrics.h"

namespace headroom::server {

inline constexpr metrics::Family kRequests{"headroom_server_requests_total",
                                           metrics::Kind::counter,
                                           "Admin requests answered, by the class of their status.",
                                           {"status"}};
inline constexpr metrics::Family kRefused{"headroom_server_refused_total",
                                          metrics::Kind::counter,
                                          "Admin requests refused, by reason.",
                                          {"reason"}};

inline constexpr metrics::Family kAuditLost{
    "headroom_server_audit_lost_total",
    metrics::Kind::counter,
    "Entries of the audit log that were lost, as too many waited for the disk.",
    {}};

inline constexpr std::array<const metrics::Family*, 3> kFamilies{&kRequests, &kRefused,
                                                                 &kAuditLost};
[[nodiscard]] constexpr std::span<const metrics::Family* const> all_families() { return kFamilies; }

}  // namespace headroom::server
