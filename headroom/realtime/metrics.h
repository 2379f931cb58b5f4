// headroom/realtime/metrics.h - the table of the hub's metrics.
#pragma once

#include <array>
#include <span>

#include "headroom/base/metrics.h"

namespace headroom::realtime {

using metrics::Family;
using metrics::Kind;

inline constexpr Family kOpened{
    "headroom_realtime_connections_total", Kind::counter, "Connections opened, by face.", {"face"}};
inline constexpr Family kOpen{"headroom_realtime_connections_open", Kind::gauge,
                              "Connections open now."};
inline constexpr Family kRefused{"headroom_realtime_refused_total",
                                 Kind::counter,
                                 "Connections refused or closed by the hub, by reason: handshake, "
                                 "origin, limit, protocol, silent, slow, drain.",
                                 {"reason"}};
inline constexpr Family kReceived{"headroom_realtime_received_total", Kind::counter,
                                  "Messages that clients sent."};
inline constexpr Family kPublished{"headroom_realtime_published_total",
                                   Kind::counter,
                                   "Messages that entered a channel's log, by priority.",
                                   {"priority"}};
inline constexpr Family kUnheard{
    "headroom_realtime_unheard_total", Kind::counter,
    "Messages published to a channel that nobody listens to and that keeps none."};
inline constexpr Family kDelivered{"headroom_realtime_delivered_total",
                                   Kind::counter,
                                   "Messages written to subscribers, by priority.",
                                   {"priority"}};
inline constexpr Family kDropped{
    "headroom_realtime_dropped_total",
    Kind::counter,
    "Messages that a slow subscriber was not given, by cause: close, drop_oldest, "
    "latest, drop_newest, pause.",
    {"cause"}};
inline constexpr Family kWrites{"headroom_realtime_writes_total", Kind::counter,
                                "Writes to connections."};
inline constexpr Family kBlocked{"headroom_realtime_blocked_total", Kind::counter,
                                 "Times that a connection took no more."};
inline constexpr Family kDelivery{"headroom_realtime_delivery_seconds",
                                  Kind::histogram,
                                  "From a message's publication to its being written, by priority.",
                                  {"priority"}};
inline constexpr Family kSubscriptions{"headroom_realtime_subscriptions_total",
                                       Kind::counter,
                                       "Subscriptions begun, by kind: public, private, presence.",
                                       {"kind"}};
inline constexpr Family kRecoveries{"headroom_realtime_recoveries_total",
                                    Kind::counter,
                                    "Subscriptions with a position, by outcome: recovered, lost.",
                                    {"outcome"}};
inline constexpr Family kApiCalls{
    "headroom_realtime_api_calls_total",
    Kind::counter,
    "Calls of the HTTP API, by outcome: ok, invalid, unauthorized, not_found.",
    {"outcome"}};

inline constexpr Family kHookEvents{"headroom_realtime_webhook_events_total",
                                    Kind::counter,
                                    "Events for webhooks, by outcome: sent, dropped.",
                                    {"outcome"}};
inline constexpr Family kHookFailures{"headroom_realtime_webhook_failures_total", Kind::counter,
                                      "Calls of webhooks that were not answered with 2xx."};
inline constexpr Family kQuestions{
    "headroom_realtime_questions_total",
    Kind::counter,
    "Questions who may listen, by outcome: asked (of the app), spared (remembered, or asked "
    "already), failed (the app did not answer), refused (too many wait).",
    {"outcome"}};

inline constexpr Family kRelayed{
    "headroom_realtime_relayed_total",
    Kind::counter,
    "Messages between the two processes of a take-over: taken (from the other), dropped (it took "
    "them too slowly: each goes on alone).",
    {"outcome"}};

inline constexpr Family kRefusedData{"headroom_realtime_data_refused_total", Kind::counter,
                                     "Events whose data is not what their schema says."};

inline constexpr std::array<const Family*, 19> kFamilies{
    &kOpened,       &kOpen,          &kRefused,    &kReceived,   &kPublished,
    &kUnheard,      &kDelivered,     &kDropped,    &kWrites,     &kBlocked,
    &kDelivery,     &kSubscriptions, &kRecoveries, &kApiCalls,   &kHookEvents,
    &kHookFailures, &kQuestions,     &kRelayed,    &kRefusedData};
[[nodiscard]] constexpr std::span<const Family* const> all_families() { return kFamilies; }

}  // namespace headroom::realtime
