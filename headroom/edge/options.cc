#include "headroom/edge/options.h"

#include "headroom/auth/signed_value.h"
#include "headroom/base/text.h"
#include "headroom/coding/accept.h"
#include "headroom/edge/checker.h"
#include "headroom/edge/owner.h"
#include "headroom/edge/upstream.h"
#include "headroom/http/parser.h"

namespace headroom::edge {
namespace {

using config::at_least;
using config::between;
using config::Reload;
using config::satisfying;
using config::Section;

const auto kPath =
    satisfying("that begins with /", [](const std::string& text) { return text.starts_with('/'); });
const auto kPathOrNothing =
    satisfying("that begins with / or is empty",
               [](const std::string& text) { return text.empty() || text.starts_with('/'); });
const auto kFieldName = satisfying("that is a header's name or empty", [](const std::string& text) {
  return text.empty() || http::is_token(text);
});
const auto kStatuses = satisfying("such as 200-399 or 200,204", [](const std::string& text) {
  return status_in(text, 200).has_value() && !text.empty();
});
const auto kServer = satisfying(
    "such as http://127.0.0.1:3000, https://app.internal or unix:/run/app.sock, "
    "then perhaps weight=2 max_connections=50 backup",
    [](const std::string& text) { return ServerSpec::parse(text).has_value(); });
const auto kHashBy =
    satisfying("such as address, header:X-User or cookie:session", [](const std::string& text) {
      return text == "address" || (text.starts_with("header:") && text.size() > 7) ||
             (text.starts_with("cookie:") && text.size() > 7);
    });
const auto kOwner = satisfying("such as authorization, cookie:session or header:X-Api-Key",
                               [](const std::string& text) { return Owners::is_setting(text); });
const auto kTlsVersion = satisfying(
    "1.2 or 1.3", [](const std::string& text) { return text == "1.2" || text == "1.3"; });

const auto kCoding = satisfying("that is zstd, br or gzip", [](const std::string& text) {
  const std::array<std::string_view, 1> name{text};
  return coding::Preference::of(name).has_value();
});

Section<HealthCheckOptions> health_section() {
  Section<HealthCheckOptions> s("health", "Active health checks of a group's servers.");
  s.setting("path", &HealthCheckOptions::path, "", Reload::live,
            "What is asked for; empty: no active checks.", kPathOrNothing);
  s.setting("host", &HealthCheckOptions::host, "", Reload::live,
            "The Host of a check; empty: the server's.");
  s.setting("interval", &HealthCheckOptions::interval, "5s", Reload::live,
            "Time between checks, give or take a tenth.", between(100ms, 3600s));
  s.setting("timeout", &HealthCheckOptions::timeout, "2s", Reload::live,
            "How long a check may take in all.", between(10ms, 600s));
  s.setting("rise", &HealthCheckOptions::rise, "2", Reload::live,
            "Good checks in a row that bring a server back.", between(1, 100));
  s.setting("fall", &HealthCheckOptions::fall, "3", Reload::live,
            "Bad checks in a row that take it out.", between(1, 100));
  s.setting("status", &HealthCheckOptions::status, "200-399", Reload::live,
            "The statuses of a good answer.", kStatuses);
  return s;
}

Section<UpstreamTlsOptions> upstream_tls_section() {
  Section<UpstreamTlsOptions> s("tls", "TLS to https:// servers.");
  s.setting("verify", &UpstreamTlsOptions::verify, "true", Reload::live,
            "Whether the server's certificate must be valid for its name.");
  s.setting("ca", &UpstreamTlsOptions::ca, "", Reload::live,
            "PEM file of the authorities to trust; empty: the system's.");
  s.setting("server_name", &UpstreamTlsOptions::server_name, "", Reload::live,
            "The name to ask for and to verify; empty: the server's host.");
  return s;
}

Section<CorsOptions> cors_section() {
  Section<CorsOptions> s("cors", "Cross-origin requests, answered here instead of by the app.");
  s.setting("origins", &CorsOptions::origins, "", Reload::live,
            "Origins that may read answers, exact, or * for any; empty: CORS is the app's.");
  s.setting("methods", &CorsOptions::methods, "GET,HEAD,POST", Reload::live,
            "Methods they may use.");
  s.setting("headers", &CorsOptions::headers, "", Reload::live, "Request headers they may send.");
  s.setting("expose", &CorsOptions::expose, "", Reload::live, "Response headers they may read.");
  s.setting("credentials", &CorsOptions::credentials, "false", Reload::live,
            "Whether cookies may come along; not with origin *.");
  s.setting("max_age", &CorsOptions::max_age, "10m", Reload::live,
            "How long a browser may remember a preflight.");
  return s;
}

Section<CertificateOptions> certificate_section() {
  Section<CertificateOptions> s(
      "certificates", "A further certificate, chosen by the name a client asks for (SNI).");
  s.required("cert", &CertificateOptions::cert, Reload::live,
             "PEM file: the certificate, then its chain.");
  s.required("key", &CertificateOptions::key, Reload::live, "PEM file: its private key.");
  return s;
}

Section<TlsOptions> tls_section() {
  Section<TlsOptions> s("tls", "TLS for clients; on once a certificate is given.");
  s.setting("listen", &TlsOptions::listen, ":8443", Reload::live,
            "Where clients connect with TLS.");
  s.setting("cert", &TlsOptions::cert, "", Reload::live,
            "PEM file: the default certificate, then its chain.");
  s.setting("key", &TlsOptions::key, "", Reload::live, "PEM file: its private key.");
  s.list("certificates", &TlsOptions::certificates, certificate_section(), Reload::live);
  s.setting("min_version", &TlsOptions::min_version, "1.2", Reload::live,
            "The oldest version accepted.", kTlsVersion);
  s.setting("client_certificates", &TlsOptions::client_certificates, "off", Reload::live,
            "Whether clients are asked for a certificate.");
  s.setting("client_ca", &TlsOptions::client_ca, "", Reload::live,
            "PEM file of the authorities for client certificates.");
  s.check([](const TlsOptions& o) -> Result<void> {
    if (o.cert.empty() != o.key.empty()) return fail(Errc::invalid, "cert and key go together");
    if (o.client_certificates != ClientCertificates::off && o.client_ca.empty()) {
      return fail(Errc::invalid, "client_certificates needs client_ca");
    }
    return {};
  });
  return s;
}

Section<BatchOptions> batch_section() {
  Section<BatchOptions> s("batch", "Many requests in one: POST /_headroom/batch.");
  s.setting("enabled", &BatchOptions::enabled, "true", Reload::live,
            "Whether the path is answered here; else it is the app's.");
  s.setting("at_once", &BatchOptions::at_once, "5", Reload::live,
            "How many parts of a batch run side by side.", between(1, 64));
  s.setting("parts", &BatchOptions::parts, "50", Reload::live, "The most parts of a batch.",
            between(1, 1000));
  s.setting("bytes_in", &BatchOptions::bytes_in, "1MiB", Reload::live,
            "The largest body of a batch.", between(Bytes{64}, Bytes::mib(64)));
  s.setting("bytes_out", &BatchOptions::bytes_out, "8MiB", Reload::live,
            "The most bytes of its parts' answers together; a part beyond it becomes a 502.",
            between(Bytes{64}, Bytes::mib(256)));
  s.setting("timeout", &BatchOptions::timeout, "30s", Reload::live,
            "How long a batch may take; parts not answered by then become 504.",
            between(10ms, 3600s));
  return s;
}

Section<RouteCacheOptions> route_cache_section() {
  using O = RouteCacheOptions;
  Section<O> s(
      "cache",
      "What the cache does with the route's answers, besides what they say themselves (RFC 9111).");
  s.setting("enabled", &O::enabled, "", Reload::live, "Overrides edge.cache.enabled.");
  s.setting("ttl_class", &O::ttl_class, "", Reload::live,
            "A class of cache.classes: how long answers are kept that say nothing about it.");
  s.setting("tags", &O::tags, "", Reload::live,
            "Tags of every answer, besides those it names; \"{user}\" in one stands for who asks "
            "(per_user).");
  s.setting("invalidates", &O::invalidates, "", Reload::live,
            "Tags that a successful unsafe request (POST, PUT, PATCH, DELETE) invalidates; "
            "\"{user}\" as in tags.");
  s.setting("strip_query", &O::strip_query, "", Reload::live,
            "Query parameters that make no difference; \"utm_*\" for all that begin so.");
  s.setting("ignore_cookies", &O::ignore_cookies, "false", Reload::live,
            "Answers do not depend on cookies; their Set-Cookie reaches nobody, unless "
            "store_set_cookie says so.");
  s.setting("store_set_cookie", &O::store_set_cookie, "false", Reload::live,
            "Keep answers with Set-Cookie also where they do not say public.");
  s.setting(
      "per_user", &O::per_user, "", Reload::live,
      "Keeps the answers of signed-in users for each of them alone, private ones too: what their "
      "requests show, \"authorization\", \"cookie:NAME\" or \"header:NAME\". "
      "Who shows the same gets the same until it is stale or invalidated, also after a sign-out.",
      kOwner);
  s.setting("browser", &O::browser, "", Reload::live,
            "Cache-Control for clients instead of the app's, for instance \"public, max-age=60\".");
  s.setting("cdn", &O::cdn, "", Reload::live,
            "CDN-Cache-Control for the CDN in front (edge.cdn) instead of the app's, for instance "
            "\"max-age=3600\".");
  return s;
}

Section<EdgeCacheOptions> edge_cache_section() {
  using O = EdgeCacheOptions;
  Section<O> s("cache", "The shared HTTP cache (RFC 9111), in the memory of [cache].");
  s.setting("enabled", &O::enabled, "true", Reload::live, "Whether answers that say so are kept.");
  s.setting("status", &O::status, "true", Reload::live,
            "Whether answers tell by Cache-Status (RFC 9211) what the cache did.");
  s.setting("wait", &O::wait, "2s", Reload::live,
            "How long a request waits for the answer to another one like it, before it is known "
            "whether they can share it; 0: it does not.");
  s.setting("heuristic", &O::heuristic, "24h", Reload::live,
            "The longest that an answer is kept which only says when it was last modified; 0: not "
            "at all.");
  s.setting("stale_while_revalidate", &O::stale_while_revalidate, "0", Reload::live,
            "How long an expired answer is served while one request refreshes it, where it does "
            "not say.");
  s.setting(
      "stale_if_error", &O::stale_if_error, "5m", Reload::live,
      "How long an expired answer is served when no server answers well, where it does not say.");
  s.setting("s_maxage_forbids_stale", &O::s_maxage_forbids_stale, "true", Reload::live,
            "s-maxage means that nothing stale is served (RFC 9111 5.2.2.10); false: "
            "stale-while-revalidate counts beside it.");
  s.setting("sql_tags", &O::sql_tags, "false", Reload::restart,
            "Pages know which tables their queries read through the SQL proxy, and are dropped "
            "when somebody writes one (docs/sql-pages.md).");
  s.setting("background_refreshes", &O::background_refreshes, "64", Reload::live,
            "How many answers each worker refreshes at once while clients get the stored one; 0: a "
            "client waits for the refresh.",
            between(0, 1024));
  s.setting("refresh_timeout", &O::refresh_timeout, "30s", Reload::live,
            "How long such a refresh may take.", between(100ms, 3600s));
  return s;
}

Section<SessionOptions> session_section() {
  using O = SessionOptions;
  Section<O> s(
      "session",
      "A browser that has written reads it: a signed cookie (HttpOnly, SameSite=Lax, Secure "
      "over TLS, a minute) says how far the database's log had come, where [sql] has "
      "replicas (docs/link.md).");
  s.setting("enabled", &O::enabled, "true", Reload::restart, "Whether there is one.");
  s.setting("cookie", &O::cookie, "headroom_reads", Reload::restart, "Its name.",
            satisfying("that is a cookie's name",
                       [](const std::string& text) { return http::is_token(text); }));
  s.secret("keys", &O::keys, "", Reload::restart,
           "What it is signed with, 32 bytes or more each: the first signs, all open. The same on "
           "every node. Empty: one that is made and kept in the state directory.");
  s.check([](const O& o) -> Result<> {
    if (o.keys.empty()) return {};
    if (auto made = auth::Signer::make(o.keys); !made) return pass(made, "keys");
    return {};
  });
  return s;
}

Section<RouteCompressOptions> route_compress_section() {
  using O = RouteCompressOptions;
  Section<O> s("compress",
               "Compression of the route's answers, where it is not as in edge.compress.");
  s.setting("enabled", &O::enabled, "", Reload::live, "Overrides edge.compress.enabled.");
  s.setting("least", &O::least, "", Reload::live, "Overrides edge.compress.least.");
  s.setting("personal", &O::personal, "", Reload::live, "Overrides edge.compress.personal.");
  s.setting("plain_from_app", &O::plain_from_app, "", Reload::live,
            "Overrides edge.compress.plain_from_app.");
  return s;
}

Section<CompressOptions> compress_section() {
  using O = CompressOptions;
  Section<O> s("compress",
               "Content codings (gzip, br, zstd) for clients that accept them, where the app has "
               "not encoded its answer.");
  s.setting("enabled", &O::enabled, "true", Reload::live, "Whether answers are encoded.");
  s.setting("codings", &O::codings, "zstd,br,gzip", Reload::live,
            "Those used, best first: the order decides where a client accepts several equally.",
            kCoding);
  s.setting("least", &O::least, "1KiB", Reload::live,
            "Bodies known to be smaller go out as they are.");
  s.setting("types", &O::types, "", Reload::live,
            "Media types that shrink, besides text, JSON, XML, JavaScript, SVG and their kin: "
            "application/x-thing.");
  s.setting("personal", &O::personal, "guarded", Reload::live,
            "Answers to requests with cookies or a browser's own credentials, and those with "
            "Set-Cookie (BREACH): guarded (plain where another site asks, of random size where "
            "that cannot be told), off (plain), on (as all others).");
  s.setting("plain_from_app", &O::plain_from_app, "false", Reload::live,
            "Whether the app is asked for plain answers only, so that encoding is never its work.");
  s.setting("gzip_level", &O::gzip_level, "1", Reload::restart, "While a client waits.",
            between(1, 12));
  s.setting("br_level", &O::br_level, "3", Reload::restart, "While a client waits.", between(0, 9));
  s.setting("zstd_level", &O::zstd_level, "1", Reload::restart, "While a client waits.",
            between(1, 19));
  s.setting("stored_gzip_level", &O::stored_gzip_level, "9", Reload::restart,
            "For cached answers, once, in the background.", between(1, 12));
  s.setting("stored_br_level", &O::stored_br_level, "6", Reload::restart,
            "For cached answers, once, in the background.", between(0, 9));
  s.setting("stored_zstd_level", &O::stored_zstd_level, "9", Reload::restart,
            "For cached answers, once, in the background.", between(1, 19));
  s.setting("stored_limit", &O::stored_limit, "8MiB", Reload::restart,
            "The largest cached answer that is encoded in the background; larger ones are encoded "
            "each time, as they are sent.",
            between(Bytes{0}, Bytes::mib(256)));
  s.setting("streams", &O::streams, "128", Reload::restart,
            "Answers that each worker encodes as streams at a time; beyond it they go out plain.",
            between(0, 65536));
  s.check([](const O& o) -> Result<void> {
    const std::vector<std::string_view> names(o.codings.begin(), o.codings.end());
    auto known = coding::Preference::of(names);
    return known ? Result<void>() : fail(Errc::invalid, "codings: " + known.error().message);
  });
  return s;
}

Result<void> check_upstream(const UpstreamOptions& o) {
  if (o.balance == Balance::hash && o.hash_by.empty())
    return fail(Errc::invalid, "balance = \"hash\" needs hash_by");
  return {};
}

Result<void> check_warm(const EdgeOptions& o) {
  std::size_t requests = 0;
  for (const WarmOptions& each : o.warm) {
    const auto made = warm_requests(each);
    requests += made ? made->size() : 0;
  }
  if (requests > kMostWarmRequests) return fail(Errc::invalid, "warm: more than 10000 requests");
  return {};
}

Section<PaginationOptions> pagination_section() {
  Section<PaginationOptions> s("pagination",
                               "Pagination of the route's lists: Link headers and remembered "
                               "totals, where the app sends none.");
  s.setting("enabled", &PaginationOptions::enabled, "false", Reload::live,
            "Whether answers get them.");
  s.setting("page", &PaginationOptions::page, "page", Reload::live,
            "The query field that holds the page's number, from 1; empty: only offset.");
  s.setting("offset", &PaginationOptions::offset, "offset", Reload::live,
            "The one that holds the first item's number, from 0.");
  s.setting("limit", &PaginationOptions::limit, "limit", Reload::live,
            "The one that holds how many items a page has.");
  s.setting("default_limit", &PaginationOptions::default_limit, "0", Reload::live,
            "How many it has where the request does not say; 0: such requests are no pages.",
            between(0, 1000000));
  s.setting("total_header", &PaginationOptions::total_header, "X-Total-Count", Reload::live,
            "The header by which the app says how many items there are, and clients are told; "
            "empty: none.",
            kFieldName);
  s.setting("count_path", &PaginationOptions::count_path, "", Reload::live,
            "Asked for the total, with the list's own query, where answers do not say it.",
            kPathOrNothing);
  s.setting("count_field", &PaginationOptions::count_field, "count", Reload::live,
            "The member of count_path's JSON object; a bare number and total_header serve too.");
  s.setting("total_ttl", &PaginationOptions::total_ttl, "2m", Reload::live,
            "How long a total is remembered.", between(1s, 86400s));
  return s;
}

}  // namespace

const Section<UpstreamOptions>& upstream_section() {
  static const auto section = [] {
    Section<UpstreamOptions> s("upstreams",
                               "A group of servers that can each answer the same requests.");
    s.required("name", &UpstreamOptions::name, Reload::live, "What routes call the group.");
    s.required("servers", &UpstreamOptions::servers, Reload::live, "Its servers, at most 64.",
               kServer);
    s.setting("balance", &UpstreamOptions::balance, "least_connections", Reload::live,
              "How a server is chosen.");
    s.setting("hash_by", &UpstreamOptions::hash_by, "address", Reload::live,
              "What balance = \"hash\" goes by.", kHashBy);
    s.setting("max_fails", &UpstreamOptions::max_fails, "3", Reload::live,
              "Failures within fail_timeout that take a server out; 0: none do.", between(0, 1000));
    s.setting("fail_timeout", &UpstreamOptions::fail_timeout, "30s", Reload::live,
              "The time failures are counted in, and for which a server is taken out; doubled each "
              "time in a row.",
              between(100ms, 3600s));
    s.setting("max_fail_timeout", &UpstreamOptions::max_fail_timeout, "5m", Reload::live,
              "The longest a server is taken out.");
    s.setting("max_ejected", &UpstreamOptions::max_ejected, "0.67", Reload::live,
              "The share of a group that failures may take out.", between(0.0, 1.0));
    s.setting("keep_alive", &UpstreamOptions::keep_alive, "32", Reload::live,
              "Idle connections kept to each server by each worker.", between(0, 10000));
    s.setting("keep_alive_timeout", &UpstreamOptions::keep_alive_timeout, "60s", Reload::live,
              "How long an idle connection is kept.");
    s.setting("max_connections", &UpstreamOptions::max_connections, "0", Reload::live,
              "Requests each server gets at once; 0: any number.", between(0, 1000000));
    s.setting("queue", &UpstreamOptions::queue, "1000", Reload::live,
              "Requests that may wait for a place.", between(0, 100000));
    s.setting("queue_timeout", &UpstreamOptions::queue_timeout, "5s", Reload::live,
              "How long a request may wait for a place.");
    s.setting("connect_timeout", &UpstreamOptions::connect_timeout, "5s", Reload::live,
              "How long connecting may take, TLS included.", between(1ms, 600s));
    s.setting("first_byte_timeout", &UpstreamOptions::first_byte_timeout, "60s", Reload::live,
              "How long a server may think.", between(1ms, 86400s));
    s.setting("idle_timeout", &UpstreamOptions::idle_timeout, "60s", Reload::live,
              "How long a server may pause in its answer, or not take the request.",
              between(1ms, 86400s));
    s.setting("slow_start", &UpstreamOptions::slow_start, "10s", Reload::live,
              "Over which time a server that has come back gets its full share.");
    s.setting("retries", &UpstreamOptions::retries, "2", Reload::live,
              "Other servers a failed request may be sent to.", between(0, 10));
    s.setting("retry_budget", &UpstreamOptions::retry_budget, "0.2", Reload::live,
              "Requests sent again, as a share of all (connections refused do not count).",
              between(0.0, 10.0));
    s.setting(
        "host", &UpstreamOptions::host, "preserve", Reload::live,
        "The Host servers see: preserve (the client's), upstream (the server's own), or a name.");
    s.setting("proxy_protocol", &UpstreamOptions::proxy_protocol, "off", Reload::live,
              "The PROXY header sent to servers; with one, connections are not kept.");
    s.setting("adaptive", &UpstreamOptions::adaptive, "true", Reload::live,
              "Whether the limit of requests in flight is learnt from answer times.");
    s.setting("max_in_flight", &UpstreamOptions::max_in_flight, "0", Reload::live,
              "The most requests in flight to the group; 0: only the learnt limit.");
    s.section("health", &UpstreamOptions::health, health_section());
    s.section("tls", &UpstreamOptions::tls, upstream_tls_section());
    s.check(check_upstream);
    return s;
  }();
  return section;
}

const Section<RouteOptions>& route_section() {
  static const auto section = [] {
    Section<RouteOptions> s("routes",
                            "Which requests go where, and what is done to them on the way. The "
                            "most specific host, then the longest path wins.");
    s.setting("name", &RouteOptions::name, "", Reload::live,
              "What metrics call the route; empty: host and path.");
    s.setting("host", &RouteOptions::host, "", Reload::live,
              "example.org, *.example.org, or empty for every host.");
    s.setting("path", &RouteOptions::path, "/", Reload::live, "A prefix of whole segments.", kPath);
    s.setting("upstream", &RouteOptions::upstream, "", Reload::live,
              "The group that answers; empty: the first.");
    s.setting("priority", &RouteOptions::priority, "normal", Reload::live,
              "Who is turned away last when there is too much.");
    s.setting("body_limit", &RouteOptions::body_limit, "", Reload::live,
              "Overrides edge.body_limit; 0: any size.");
    s.setting("first_byte_timeout", &RouteOptions::first_byte_timeout, "", Reload::live,
              "Overrides the group's.");
    s.setting("idle_timeout", &RouteOptions::idle_timeout, "", Reload::live,
              "Overrides the group's.");
    s.setting("retries", &RouteOptions::retries, "", Reload::live, "Overrides the group's.");
    s.setting("redirect_https", &RouteOptions::redirect_https, "false", Reload::live,
              "Whether plain requests are sent to the TLS door.");
    s.setting("hsts", &RouteOptions::hsts, "0", Reload::live,
              "max-age of Strict-Transport-Security on TLS answers; 0: none.");
    s.setting("redirect", &RouteOptions::redirect, "", Reload::live,
              "\"308 https://example.org{uri}\": answers with a redirect; {uri}, {path}, {query}, "
              "{host}.");
    s.setting("strip_prefix", &RouteOptions::strip_prefix, "", Reload::live,
              "Taken off the front of the path.", kPathOrNothing);
    s.setting("add_prefix", &RouteOptions::add_prefix, "", Reload::live, "Put before the path.",
              kPathOrNothing);
    s.setting("set_request_headers", &RouteOptions::set_request_headers, "", Reload::live,
              "Headers for the server; {client_ip}, {request_id}, {host}, {scheme}.");
    s.setting("remove_request_headers", &RouteOptions::remove_request_headers, "", Reload::live,
              "Headers the server does not get.");
    s.setting("set_response_headers", &RouteOptions::set_response_headers, "", Reload::live,
              "Headers for the client.");
    s.setting("remove_response_headers", &RouteOptions::remove_response_headers, "", Reload::live,
              "Headers the client does not get.");
    s.section("cors", &RouteOptions::cors, cors_section());
    s.section("pagination", &RouteOptions::pagination, pagination_section());
    s.section("cache", &RouteOptions::cache, route_cache_section());
    s.section("compress", &RouteOptions::compress, route_compress_section());
    s.setting("etags", &RouteOptions::etags, "", Reload::live, "Overrides edge.etags.");
    return s;
  }();
  return section;
}

const Section<EdgeOptions>& edge_section() {
  static const auto section = [] {
    Section<EdgeOptions> s("edge", "The HTTP proxy in front of the app.");
    s.setting("enabled", &EdgeOptions::enabled, "true", Reload::restart, "Whether the room is on.");
    s.setting("listen", &EdgeOptions::listen, ":8080", Reload::restart, "Where clients connect.");
    s.section("tls", &EdgeOptions::tls, tls_section());
    s.section("batch", &EdgeOptions::batch, batch_section());
    s.setting("app", &EdgeOptions::app, "", Reload::live,
              "Servers of the group \"app\", which gets what no route takes (--app).", kServer);
    s.setting("trusted_proxies", &EdgeOptions::trusted_proxies, "", Reload::live,
              "Networks whose X-Forwarded-*, X-Request-Id and PROXY headers are believed.");
    s.setting("proxy_protocol", &EdgeOptions::proxy_protocol, "false", Reload::live,
              "Whether every connection begins with a PROXY header (v1 or v2); its address is "
              "believed from trusted_proxies.");
    s.setting("max_connections", &EdgeOptions::max_connections, "16000", Reload::live,
              "Client connections at once; 0: any number.");
    s.setting("max_connections_per_address", &EdgeOptions::max_connections_per_address, "0",
              Reload::live, "The same for one address (IPv6: one /64); 0: any number.");
    s.setting("header_timeout", &EdgeOptions::header_timeout, "10s", Reload::live,
              "How long a request's head may take.", between(10ms, 600s));
    s.setting("keep_alive_timeout", &EdgeOptions::keep_alive_timeout, "75s", Reload::live,
              "How long a connection may wait for its next request.", between(100ms, 86400s));
    s.setting("body_timeout", &EdgeOptions::body_timeout, "30s", Reload::live,
              "How long a request's body may pause.", between(10ms, 3600s));
    s.setting("body_rate", &EdgeOptions::body_rate, "240B", Reload::live,
              "The least a request's body must bring each second on average; 0: anything.");
    s.setting("write_timeout", &EdgeOptions::write_timeout, "60s", Reload::live,
              "How long a client may take nothing of its answer.", between(10ms, 3600s));
    s.setting("upgrade_idle_timeout", &EdgeOptions::upgrade_idle_timeout, "5m", Reload::live,
              "How long an upgraded connection (WebSocket) may be silent.", between(100ms, 86400s));
    s.setting("head_limit", &EdgeOptions::head_limit, "32KiB", Reload::live,
              "The largest head of a request or an answer.", between(Bytes::kib(1), Bytes::mib(1)));
    s.setting("line_limit", &EdgeOptions::line_limit, "8KiB", Reload::live,
              "The longest request line.", between(Bytes{64}, Bytes::mib(1)));
    s.setting("field_limit", &EdgeOptions::field_limit, "100", Reload::live,
              "The most header fields.", between(1, 10000));
    s.setting("body_limit", &EdgeOptions::body_limit, "10MiB", Reload::live,
              "The largest request body; 0: any size.");
    s.setting("body_buffer", &EdgeOptions::body_buffer, "64KiB", Reload::live,
              "Bodies of announced size up to this are read whole before a server is taken.",
              between(Bytes{0}, Bytes::mib(16)));
    s.section("cache", &EdgeOptions::cache, edge_cache_section());
    s.section("session", &EdgeOptions::session, session_section());
    s.section("cdn", &EdgeOptions::cdn, cdn_section());
    s.section("warming", &EdgeOptions::warming, warming_section());
    s.list("warm", &EdgeOptions::warm, warm_section(), Reload::live);
    s.section("compress", &EdgeOptions::compress, compress_section());
    s.setting("etags", &EdgeOptions::etags, "true", Reload::live,
              "Whether answers to GET get an ETag, made from their content, where the app sends "
              "neither it nor Last-Modified; up to 64 KiB.");
    s.setting("access_log", &EdgeOptions::access_log, "0", Reload::live,
              "The share of requests logged as JSON lines on standard output: 0 none, 1 all.",
              between(0.0, 1.0));
    s.list("upstreams", &EdgeOptions::upstreams, upstream_section(), Reload::live);
    s.list("routes", &EdgeOptions::routes, route_section(), Reload::live);
    s.check(check_warm);
    s.alias("NGINX_WORKER_CONNECTIONS", "max_connections");
    s.alias("ENABLE_COMPRESSION", "compress.enabled");
    return s;
  }();
  return section;
}

}  // namespace headroom::edge
