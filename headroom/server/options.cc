#include "headroom/server/options.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

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

config::Section<KubernetesOptions> kubernetes_section() {
  config::Section<KubernetesOptions> s(
      "kubernetes", "What `headroom export kubernetes` writes; serving does not look at it.");
  using K = KubernetesOptions;
  s.setting("namespace", &K::name_space, "headroom", Reload::live, "The namespace of all of it.");
  s.setting("image", &K::image, "headroom:" HEADROOM_VERSION, Reload::live,
            "Headroom's image (deploy/Dockerfile).");
  s.setting("cpu", &K::cpu, "500m", Reload::live,
            "The processor time that Headroom asks for; its memory follows cache.memory_limit.");
  s.setting("storage", &K::storage, "5Gi", Reload::live, "The size of the volume of state_dir.");
  s.setting("app_image", &K::app_image, "", Reload::live,
            "The app's image; nothing is written without it.");
  s.setting("app_port", &K::app_port, "8000", Reload::live, "Where the app listens.",
            config::between(1, 65535));
  s.setting("app_health", &K::app_health, "/health", Reload::live,
            "The path that says whether the app is ready.");
  s.setting("app_cpu", &K::app_cpu, "250m", Reload::live,
            "The processor time that one process of the app asks for: what target_cpu_percent is a "
            "share of.");
  s.setting("app_memory", &K::app_memory, "512Mi", Reload::live,
            "The memory that it asks for: what target_memory_percent is a share of.");
  s.setting("auto_scaling", &K::auto_scaling, "true", Reload::live,
            "Whether the app is scaled; else it has min_replicas.");
  s.setting("min_replicas", &K::min_replicas, "3", Reload::live, "The least processes of the app.",
            config::between(1, 1000));
  s.setting("max_replicas", &K::max_replicas, "20", Reload::live, "The most.",
            config::between(1, 1000));
  s.setting("target_cpu_percent", &K::target_cpu_percent, "70", Reload::live,
            "The use of the processor that is aimed at.", config::between(1, 100));
  s.setting("target_memory_percent", &K::target_memory_percent, "80", Reload::live,
            "The use of memory that is aimed at.", config::between(1, 100));
  s.alias("ENABLE_AUTO_SCALING", "auto_scaling");
  s.alias("MIN_REPLICAS", "min_replicas");
  s.alias("MAX_REPLICAS", "max_replicas");
  s.alias("TARGET_CPU_PERCENT", "target_cpu_percent");
  s.alias("TARGET_MEMORY_PERCENT", "target_memory_percent");
  s.check([](const KubernetesOptions& options) -> Result<void> {
    if (options.min_replicas <= options.max_replicas) return {};
    return fail(Errc::invalid, "'min_replicas' is more than 'max_replicas'");
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
              "Where tokens and other state are kept; empty: systemd's $STATE_DIRECTORY, "
              "/var/lib/headroom for root, else ~/.local/state/headroom.",
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
    s.section("kubernetes", &ServerOptions::kubernetes, kubernetes_section());
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
  // NOLINTNEXTLINE(concurrency-mt-unsafe): before threads start
  const char* given = std::getenv("STATE_DIRECTORY");  // systemd's, of StateDirectory=
  if (given != nullptr && *given == '/' && std::strchr(given, ':') == nullptr) return given;
  if (::geteuid() == 0) return "/var/lib/headroom";
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): before threads start
  if (home == nullptr || *home == '\0') {
    const passwd* user = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe)
    home = user == nullptr ? "/tmp" : user->pw_dir;
  }
  return std::string(home) + "/.local/state/headroom";
}

}  // namespace headroom::server
