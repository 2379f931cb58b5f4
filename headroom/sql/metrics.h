// headroom/sql/metrics.h - the table of the SQL proxy's metrics.
#pragma once

#include <array>
#include <span>

#include "headroom/base/metrics.h"

namespace headroom::sql {

using metrics::Family;
using metrics::Kind;

inline constexpr Family kClients{"headroom_sql_clients_total", Kind::counter, "Clients accepted."};
inline constexpr Family kClientsOpen{"headroom_sql_clients_open", Kind::gauge,
                                     "Clients connected now."};
inline constexpr Family kRefused{
    "headroom_sql_clients_refused_total",
    Kind::counter,
    "Clients refused, by reason (limit, login, protocol, database, tls, address, cancel).",
    {"reason"}};
inline constexpr Family kCancels{"headroom_sql_cancels_total",
                                 Kind::counter,
                                 "Cancel requests, by outcome (forwarded, waiting, nothing).",
                                 {"outcome"}};
inline constexpr Family kQueries{"headroom_sql_queries_total",
                                 Kind::counter,
                                 "Queries and pipelines answered (each ReadyForQuery).",
                                 {"database", "user"}};
inline constexpr Family kTransactions{"headroom_sql_transactions_total",
                                      Kind::counter,
                                      "Transactions ended, single statements among them.",
                                      {"database", "user"}};
inline constexpr Family kErrors{"headroom_sql_errors_total",
                                Kind::counter,
                                "Errors that servers answered with.",
                                {"database", "user"}};
inline constexpr Family kLost{"headroom_sql_server_lost_total",
                              Kind::counter,
                              "Server connections that ended while a client used them.",
                              {"database", "user"}};
inline constexpr Family kFailed{
    "headroom_sql_unserved_total",
    Kind::counter,
    "Queries that got no server connection, by reason (timeout, unavailable, overloaded, refused).",
    {"reason"}};
inline constexpr Family kReplicaReads{"headroom_sql_replica_reads_total",
                                      Kind::counter,
                                      "Queries and pipelines that a replica answered.",
                                      {"database", "user"}};
inline constexpr Family kReadsMoved{
    "headroom_sql_replica_retries_total",
    Kind::counter,
    "Reads that a server failed, refused or was lost with and another one answered, unseen by the "
    "client.",
    {"database", "user"}};
inline constexpr Family kQueryTime{"headroom_sql_query_seconds",
                                   Kind::histogram,
                                   "From a query received to the end of its answer.",
                                   {"database", "user"}};
inline constexpr Family kWaitTime{
    "headroom_sql_pool_wait_seconds",
    Kind::histogram,
    "Waiting for a server connection, where one was not free at once.",
    {"database", "user"}};
inline constexpr Family kPoolOpen{"headroom_sql_pool_open",
                                  Kind::gauge,
                                  "Server connections open or being opened.",
                                  {"database", "user"}};
inline constexpr Family kPoolIdle{"headroom_sql_pool_idle",
                                  Kind::gauge,
                                  "Server connections that nobody uses.",
                                  {"database", "user"}};
inline constexpr Family kPoolWaiting{"headroom_sql_pool_waiting",
                                     Kind::gauge,
                                     "Clients that wait for a server connection.",
                                     {"database", "user"}};
inline constexpr Family kPoolLimit{
    "headroom_sql_pool_limit", Kind::gauge, "Server connections allowed.", {"database", "user"}};

inline constexpr Family kCacheLookups{
    "headroom_sql_cache_lookups_total",
    Kind::counter,
    "Requests that were looked up in the cache of results, by outcome (hit, miss, refused, "
    "passed_by).",
    {"database", "outcome"}};
inline constexpr Family kCacheRefused{
    "headroom_sql_cache_refused_total",
    Kind::counter,
    "Requests refused or passed by, by reason (statement, function, time, table, unknown, "
    "settings, rule, size, stream, too_often, busy).",
    {"database", "reason"}};
inline constexpr Family kCacheFills{"headroom_sql_cache_fills_total",
                                    Kind::counter,
                                    "Misses that the database answered, by outcome (stored, "
                                    "not_stored).",
                                    {"database", "outcome"}};
inline constexpr Family kCacheDrops{
    "headroom_sql_cache_drops_total",
    Kind::counter,
    "Drops of what was kept, by who told of the change (proxy, stream, flush).",
    {"database", "by"}};
inline constexpr Family kCacheCurrent{"headroom_sql_cache_current",
                                      Kind::gauge,
                                      "1 while the stream of changes is current.",
                                      {"database"}};
inline constexpr Family kCacheLag{"headroom_sql_cache_stream_lag_seconds",
                                  Kind::gauge,
                                  "How old the last sign of the stream of changes is; at rest it "
                                  "is looked for once a second.",
                                  {"database"}};
inline constexpr Family kCacheBypassed{"headroom_sql_cache_bypassed_seconds",
                                       Kind::gauge,
                                       "How long in all the cache was asked in vain because the "
                                       "stream was not current.",
                                       {"database"}};
inline constexpr Family kCacheWarm{"headroom_sql_warm_queries_total",
                                   Kind::counter,
                                   "Queries of [[sql.warm]] run, by outcome (stored, fresh, "
                                   "not_stored, failed).",
                                   {"outcome"}};

inline constexpr Family kPreparedBytes{"headroom_sql_prepared_bytes", Kind::gauge,
                                       "Memory of the statements that clients have prepared."};
inline constexpr Family kPreparedRefused{
    "headroom_sql_prepared_refused_total",
    Kind::counter,
    "Statements that were not prepared, by the limit that was reached (number, client, all).",
    {"limit"}};

inline constexpr std::array<const Family*, 27> kFamilies{
    &kPreparedBytes, &kPreparedRefused, &kCacheWarm,    &kCacheLookups, &kCacheRefused,
    &kCacheFills,    &kCacheDrops,      &kCacheCurrent, &kCacheLag,     &kCacheBypassed,
    &kReplicaReads,  &kReadsMoved,      &kClients,      &kClientsOpen,  &kRefused,
    &kCancels,       &kQueries,         &kTransactions, &kErrors,       &kLost,
    &kFailed,        &kQueryTime,       &kWaitTime,     &kPoolOpen,     &kPoolIdle,
    &kPoolWaiting,   &kPoolLimit};
[[nodiscard]] constexpr std::span<const Family* const> all_families() { return kFamilies; }

}  // namespace headroom::sql
