// headroom/realtime/statistics.h - how the hub is: what /api/v1/realtime shows.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/realtime/options.h"

namespace headroom::realtime {

struct ChannelStatus {
  std::string app;
  std::string name;
  std::uint64_t subscriptions = 0;
  std::uint64_t messages = 0;  // in this life of its log
  std::uint64_t kept = 0;      // of them, to recover from
  std::uint64_t kept_bytes = 0;
  std::uint64_t members = 0;  // of a presence channel
};

// Counts since the start, but for connections, channels and subscriptions, which are those of now.
struct Statistics {
  std::uint64_t connections = 0;
  std::uint64_t blocked = 0;  // connections that take no more at the moment
  std::array<std::uint64_t, 4> connections_by_face{};  // pusher, json, sse, poll
  std::uint64_t channels = 0;
  std::uint64_t subscriptions = 0;
  std::uint64_t received = 0;
  std::uint64_t unheard = 0;  // published to a channel that nobody listens to
  std::uint64_t recovered = 0;
  std::uint64_t lost = 0;  // subscriptions that could not go on from where they asked to
  std::vector<std::pair<std::string, std::uint64_t>> refused;  // by reason
  std::uint64_t published = 0;
  std::uint64_t published_critical = 0;
  std::uint64_t delivered = 0;
  std::uint64_t writes = 0;
  std::array<std::uint64_t, kSlow.size()> dropped{};  // by cause, as in kSlow
  metrics::HistogramValues delivery;                  // normal messages
  metrics::HistogramValues critical;
  std::vector<ChannelStatus> top;  // by subscriptions
};

}  // namespace headroom::realtime
