// headroom/edge/options.h - the edge's settings as values; the tables that read them are in options.cc.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "headroom/base/address.h"
#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"
#include "headroom/edge/cdn_options.h"
#include "headroom/edge/warm_options.h"

namespace headroom::config {

template <>
struct Value<Cidr> {
  static constexpr std::string_view kName = "network";
  static constexpr std::string_view kNoun = "a network";
  static constexpr Written kWritten{.string = true};
  static constexpr bool kBare = false;
  static std::string accepted() { return "a network such as 10.0.0.0/8 or an address"; }
  static std::optional<Cidr> parse(std::string_view text) {
    auto cidr = Cidr::parse(text);
    return cidr ? std::optional(*cidr) : std::nullopt;
  }
  static std::string show(const Cidr& value) { return to_string(value); }
};

}  // namespace headroom::config

namespace headroom::edge {

enum class Balance : std::uint8_t { least_connections, round_robin, random_two, hash };
inline constexpr std::array<config::Choice<Balance>, 4> kBalances{
    {{"least_connections", Balance::least_connections},
     {"round_robin", Balance::round_robin},
     {"random_two", Balance::random_two},
     {"hash", Balance::hash}}};
constexpr const auto& setting_choices(Balance) { return kBalances; }

enum class ProxyHeader : std::uint8_t { off, v1, v2 };
inline constexpr std::array<config::Choice<ProxyHeader>, 3> kProxyHeaders{
    {{"off", ProxyHeader::off}, {"v1", ProxyHeader::v1}, {"v2", ProxyHeader::v2}}};
constexpr const auto& setting_choices(ProxyHeader) { return kProxyHeaders; }

enum class Priority : std::uint8_t { critical, normal, background };
inline constexpr std::array<config::Choice<Priority>, 3> kPriorities{
    {{"critical", Priority::critical},
     {"normal", Priority::normal},
     {"background", Priority::background}}};
constexpr const auto& setting_choices(Priority) { return kPriorities; }

enum class ClientCertificates : std::uint8_t { off, request, require };
inline constexpr std::array<config::Choice<ClientCertificates>, 3> kClientCertificates{
    {{"off", ClientCertificates::off},
     {"request", ClientCertificates::request},
     {"require", ClientCertificates::require}}};
constexpr const auto& setting_choices(ClientCertificates) { return kClientCertificates; }

enum class PersonalAnswers : std::uint8_t { guarded, off, on };
inline constexpr std::array<config::Choice<PersonalAnswers>, 3> kPersonalAnswers{
    {{"guarded", PersonalAnswers::guarded},
     {"off", PersonalAnswers::off},
     {"on", PersonalAnswers::on}}};
constexpr const auto& setting_choices(PersonalAnswers) { return kPersonalAnswers; }

// [edge.upstreams.health]
struct HealthCheckOptions {
  std::string path;  // empty: no active checks
  std::string host;
  Duration interval{};
  Duration timeout{};
  std::uint32_t rise = 0;
  std::uint32_t fall = 0;
  std::string status;  // "200-399", "200,204"
  bool operator==(const HealthCheckOptions&) const = default;
};

// [edge.upstreams.tls], for https:// servers
struct UpstreamTlsOptions {
  bool verify = true;
  std::string ca;           // file; empty: the system's
  std::string server_name;  // empty: the server's host
  bool operator==(const UpstreamTlsOptions&) const = default;
};

// [[edge.upstreams]]: a group of servers that can each answer the same requests.
struct UpstreamOptions {
  std::string name;
  // "http://127.0.0.1:3000", "https://app.internal", "unix:/run/app.sock"; then perhaps " weight=2 max_connections=50 backup".
  std::vector<std::string> servers;
  Balance balance{};
  std::string hash_by;  // "address", "header:Name", "cookie:name"
  std::uint32_t max_fails = 0;
  Duration fail_timeout{};
  Duration max_fail_timeout{};
  double max_ejected = 0;  // share of the group
  std::uint32_t keep_alive = 0;
  Duration keep_alive_timeout{};
  std::uint32_t max_connections = 0;  // per server; 0: any
  std::uint32_t queue = 0;
  Duration queue_timeout{};
  Duration connect_timeout{};
  Duration first_byte_timeout{};
  Duration idle_timeout{};
  Duration slow_start{};
  std::uint32_t retries = 0;
  double retry_budget = 0;  // share of the requests
  std::string host;         // "preserve", "upstream", or the Host to send
  ProxyHeader proxy_protocol{};
  bool adaptive = true;
  std::uint32_t max_in_flight = 0;  // 0: only the adaptive limit
  HealthCheckOptions health;
  UpstreamTlsOptions tls;
  bool operator==(const UpstreamOptions&) const = default;
};

// [edge.routes.cors]
struct CorsOptions {
  std::vector<std::string> origins;  // empty: CORS is the app's
  std::vector<std::string> methods;
  std::vector<std::string> headers;
  std::vector<std::string> expose;
  bool credentials = false;
  Duration max_age{};
  bool operator==(const CorsOptions&) const = default;
};

// [edge.routes.pagination]
struct PaginationOptions {
  bool enabled = false;
  std::string page;  // names of query fields; empty: none
  std::string offset;
  std::string limit;
  std::uint32_t default_limit = 0;
  std::string total_header;
  std::string count_path;
  std::string count_field;
  Duration total_ttl{};
};

// [edge.routes.cache]
struct RouteCacheOptions {
  std::optional<bool> enabled;
  std::string ttl_class;  // of [cache]; empty: only what answers say
  std::vector<std::string> tags;
  std::vector<std::string> strip_query;
  bool ignore_cookies = false;
  bool store_set_cookie = false;
  std::vector<std::string> per_user;     // "authorization", "cookie:NAME", "header:NAME"
  std::vector<std::string> invalidates;  // tags
  std::string browser;                   // Cache-Control for clients; empty: the app's
  std::string cdn;                       // CDN-Cache-Control for the CDN; empty: the app's
};

// [edge.routes.compress]
struct RouteCompressOptions {
  std::optional<bool> enabled;
  std::optional<Bytes> least;
  std::optional<PersonalAnswers> personal;
  std::optional<bool> plain_from_app;
};

// [[edge.routes]]: which requests go where, and what is done to them on the way.
struct RouteOptions {
  std::string name;
  std::string host;  // exact, "*.example.org", or empty: every host
  std::string path;  // prefix by whole segments
  std::string upstream;
  Priority priority{};
  std::optional<Bytes> body_limit;
  std::optional<Duration> first_byte_timeout;
  std::optional<Duration> idle_timeout;
  std::optional<std::uint32_t> retries;
  bool redirect_https = false;
  Duration hsts{};       // 0: no header
  std::string redirect;  // "308 https://example.org{uri}"
  std::string strip_prefix;
  std::string add_prefix;
  std::map<std::string, std::string> set_request_headers;
  std::vector<std::string> remove_request_headers;
  std::map<std::string, std::string> set_response_headers;
  std::vector<std::string> remove_response_headers;
  CorsOptions cors;
  PaginationOptions pagination;
  RouteCacheOptions cache;
  RouteCompressOptions compress;
  std::optional<bool> etags;
};

// [[edge.tls.certificates]]
struct CertificateOptions {
  std::string cert;
  std::string key;
};

// [edge.tls]
struct TlsOptions {
  config::Address listen;
  std::string cert;
  std::string key;
  std::vector<CertificateOptions> certificates;  // further ones, chosen by SNI
  std::string min_version;                       // "1.2", "1.3"
  ClientCertificates client_certificates{};
  std::string client_ca;
  [[nodiscard]] bool enabled() const { return !cert.empty() || !certificates.empty(); }
};

// [edge.batch]
struct BatchOptions {
  bool enabled = true;
  std::uint32_t at_once = 0;
  std::uint32_t parts = 0;
  Bytes bytes_in;
  Bytes bytes_out;
  Duration timeout{};
};

// [edge.cache]
struct EdgeCacheOptions {
  bool enabled = true;
  bool status = true;
  Duration wait{};
  Duration heuristic{};
  Duration stale_while_revalidate{};
  Duration stale_if_error{};
  bool s_maxage_forbids_stale = true;
  bool sql_tags = false;
  std::uint32_t background_refreshes = 0;  // on each worker
  Duration refresh_timeout{};
};

// [edge.session]
struct SessionOptions {
  bool enabled = true;
  std::string cookie;
  std::vector<std::string> keys;
};

// [edge.compress]
struct CompressOptions {
  bool enabled = true;
  std::vector<std::string> codings;  // best first
  Bytes least;
  std::vector<std::string> types;  // besides those known to shrink
  PersonalAnswers personal{};
  bool plain_from_app = false;
  std::uint32_t gzip_level = 0, br_level = 0, zstd_level = 0;
  std::uint32_t stored_gzip_level = 0, stored_br_level = 0, stored_zstd_level = 0;
  Bytes stored_limit;
  std::uint32_t streams = 0;
};

// [edge]
struct EdgeOptions {
  bool enabled = true;
  config::Address listen;
  TlsOptions tls;
  BatchOptions batch;
  std::vector<std::string> app;  // servers of the group "app"
  std::vector<Cidr> trusted_proxies;
  bool proxy_protocol = false;  // connections begin with a PROXY header
  std::uint32_t max_connections = 0;
  std::uint32_t max_connections_per_address = 0;
  Duration header_timeout{};
  Duration keep_alive_timeout{};
  Duration body_timeout{};
  Bytes body_rate;  // bytes a second; 0: any
  Duration write_timeout{};
  Duration upgrade_idle_timeout{};
  Bytes head_limit;
  Bytes line_limit;
  std::uint32_t field_limit = 0;
  Bytes body_limit;
  Bytes body_buffer;  // bodies up to this are read whole before an upstream is taken
  EdgeCacheOptions cache;
  SessionOptions session;
  CdnOptions cdn;
  WarmingOptions warming;
  std::vector<WarmOptions> warm;
  CompressOptions compress;
  bool etags = true;
  double access_log = 0;  // share of requests written; 0: off
  std::vector<UpstreamOptions> upstreams;
  std::vector<RouteOptions> routes;
};

[[nodiscard]] const config::Section<EdgeOptions>& edge_section();
[[nodiscard]] const config::Section<UpstreamOptions>& upstream_section();
[[nodiscard]] const config::Section<RouteOptions>& route_section();

}  // namespace headroom::edge
