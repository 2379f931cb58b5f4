#include "headroom/server/options.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

namespace headroom::server {
namespace {

using config::Reload;

config::Section<JwtSettings> jwt_section() {
  config::Section<JwtSettings> s("jwt", "The app's own JSON Web Tokens as admin credentials.");
  auth::add_jwt_settings(s);
  s.setting("role_claim", &JwtSettings::role_claim, "role", Reload::live,
            "The claim that holds the app's role, or a path to it by dots.");
  s.setting("roles", &JwtSettings::roles, "", Reload::live,
            "The app's roles as ours, `{ super_admin = \"admin\" }`; all others may do nothing.");
  s.check([](const JwtSettings& jwt) -> Result<void> {
    if (jwt.enabled() && jwt.roles.empty()) {
      return fail(Errc::invalid, "keys without 'roles': no token could do anything");
    }
    return {};
  });
  return s;
}

config::Section<TokenSettings> token_section() {
  config::Section<TokenSettings> s(
      "tokens", "A bearer token that is written here instead of made by `headroom token create`.");
  s.required("name", &TokenSettings::name, Reload::live, "Whose it is, for the log.");
  s.required("role", &TokenSettings::role, Reload::live, "What it may do.");
  s.secret("secret", &TokenSettings::secret, "", Reload::live,
           "The token, or `sha256:` and the 64 hexadecimal digits of its SHA-256.");
  return s;
}

}  // namespace

const config::Section<ServerOptions>& server_section() {
  static const auto section = [] {
    config::Section<ServerOptions> s("server", "The process.");
    s.setting("state_dir", &ServerOptions::state_dir, "", Reload::restart,
              "Where tokens and other state are kept; empty: /var/lib/headroom for root, else "
              "~/.local/state/headroom.",
              config::satisfying("that starts with /", [](const std::string& path) {
                return path.empty() || path.starts_with('/');
              }));
    s.setting("workers", &ServerOptions::workers, "0", Reload::restart,
              "Threads that serve; 0: one for each processor this process may use.",
              config::between(0, 64));
    s.setting("drain_delay", &ServerOptions::drain_delay, "0s", Reload::live,
              "How long `/readyz` says no before a shutdown stops accepting: as long as load "
              "balancers need to notice.",
              config::between(0s, 600s));
    s.setting("shutdown_timeout", &ServerOptions::shutdown_timeout, "30s", Reload::live,
              "How long a shutdown lets open requests end.", config::between(0s, 3600s));
    s.setting("log_level", &ServerOptions::log_level, "info", Reload::live,
              "The least that is logged.");
    return s;
  }();
  return section;
}

const config::Section<AdminOptions>& admin_section() {
  static const auto section = [] {
    config::Section<AdminOptions> s("admin", "The admin API, health and metrics.");
    s.setting("enabled", &AdminOptions::enabled, "true", Reload::restart,
              "Off: none of it listens.");
    s.setting("listen", &AdminOptions::listen, "127.0.0.1:9090", Reload::restart,
              "Where it listens.");
    s.setting("hosts", &AdminOptions::hosts, "", Reload::live,
              "Host names it may be asked by, beside IP addresses and localhost.");
    s.setting("on_edge", &AdminOptions::on_edge, "false", Reload::restart,
              "Whether the edge answers the seeds' paths too.");
    s.list("tokens", &AdminOptions::tokens, token_section(), Reload::live);
    s.section("jwt", &AdminOptions::jwt, jwt_section());
    return s;
  }();
  return section;
}

std::string default_state_dir() {
  if (::geteuid() == 0) return "/var/lib/headroom";
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): before threads start
  if (home == nullptr || *home == '\0') {
    const passwd* user = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe)
    home = user == nullptr ? "/tmp" : user->pw_dir;
  }
  return std::string(home) + "/.local/state/headroom";
}

}  // namespace headroom::server
