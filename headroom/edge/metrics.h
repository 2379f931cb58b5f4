// headroom/edge/metrics.h - the table of the edge's metrics.
#pragma once

#include <array>
#include <span>

#include "headroom/base/metrics.h"

namespace headroom::edge {

using metrics::Family;
using metrics::Kind;

inline constexpr Family kAllBegun{"headroom_edge_all_requests_begun_total", Kind::counter,
                                  "Requests begun, routed or not."};
inline constexpr Family kAllEnded{"headroom_edge_all_requests_total", Kind::counter,
                                  "Requests ended, routed or not."};
inline constexpr Family kAllErrors{"headroom_edge_all_errors_total", Kind::counter,
                                   "Requests that ended with 5xx or without an answer."};
inline constexpr Family kConnections{"headroom_edge_connections_total", Kind::counter,
                                     "Connections accepted."};
inline constexpr Family kConnectionsRefused{
    "headroom_edge_connections_refused_total",
    Kind::counter,
    "Connections closed at once: over max_connections or the limit of an address.",
    {"reason"}};
inline constexpr Family kConnectionsOpen{"headroom_edge_connections_open", Kind::gauge,
                                         "Connections open now."};
inline constexpr Family kBadRequests{"headroom_edge_bad_requests_total",
                                     Kind::counter,
                                     "Requests refused before routing, by the status they got.",
                                     {"status"}};
inline constexpr Family kRequests{
    "headroom_edge_requests_total",
    Kind::counter,
    "Requests ended, by route and class of status (none: ended without an answer).",
    {"route", "class"}};
inline constexpr Family kRequestsBegun{
    "headroom_edge_requests_begun_total", Kind::counter, "Requests begun, by route.", {"route"}};
inline constexpr Family kBytesIn{
    "headroom_edge_request_body_bytes_total", Kind::counter, "Bytes of request bodies.", {"route"}};
inline constexpr Family kBytesOut{"headroom_edge_response_body_bytes_total",
                                  Kind::counter,
                                  "Bytes of response bodies.",
                                  {"route"}};
inline constexpr Family kQueueTime{
    "headroom_edge_queue_seconds", Kind::histogram, "Waiting for a free upstream.", {"route"}};
inline constexpr Family kConnectTime{"headroom_edge_connect_seconds",
                                     Kind::histogram,
                                     "Connecting to the upstream (0 when a connection was kept).",
                                     {"route"}};
inline constexpr Family kFirstByteTime{"headroom_edge_first_byte_seconds",
                                       Kind::histogram,
                                       "From the request sent to the first byte of the answer.",
                                       {"route"}};
inline constexpr Family kTotalTime{
    "headroom_edge_request_seconds",
    Kind::histogram,
    "From the whole request head to the last byte of the answer written.",
    {"route"}};
inline constexpr Family kShed{"headroom_edge_shed_total",
                              Kind::counter,
                              "Requests answered 503 by overload protection.",
                              {"route", "cause"}};
inline constexpr Family kRetries{"headroom_edge_retries_total",
                                 Kind::counter,
                                 "Requests sent again after a failed attempt.",
                                 {"route"}};
inline constexpr Family kUpgrades{"headroom_edge_upgrades_total",
                                  Kind::counter,
                                  "Connections changed to another protocol (WebSocket).",
                                  {"route"}};
inline constexpr Family kServerRequests{"headroom_edge_upstream_requests_total",
                                        Kind::counter,
                                        "Requests sent to a server.",
                                        {"upstream", "server"}};
inline constexpr Family kServerFailures{
    "headroom_edge_upstream_failures_total",
    Kind::counter,
    "Connections refused or broken, time-outs and malformed answers of a server.",
    {"upstream", "server"}};
inline constexpr Family kServerConnects{"headroom_edge_upstream_connects_total",
                                        Kind::counter,
                                        "Connections made to a server.",
                                        {"upstream", "server"}};
inline constexpr Family kServerFirstByte{"headroom_edge_upstream_first_byte_seconds",
                                         Kind::histogram,
                                         "First byte of a server's answers.",
                                         {"upstream", "server"}};
inline constexpr Family kServerConnect{"headroom_edge_upstream_connect_seconds",
                                       Kind::histogram,
                                       "Connecting to a server.",
                                       {"upstream", "server"}};
inline constexpr Family kServerInFlight{"headroom_edge_upstream_in_flight",
                                        Kind::gauge,
                                        "Requests a server is answering.",
                                        {"upstream", "server"}};
inline constexpr Family kServerUp{"headroom_edge_upstream_up",
                                  Kind::gauge,
                                  "1 when a server can be used.",
                                  {"upstream", "server"}};
inline constexpr Family kLogDropped{
    "headroom_edge_access_log_dropped_lines", Kind::gauge,
    "Lines of the access log that nobody read in time, since the start."};
inline constexpr Family kInFlightLimit{
    "headroom_edge_in_flight_limit", Kind::gauge, "The adaptive limit of a group.", {"upstream"}};
inline constexpr Family kBatches{"headroom_edge_batches_total",
                                 Kind::counter,
                                 "Batches, by what became of them (answered, refused, gone).",
                                 {"outcome"}};
inline constexpr Family kBatchParts{"headroom_edge_batch_parts_total",
                                    Kind::counter,
                                    "Parts of batches, by class of the status they got.",
                                    {"class"}};
inline constexpr Family kRefreshes{"headroom_edge_refreshes_total",
                                   Kind::counter,
                                   "Stored answers asked for in the background, by what became of "
                                   "it (renewed, not_stored, failed, refused: too many at once).",
                                   {"outcome"}};

inline constexpr Family kWarmRequests{
    "headroom_edge_warm_requests_total",
    Kind::counter,
    "Requests of [[edge.warm]], by what became of them (stored, fresh, not_stored, failed).",
    {"outcome"}};

inline constexpr Family kCdnCalls{"headroom_edge_cdn_calls_total",
                                  Kind::counter,
                                  "Calls of the CDN's API, by what came of them (done, later: to "
                                  "be sent again, refused: its names are sent one by one).",
                                  {"outcome"}};
inline constexpr Family kCdnPurges{
    "headroom_edge_cdn_purges_total",
    Kind::counter,
    "Invalidations that the CDN has taken, by kind (everything, tag, prefix, url).",
    {"kind"}};
inline constexpr Family kCdnOverflows{
    "headroom_edge_cdn_overflows_total", Kind::counter,
    "Times that more waited than the queue holds, and everything was purged instead."};
inline constexpr Family kCdnWaiting{"headroom_edge_cdn_waiting", Kind::gauge,
                                    "Invalidations that the CDN has not been told yet."};

inline constexpr Family kCodedAnswers{"headroom_edge_coded_answers_total",
                                      Kind::counter,
                                      "Answers encoded for clients, stored forms included.",
                                      {"coding"}};
inline constexpr Family kCodedBytesIn{"headroom_edge_coded_plain_bytes_total",
                                      Kind::counter,
                                      "Bytes of bodies before they were encoded.",
                                      {"coding"}};
inline constexpr Family kCodedBytesOut{"headroom_edge_coded_bytes_total",
                                       Kind::counter,
                                       "Bytes of bodies as they were sent, encoded.",
                                       {"coding"}};
inline constexpr Family kTagged{"headroom_edge_etags_made_total", Kind::counter,
                                "ETags made from the content of answers."};
inline constexpr Family kConfirmed{"headroom_edge_not_modified_total", Kind::counter,
                                   "Answers of servers that clients had already: 304 instead."};
inline constexpr Family kEncodings{
    "headroom_edge_encodings_total",
    Kind::counter,
    "Encodings of cached answers in the background (made, useless: not smaller, dropped: too much "
    "waited, or the answer has gone).",
    {"coding", "outcome"}};

inline constexpr std::array kFamilies{&kAllBegun,
                                      &kAllEnded,
                                      &kAllErrors,
                                      &kConnections,
                                      &kConnectionsRefused,
                                      &kConnectionsOpen,
                                      &kBadRequests,
                                      &kRequests,
                                      &kRequestsBegun,
                                      &kBytesIn,
                                      &kBytesOut,
                                      &kQueueTime,
                                      &kConnectTime,
                                      &kFirstByteTime,
                                      &kTotalTime,
                                      &kShed,
                                      &kRetries,
                                      &kUpgrades,
                                      &kServerRequests,
                                      &kServerFailures,
                                      &kServerConnects,
                                      &kServerFirstByte,
                                      &kServerConnect,
                                      &kServerInFlight,
                                      &kServerUp,
                                      &kLogDropped,
                                      &kInFlightLimit,
                                      &kBatches,
                                      &kBatchParts,
                                      &kRefreshes,
                                      &kWarmRequests,
                                      &kCdnCalls,
                                      &kCdnPurges,
                                      &kCdnOverflows,
                                      &kCdnWaiting,
                                      &kCodedAnswers,
                                      &kCodedBytesIn,
                                      &kCodedBytesOut,
                                      &kTagged,
                                      &kConfirmed,
                                      &kEncodings};
[[nodiscard]] constexpr std::span<const Family* const> all_families() { return kFamilies; }

}  // namespace headroom::edge
