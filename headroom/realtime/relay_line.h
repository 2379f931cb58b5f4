// headroom/realtime/relay_line.h - what the two processes of a take-over say to each other: each line a JSON object, named by "is".
//
//   new -> old   {"is": "lead", "places"?: true}                       from now on this one orders; it answers "where"
//   old -> new   {"is": "home", "app", "channel", "epoch", "offset", "dropped", "dropped_critical",
//                "occupied"?: true, "members"?: [...]}                 a channel and who is there, then what it keeps
//                {"is": "kept", message} ..., {"is": "last", message}?
//                {"is": "told"}                                        that was all of them
//                {"is": "publish", message, "number"}                  to be ordered
//   new -> old   {"is": "ordered", message, "number"?}                 it has been; the number says that it was yours
//
//   old -> new   {"is": "where", "app", "channel"}                     a channel that it does not know: where does it stand?
//   new -> old   {"is": "home", ...}, {"is": "kept", message} ..., {"is": "last", message}?
//                {"is": "here", "app", "channel"}                      that was all of it
//
//   old -> new   {"is": "bye"}                                         its clients are gone: the last line
//
//   a message: "app", "channel", "event", "data", "user_id"?, "except"?, "critical"?: true, "text"?: true, "once"?,
//              and where it has its place "epoch", "offset", "at" (nanoseconds of the machine's monotonic clock)
//
// Owns: nothing. Worker: any. Limits: lines of 4 MiB.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/realtime/message.h"

namespace headroom::realtime {

inline constexpr std::size_t kMostRelayLine = 4U << 20U;

struct RelayLine {
  enum class Is : std::uint8_t { lead, home, kept, last, told, publish, ordered, bye, where, here };
  Is is = Is::publish;
  Publication what{};  // of a home: app and channel
  Position position{};
  TimePoint at{};
  bool occupied = false;  // of a home
  bool places = false;    // of who leads: whether it may be asked where a channel stands
  std::vector<std::string> members{};  // of a presence channel
  std::array<std::uint64_t, kPriorities>
      dropped{};  // of a home: the newest offset that its logs no longer hold

  [[nodiscard]] static RelayLine of(Is is, const Message& message) {
    return {.is = is,
            .what = message.what(),
            .position = message.position(),
            .at = message.at(),
            .members = {},
            .dropped = {}};
  }
};

[[nodiscard]] std::string relay_line(const RelayLine& line);
// Errc::invalid.
[[nodiscard]] Result<RelayLine> read_relay_line(std::string_view line);

}  // namespace headroom::realtime
