// headroom/server/serve.h - `headroom serve`: builds the rooms, hands each its neighbours, and ends them in order.
//
// Owns: everything that runs. Worker and threads: main's thread builds, then waits for signals, for a server that takes over, and ticks once
//   a second; workers serve; one thread reads (metrics), one controls (settings, tokens).
// Invariants: (1) /readyz says yes only between the last door's opening and the first moment of a shutdown; (2) a reload that fails changes
//   nothing; (3) the end is in order: not ready, drain_delay, no more accepting, what is open ends by shutdown_timeout, exit 0.
// Limits: shutdown_timeout; a second signal ends it at once.
#pragma once

#include "headroom/server/settings.h"

namespace headroom::server {

enum class TakeOver : bool { no, yes };

struct ServeRequest {
  SettingsRequest settings;
  TakeOver take_over = TakeOver::no;
};

// The process's exit code.
[[nodiscard]] int serve(const ServeRequest& request);

}  // namespace headroom::server
