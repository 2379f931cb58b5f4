// headroom/server/top.h - `headroom top`: the overview in a terminal, once a second; and `headroom health`: a probe as an exit code.
//
// Owns: the terminal's mode while it runs, given back however it ends. Worker and threads: main's; they block.
#pragma once

#include <string>

#include "headroom/server/settings.h"

namespace headroom::server {

struct TopFlags {
  bool once = false;
  std::string token_file;  // empty: HEADROOM_TOKEN
};

[[nodiscard]] int top(const SettingsRequest& request, const TopFlags& flags);
// `probe`: livez, readyz, startupz. Prints what it says; 0 when it says yes.
[[nodiscard]] int health(const SettingsRequest& request, const std::string& probe);

}  // namespace headroom::server
