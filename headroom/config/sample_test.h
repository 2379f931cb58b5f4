// headroom/config/sample_test.h - a made-up proxy's sections, with every shape a setting can have,
// for this room's tests.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "headroom/config/config.h"

namespace headroom::config::sample {

enum class Balance : std::uint8_t { least, random };
inline constexpr std::array<Choice<Balance>, 2> kBalances{
    {{"least", Balance::least}, {"random", Balance::random}}};
constexpr const auto& setting_choices(Balance /*of*/) { return kBalances; }

struct Tls {
  std::string cert;
  std::string key;
};

struct Upstream {
  std::string url;
  std::uint32_t weight = 0;
};

struct Edge {
  bool enabled = false;
  Address listen;
  Duration header_timeout{};
  Bytes body_limit;
  std::optional<Rate> rate;
  Balance balance = Balance::least;
  double jitter = 0;
  std::uint32_t max_connections = 0;
  std::vector<std::string> trusted_proxies;
  std::vector<Duration> steps;
  Tls tls;
  std::vector<Upstream> upstreams;
};

struct Admin {
  std::string database;
  std::string password;
  std::map<std::string, std::string> roles;
};

inline Section<Tls> tls_section() {
  Section<Tls> s("tls", "Certificates.");
  s.setting("cert", &Tls::cert, "", Reload::live, "The chain, PEM.");
  s.setting("key", &Tls::key, "", Reload::live, "Its private key, PEM.");
  s.check([](const Tls& tls) -> Result<void> {
    if (tls.cert.empty() == tls.key.empty()) return {};
    return fail(Errc::invalid, "cert and key go together");
  });
  return s;
}

inline Section<Upstream> upstream_section() {
  Section<Upstream> s("upstreams", "A server of the app.");
  s.required("url", &Upstream::url, Reload::live, "Where it listens.",
             satisfying("that starts with http://",
                        [](const std::string& url) { return url.starts_with("http://"); }));
  s.setting("weight", &Upstream::weight, "1", Reload::live, "Its share.", between(1, 100));
  return s;
}

inline Section<Edge> edge_section() {
  Section<Edge> s("edge", "The HTTP proxy.");
  s.setting("enabled", &Edge::enabled, "true", Reload::restart, "Off: no HTTP.");
  s.setting("listen", &Edge::listen, "0.0.0.0:8080", Reload::restart, "Where clients connect.");
  s.setting("header_timeout", &Edge::header_timeout, "10s", Reload::live, "For a whole head.",
            between(1ms, 3600s));
  s.setting("body_limit", &Edge::body_limit, "10MiB", Reload::live, "Of a request.",
            at_least(Bytes{1}));
  s.setting("rate", &Edge::rate, "", Reload::live, "Of one client; empty: none.");
  s.setting("balance", &Edge::balance, "least", Reload::live, "How an upstream is picked.");
  s.setting("jitter", &Edge::jitter, "0.1", Reload::live, "Of health checks.", between(0, 1));
  s.setting("max_connections", &Edge::max_connections, "10000", Reload::live, "Of clients.");
  s.setting("trusted_proxies", &Edge::trusted_proxies, "127.0.0.1, ::1", Reload::live,
            "Whose word | counts.");
  s.setting("steps", &Edge::steps, "1s,2s", Reload::live, "Growing time-outs.", at_least(1ms));
  s.section("tls", &Edge::tls, tls_section());
  s.list("upstreams", &Edge::upstreams, upstream_section(), Reload::live);
  s.alias("NGINX_RATE_LIMIT", "rate");
  s.alias("NGINX_WORKER_CONNECTIONS", "max_connections");
  s.alias("HEAD_TIMEOUT", "header_timeout", bare_seconds);
  return s;
}

inline Section<Admin> admin_section() {
  Section<Admin> s("admin", "Who may do what.");
  s.setting("database", &Admin::database, "postgres://me:dull@db/app", Reload::restart,
            "Of accounts.");
  s.secret("password", &Admin::password, "", Reload::live, "Of the console.",
           satisfying("of at least 4 characters",
                      [](const std::string& p) { return p.empty() || p.size() >= 4; }));
  s.setting("roles", &Admin::roles, "", Reload::live, "The app's roles as ours.");
  return s;
}

inline Schema schema() {
  Schema schema;
  schema.add(edge_section());
  schema.add(admin_section());
  schema.allow_variable("HEADROOM_CONFIG");
  return schema;
}

}  // namespace headroom::config::sample
