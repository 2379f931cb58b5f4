#include "headroom/edge/loaded.h"

#include "headroom/edge/doors.h"
#include "headroom/edge/edge.h"

namespace headroom::edge {
namespace {

net::TlsServerOptions tls_options(const TlsOptions& options) {
  net::TlsServerOptions made;
  if (!options.cert.empty()) made.certificates.push_back({options.cert, options.key});
  for (const CertificateOptions& more : options.certificates)
    made.certificates.push_back({more.cert, more.key});
  made.min_version = options.min_version == "1.3" ? net::TlsVersion::v1_3 : net::TlsVersion::v1_2;
  made.client_certificates = static_cast<net::TlsClientCertificates>(options.client_certificates);
  made.client_ca = options.client_ca;
  return made;
}

}  // namespace

std::shared_ptr<const http::ServerOptions> server_options(const EdgeOptions& options) {
  http::ServerOptions made;
  made.head = {options.head_limit.count, options.line_limit.count, options.field_limit};
  made.header_timeout = options.header_timeout;
  made.keep_alive_timeout = options.keep_alive_timeout;
  made.write_timeout = options.write_timeout;
  made.body_limit = 0;  // the route's
  made.body = {options.body_timeout, options.body_rate.count, options.header_timeout};
  made.accept_proxy_protocol = options.proxy_protocol;
  made.trusted_proxies = options.trusted_proxies;
  return std::make_shared<const http::ServerOptions>(made);
}

Result<std::shared_ptr<const net::TlsServer>> make_tls(
    const TlsOptions& options, std::size_t workers,
    const std::shared_ptr<const net::TlsTicketKeys>& keys) {
  if (!options.enabled()) return std::shared_ptr<const net::TlsServer>();
  auto made = net::TlsServer::make(tls_options(options), workers, keys);
  if (!made) return fail(Errc::invalid, "edge.tls: " + made.error().message);
  return made;
}

Result<Loaded> load(const LoadFrom& from, const View* before, metrics::Registry& registry) {
  if (auto good = check_doors(*from.options); !good) return pass(good);
  auto view = make_view(from.options, from.limits, from.cache, before, from.workers, registry);
  if (!view) return fail(Errc::invalid, view.error().message);
  auto tls = make_tls(from.options->tls, from.workers, from.keys);
  if (!tls) return pass(tls);
  auto cdn = load_cdn(from.options->cdn, from.workers);
  if (!cdn) return pass(cdn);
  return Loaded{std::move(*view), std::move(*tls), std::move(*cdn)};
}

Result<> validate(const std::shared_ptr<const EdgeOptions>& options,
                  const cache::CacheOptions& cache) {
  for (const RouteOptions& route : options->routes) {
    if (auto known = check_ttl_class(route.cache, cache); !known)
      return pass(known, "edge.routes '" + route.path + "'");
  }
  metrics::Registry registry(1);
  const auto keys = std::make_shared<const net::TlsTicketKeys>(net::TlsTicketKeys::fresh());
  if (!options->app.empty() || !options->upstreams.empty()) {
    auto loaded = load({.options = options, .keys = keys}, nullptr, registry);
    return loaded ? Result<>{} : pass(loaded);
  }
  if (auto good = check_doors(*options); !good) return good;  // the app is given elsewhere
  auto tls = make_tls(options->tls, 1, keys);
  if (!tls) return pass(tls);
  auto cdn = load_cdn(options->cdn, 1);
  return cdn ? Result<>{} : pass(cdn);
}

}  // namespace headroom::edge
