#include "headroom/edge/cdn_options.h"

#include <algorithm>

#include "headroom/base/text.h"
#include "headroom/http/parser.h"
#include "headroom/http/writer.h"

namespace headroom::edge {
namespace {

using config::between;
using config::Reload;
using config::satisfying;
using config::Section;

const auto kId = satisfying("of letters, digits, - and _", [](const std::string& text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
});
const auto kToken = satisfying("without spaces or control characters", [](const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
});
const auto kHeader = satisfying("that is a header's name",
                                [](const std::string& text) { return http::is_token(text); });

Result<void> check(const CdnOptions& o) {
  if (!o.purges()) return {};
  if (o.zone.empty()) return fail(Errc::invalid, "the provider needs zone");
  if (o.provider == CdnProvider::cloudflare && o.token.empty())
    return fail(Errc::invalid, "cloudflare needs token");
  if (o.provider == CdnProvider::cloudfront && (o.access_key.empty() || o.secret_key.empty())) {
    return fail(Errc::invalid, "cloudfront needs access_key and secret_key");
  }
  auto address = cdn_address(o);
  return address ? Result<>{} : pass(address);
}

}  // namespace

Result<CdnAddress> cdn_address(const CdnOptions& options) {
  std::string_view url = options.base_url;
  if (url.empty())
    url = options.provider == CdnProvider::cloudfront ? "https://cloudfront.amazonaws.com"
                                                      : "https://api.cloudflare.com/client/v4";
  const auto wrong = [&] {
    return fail(Errc::invalid, "base_url: '" + std::string(url) + "' is no https:// URL");
  };
  if (!url.starts_with("https://")) return wrong();
  const std::string_view rest = url.substr(8);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  CdnAddress made;
  made.authority = rest.substr(0, slash);
  made.path = rest.substr(slash);
  while (made.path.ends_with('/')) made.path.pop_back();
  std::string_view host = made.authority;
  if (const auto colon = host.rfind(':');
      colon != std::string_view::npos && !host.substr(colon).contains(']')) {
    const auto port = text::to_u64(host.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return wrong();
    made.port = static_cast<std::uint16_t>(*port);
    host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  made.host = host;
  const bool good = !host.empty() && std::ranges::all_of(made.authority + made.path, [](char c) {
    return c > ' ' && c < 0x7f && !std::string_view("?#@\\").contains(c);
  });
  if (!good) return wrong();
  return made;
}

Result<std::shared_ptr<const CdnSettings>> load_cdn(const CdnOptions& options,
                                                    std::size_t workers) {
  if (!options.purges()) return std::shared_ptr<const CdnSettings>();
  auto address = cdn_address(options);
  if (!address) return pass(address, "edge.cdn");
  net::TlsClientOptions wanted;
  wanted.ca = options.ca;
  auto tls = net::TlsClient::make(wanted, workers);
  if (!tls) return fail(Errc::invalid, "edge.cdn.ca: " + tls.error().message);
  return std::make_shared<const CdnSettings>(
      CdnSettings{options, std::move(*address), std::move(*tls)});
}

const Section<CdnOptions>& cdn_section() {
  static const auto section = [] {
    using O = CdnOptions;
    Section<O> s("cdn", "The CDN in front: it is given tags, and told what is invalidated here.");
    s.setting("provider", &O::provider, "off", Reload::live,
              "Whose API is called; other: headers only.");
    s.setting("zone", &O::zone, "", Reload::live,
              "The id of Cloudflare's zone, or of CloudFront's distribution.", kId);
    s.secret("token", &O::token, "", Reload::live,
             "Cloudflare's API token, with the right to purge the zone.", kToken);
    s.setting("access_key", &O::access_key, "", Reload::live,
              "CloudFront: the access key's id, with cloudfront:CreateInvalidation.", kToken);
    s.secret("secret_key", &O::secret_key, "", Reload::live, "CloudFront: its secret.", kToken);
    s.secret("session_token", &O::session_token, "", Reload::live,
             "CloudFront: of temporary credentials.", kToken);
    s.setting("plan", &O::plan, "free", Reload::live,
              "Cloudflare's plan: it decides how often purges may be sent.");
    s.setting("base_url", &O::base_url, "", Reload::live,
              "Where the API is, https only; empty: the provider's own address.");
    s.setting("ca", &O::ca, "", Reload::live,
              "PEM file of the authorities to trust for it; empty: the system's.");
    s.setting("tag_header", &O::tag_header, "Cache-Tag", Reload::live,
              "The header by which the CDN is told an answer's tags (CloudFront: that of "
              "CacheTagConfig); Surrogate-Key and xkey have spaces between them, others commas.",
              kHeader);
    s.setting("delay", &O::delay, "500ms", Reload::live,
              "How long invalidations are collected before they are sent.", between(0s, 60s));
    s.setting("timeout", &O::timeout, "10s", Reload::live, "How long a call may take.",
              between(100ms, 300s));
    s.setting("queue", &O::queue, "10000", Reload::live,
              "Invalidations that may wait; beyond them everything is purged instead.",
              between(1, 1000000));
    s.check(check);
    return s;
  }();
  return section;
}

}  // namespace headroom::edge
