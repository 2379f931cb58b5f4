// headroom/server/settings.h - the schema of all rooms, and how the command line's sources become settings.
//
// Owns: nothing. Worker and threads: any thread that may block on the settings file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "headroom/config/config.h"

namespace headroom::server {

// What a command line says about settings; kept for reloads.
struct SettingsRequest {
  std::string file;  // empty: HEADROOM_CONFIG, else none
  std::vector<config::Assignment> flags;
};

[[nodiscard]] const config::Schema& schema();

// The file that is read: what the command line or HEADROOM_CONFIG says; empty: none.
[[nodiscard]] std::string settings_file(const SettingsRequest& request);

// Errc::invalid with every error, one a line; also when the file cannot be read.
[[nodiscard]] Result<std::shared_ptr<const config::Settings>> load_settings(
    const SettingsRequest& request);

}  // namespace headroom::server
