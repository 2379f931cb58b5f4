// headroom/tasks/track.h - what is kept of a tracked job beyond the job itself: its state, what its worker says of its progress, its result.
//
// Owns: its values. Threads: any; the board keeps the living ones.
// Invariants: (1) what a worker said stays until the track ends; (2) a track outlives its job by kKept.
// Limits: tracks_limit of them; results of result_limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/tasks/time.h"

namespace headroom::tasks {

enum class TrackState : std::uint8_t {
  unknown,
  enqueued,
  working,
  success,
  failed,
  dead,
  cancelled
};
// "working" and so on.
[[nodiscard]] std::string_view to_string(TrackState state);

struct Track {
  static constexpr WallTime kKept = 30 * 60 * kSecond;

  std::string jid;
  TrackState state = TrackState::unknown;
  std::optional<std::int64_t> percent{};
  std::string desc{};
  std::string result{};  // JSON; empty: none
  WallTime updated = 0;
  WallTime ended = 0;  // 0: not yet

  // It has ended, or is dead: nothing more comes of it by itself.
  [[nodiscard]] bool has_outcome() const { return ended != 0 || state == TrackState::dead; }

  [[nodiscard]] std::string text() const;
  [[nodiscard]] static Result<Track> restore(std::string_view text);
  // As TRACK GET shows it: with the states that Faktory's clients know.
  [[nodiscard]] std::string shown() const;
};

}  // namespace headroom::tasks
