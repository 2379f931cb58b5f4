// headroom/server/commands.h - the commands beside `serve`; each prints and answers the process's exit code.
//
// Owns: nothing. Worker and threads: main's; they block. Errors go to standard error, what was asked for to standard output.
#pragma once

#include <string>

#include "headroom/server/settings.h"

namespace headroom::server {

struct TokenFlags {
  std::string name;
  std::string role;
  std::string expires_in;
};

[[nodiscard]] int check_settings(const SettingsRequest& request);
[[nodiscard]] int create_token(const SettingsRequest& request, const TokenFlags& flags);
[[nodiscard]] int list_tokens(const SettingsRequest& request);
[[nodiscard]] int revoke_token(const SettingsRequest& request, const std::string& name);
[[nodiscard]] int backup(const SettingsRequest& request, const std::string& directory);
// Recorded series against the rules in force.
[[nodiscard]] int test_alerts(const SettingsRequest& request, const std::string& file);
[[nodiscard]] int export_prometheus_rules(const SettingsRequest& request);
[[nodiscard]] int print_docs(const std::string& what);

}  // namespace headroom::server
