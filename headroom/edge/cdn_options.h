// headroom/edge/cdn_options.h - the CDN in front of the edge: settings, and what they come to.
#pragma once

#include <memory>
#include <string>

#include "headroom/base/clock.h"
#include "headroom/config/section.h"
#include "headroom/net/tls.h"

namespace headroom::edge {

enum class CdnProvider : std::uint8_t { off, cloudflare, cloudfront, other };
inline constexpr std::array<config::Choice<CdnProvider>, 4> kCdnProviders{
    {{"off", CdnProvider::off},
     {"cloudflare", CdnProvider::cloudflare},
     {"cloudfront", CdnProvider::cloudfront},
     {"other", CdnProvider::other}}};
constexpr const auto& setting_choices(CdnProvider) { return kCdnProviders; }

enum class CdnPlan : std::uint8_t { free, pro, business, enterprise };
inline constexpr std::array<config::Choice<CdnPlan>, 4> kCdnPlans{
    {{"free", CdnPlan::free},
     {"pro", CdnPlan::pro},
     {"business", CdnPlan::business},
     {"enterprise", CdnPlan::enterprise}}};
constexpr const auto& setting_choices(CdnPlan) { return kCdnPlans; }

// [edge.cdn]
struct CdnOptions {
  CdnProvider provider{};
  std::string zone;        // Cloudflare: the zone's id; CloudFront: the distribution's
  std::string token;       // Cloudflare
  std::string access_key;  // CloudFront
  std::string secret_key;
  std::string session_token;
  CdnPlan plan{};
  std::string base_url;  // empty: the provider's
  std::string ca;
  std::string tag_header;
  Duration delay{};
  Duration timeout{};
  std::uint32_t queue = 0;
  [[nodiscard]] bool purges() const {
    return provider == CdnProvider::cloudflare || provider == CdnProvider::cloudfront;
  }
};

[[nodiscard]] const config::Section<CdnOptions>& cdn_section();

// Where a provider's API is.
struct CdnAddress {
  std::string host;  // without brackets
  std::uint16_t port = 443;
  std::string authority;  // for Host
  std::string path;       // without a slash at its end
};
// Of base_url or the provider's own. Errc::invalid.
[[nodiscard]] Result<CdnAddress> cdn_address(const CdnOptions& options);

struct CdnSettings {
  CdnOptions options;
  CdnAddress address;
  std::shared_ptr<const net::TlsClient> tls;
};
// Reads the CA's file. Null: nothing is to be purged. Errc::invalid.
[[nodiscard]] Result<std::shared_ptr<const CdnSettings>> load_cdn(const CdnOptions& options,
                                                                  std::size_t workers);

}  // namespace headroom::edge
