// headroom/realtime/cells.h - one worker's cells of the hub's metrics, taken once.
#pragma once

#include <array>

#include "headroom/realtime/message.h"
#include "headroom/realtime/metrics.h"
#include "headroom/realtime/options.h"

namespace headroom::realtime {

enum class Refusal : std::uint8_t { handshake, origin, limit, protocol, silent, slow, drain };
inline constexpr std::array<const char*, 7> kRefusals{"handshake", "origin", "limit", "protocol",
                                                      "silent",    "slow",   "drain"};
enum class Access : std::uint8_t { open, restricted, presence };  // kinds of channels

struct Cells {
  Cells(metrics::Registry& registry, std::size_t worker);

  std::array<metrics::Cell*, kFaces> opened{};
  std::array<metrics::Cell*, 7> refused{};
  metrics::Cell& received;
  std::array<metrics::Cell*, kPriorities> published{};
  metrics::Cell& unheard;
  std::array<metrics::Cell*, kPriorities> delivered{};
  std::array<metrics::Cell*, kSlow.size()> dropped{};  // by Slow
  metrics::Cell& writes;
  metrics::Cell& blocked;
  std::array<metrics::Histogram::Recorder, kPriorities> delivery{};
  std::array<metrics::Cell*, 3> subscriptions{};
  metrics::Cell& recovered;
  metrics::Cell& lost;
  metrics::Cell& relayed;
  metrics::Cell& relay_dropped;
  metrics::Cell& refused_data;
  std::array<metrics::Cell*, 4> api{};

  [[nodiscard]] metrics::Cell& opened_by(Wire wire) {
    return *opened[static_cast<std::size_t>(face_of(wire))];
  }
  void refuse(Refusal why) { refused[static_cast<std::size_t>(why)]->add(); }
};

}  // namespace headroom::realtime
