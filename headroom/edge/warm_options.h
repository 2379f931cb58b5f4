// headroom/edge/warm_options.h - what is fetched so that it lies in the cache: settings, and the requests they come to.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/config/section.h"
#include "headroom/edge/inner_client.h"

namespace headroom::edge {

// [[edge.warm]]
struct WarmOptions {
  std::vector<std::string> urls{};  // "https://shop.example.org/a", or "/a" of `origin`
  std::string origin{};             // "https://shop.example.org"
  std::map<std::string, std::string>
      headers{};  // "Accept-Language" = "de | en": one request for each
};

// [edge.warming]
struct WarmingOptions {
  bool at_start = true;
  std::uint32_t at_once = 0;
  Duration timeout{};
  std::uint32_t attempts = 0;
  Duration ready_after{};  // 0: /readyz does not wait
};

[[nodiscard]] const config::Section<WarmOptions>& warm_section();
[[nodiscard]] const config::Section<WarmingOptions>& warming_section();

// A GET as clients would send it.
struct WarmRequest {
  bool tls = false;
  std::string host;
  std::string target;
  FieldTexts fields;
  [[nodiscard]] std::string url() const { return (tls ? "https://" : "http://") + host + target; }
};

inline constexpr std::size_t kMostWarmRequests = 10000;

// Each URL with each combination of headers. Errc::invalid.
[[nodiscard]] Result<std::vector<WarmRequest>> warm_requests(const WarmOptions& options);

}  // namespace headroom::edge
