// headroom/server/options.h - the settings of `[server]` and `[admin]` as values; the tables that read them are in options.cc.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "headroom/auth/identity.h"
#include "headroom/auth/jwt_settings.h"
#include "headroom/base/clock.h"
#include "headroom/base/log.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"

namespace headroom::log {

inline constexpr std::array<config::Choice<Level>, 4> kLevels{{{"debug", Level::debug},
                                                               {"info", Level::info},
                                                               {"warn", Level::warn},
                                                               {"error", Level::error}}};
constexpr const auto& setting_choices(Level /*of*/) { return kLevels; }

}  // namespace headroom::log

namespace headroom::auth {

inline constexpr std::array<config::Choice<Role>, 3> kRoles{
    {{"viewer", Role::viewer}, {"operator", Role::operator_}, {"admin", Role::admin}}};
constexpr const auto& setting_choices(Role /*of*/) { return kRoles; }

}  // namespace headroom::auth

namespace headroom::server {

// [server.kubernetes]: what `headroom export kubernetes` writes.
struct KubernetesOptions {
  std::string name_space;
  std::string image;
  std::string cpu;
  std::string storage;
  std::string app_image;
  std::uint16_t app_port = 0;
  std::string app_health;
  std::string app_cpu;
  std::string app_memory;
  bool auto_scaling = true;
  std::uint32_t min_replicas = 0;
  std::uint32_t max_replicas = 0;
  std::uint32_t target_cpu_percent = 0;
  std::uint32_t target_memory_percent = 0;
};

// [server]
struct ServerOptions {
  std::string state_dir;      // empty: default_state_dir()
  std::uint32_t workers = 0;  // 0: usable_cpus()
  Duration drain_delay{};
  Duration shutdown_timeout{};
  log::Level log_level = log::Level::info;
  KubernetesOptions kubernetes;
};

// [admin.jwt]
struct JwtSettings : auth::JwtSettings {
  std::string role_claim;
  std::map<std::string, auth::Role> roles;
};

// [[admin.tokens]]
struct TokenSettings {
  std::string name;
  auth::Role role{};
  std::string secret;
};

// [admin]
struct AdminOptions {
  bool enabled = true;
  config::Address listen;
  std::vector<std::string> hosts;
  bool on_edge = false;
  std::vector<TokenSettings> tokens;
  JwtSettings jwt;
};

[[nodiscard]] const config::Section<ServerOptions>& server_section();
[[nodiscard]] const config::Section<AdminOptions>& admin_section();

// Root: /var/lib/headroom; else ~/.local/state/headroom.
[[nodiscard]] std::string default_state_dir();

}  // namespace headroom::server
