// headroom/cache/metrics.h - the table of the cache's metrics.
#pragma once

#include <array>
#include <span>

#include "headroom/base/metrics.h"

namespace headroom::cache {

using metrics::Family;

inline constexpr Family kHits{"headroom_cache_hits_total",
                              metrics::Kind::counter,
                              "Look-ups answered with a fresh value.",
                              {"tier", "space", "class"}};
inline constexpr Family kStaleHits{"headroom_cache_stale_hits_total",
                                   metrics::Kind::counter,
                                   "Look-ups answered with a stale value while it is refreshed.",
                                   {"tier", "space", "class"}};
inline constexpr Family kMisses{"headroom_cache_misses_total",
                                metrics::Kind::counter,
                                "Look-ups that found nothing and were told to fill.",
                                {"tier", "space", "class"}};
inline constexpr Family kCoalesced{"headroom_cache_coalesced_total",
                                   metrics::Kind::counter,
                                   "Look-ups that waited for another's fill.",
                                   {"tier", "space", "class"}};
inline constexpr Family kBypasses{"headroom_cache_bypasses_total",
                                  metrics::Kind::counter,
                                  "Look-ups of keys remembered as not cacheable.",
                                  {"tier", "space", "class"}};
inline constexpr Family kOverloads{"headroom_cache_overloads_total",
                                   metrics::Kind::counter,
                                   "Look-ups refused: too many waited for the key.",
                                   {"tier", "space", "class"}};
inline constexpr Family kFills{"headroom_cache_fills_total",
                               metrics::Kind::counter,
                               "Fills ended, by outcome: stored, uncacheable, failed.",
                               {"space", "class", "outcome"}};
inline constexpr Family kLoadTime{"headroom_cache_load_seconds",
                                  metrics::Kind::histogram,
                                  "From the miss to the value.",
                                  {"class"}};
inline constexpr Family kRemovalsFamily{"headroom_cache_removals_total",
                                        metrics::Kind::counter,
                                        "Entries that left, by cause.",
                                        {"tier", "cause"}};
inline constexpr Family kBytes{"headroom_cache_bytes",
                               metrics::Kind::gauge,
                               "Bytes in use, values being read or filled included.",
                               {"tier"}};
inline constexpr Family kBytesLimit{"headroom_cache_limit_bytes",
                                    metrics::Kind::gauge,
                                    "The bound of headroom_cache_bytes.",
                                    {"tier"}};
inline constexpr Family kEntries{
    "headroom_cache_entries", metrics::Kind::gauge, "Entries there now.", {"tier"}};

inline constexpr Family kDiskUp{
    "headroom_cache_disk_up",
    metrics::Kind::gauge,
    "Whether the disk can be used: 1, or 0 before it is read and after an error.",
    {}};
inline constexpr Family kDiskErrors{"headroom_cache_disk_errors_total",
                                    metrics::Kind::counter,
                                    "Copies on disk that could not be written or read.",
                                    {}};
inline constexpr Family kCopies{
    "headroom_cache_copies_total",
    metrics::Kind::counter,
    "Copies begun, by outcome: written, skipped (overtaken, no room, too many at once).",
    {"outcome"}};

inline constexpr std::array<const Family*, 15> kFamilies{
    &kHits,       &kStaleHits, &kMisses,   &kCoalesced,      &kBypasses,
    &kOverloads,  &kFills,     &kLoadTime, &kRemovalsFamily, &kBytes,
    &kBytesLimit, &kEntries,   &kDiskUp,   &kDiskErrors,     &kCopies};
[[nodiscard]] constexpr std::span<const Family* const> all_families() { return kFamilies; }

}  // namespace headroom::cache
