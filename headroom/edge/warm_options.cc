#include "headroom/edge/warm_options.h"

#include <algorithm>

#include "headroom/base/text.h"
#include "headroom/http/parser.h"
#include "headroom/http/writer.h"

namespace headroom::edge {

using config::between;
using config::Reload;
using config::Section;

namespace {

bool is_host(std::string_view host) {
  return !host.empty() && std::ranges::all_of(host, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._:[]").contains(c);
  });
}

bool is_target(std::string_view target) {
  return target.starts_with('/') && !target.contains('#') &&
         std::ranges::all_of(target, [](char c) { return c > ' ' && c < 0x7f; });
}

// "https://shop.example.org/a" as its parts; the target of a bare origin is "/".
Result<WarmRequest> split_url(std::string_view url) {
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://"))
    return fail(Errc::invalid, "'" + std::string(url) + "' is no http:// or https:// URL");
  const std::string_view rest = url.substr(tls ? 8 : 7);
  const std::size_t slash = std::min(rest.find_first_of("/?"), rest.size());
  WarmRequest made{.tls = tls,
                   .host = text::lowered(rest.substr(0, slash)),
                   .target = std::string(rest.substr(slash)),
                   .fields = {}};
  if (!made.target.starts_with('/')) made.target.insert(made.target.begin(), '/');
  if (!is_host(made.host) || !is_target(made.target))
    return fail(Errc::invalid, "'" + std::string(url) + "' is no http:// or https:// URL");
  return made;
}

Result<WarmRequest> request_of(std::string_view url, const std::string& origin) {
  if (!url.starts_with('/')) return split_url(url);
  if (origin.empty())
    return fail(Errc::invalid, "the path '" + std::string(url) +
                                   "' needs origin, such as https://shop.example.org");
  auto made = split_url(origin);
  if (!made) return pass(made, "origin");
  if (made->target != "/") return fail(Errc::invalid, "origin: '" + origin + "' has a path");
  if (!is_target(url)) return fail(Errc::invalid, "'" + std::string(url) + "' is no path of a URL");
  made->target = url;
  return made;
}

bool is_ours(std::string_view name) {
  static constexpr std::array<std::string_view, 7> kOurs{
      "host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "range"};
  return std::ranges::any_of(
      kOurs, [&](std::string_view known) { return text::equal_ignoring_case(known, name); });
}

// All combinations of the headers' alternatives.
Result<std::vector<FieldTexts>> variants_of(const std::map<std::string, std::string>& headers) {
  std::vector<FieldTexts> variants(1);
  for (const auto& [name, values] : headers) {
    if (!http::is_token(name) || is_ours(name))
      return fail(Errc::invalid, "headers: '" + name + "' cannot be set");
    std::vector<FieldTexts> longer;
    for (const std::string_view value : text::split(values, '|')) {
      if (!http::is_field_value(text::trimmed(value)))
        return fail(Errc::invalid, "headers: " + name + " holds a control character");
      for (const FieldTexts& variant : variants)
        longer.emplace_back(variant).emplace_back(name, text::trimmed(value));
    }
    if (longer.size() > kMostWarmRequests)
      return fail(Errc::invalid, "headers: more than 10000 combinations");
    variants = std::move(longer);
  }
  return variants;
}

}  // namespace

Result<std::vector<WarmRequest>> warm_requests(const WarmOptions& options) {
  auto variants = variants_of(options.headers);
  if (!variants) return pass(variants);
  if (options.urls.size() * variants->size() > kMostWarmRequests)
    return fail(Errc::invalid, "more than 10000 requests");
  std::vector<WarmRequest> made;
  for (const std::string& url : options.urls) {
    auto request = request_of(url, options.origin);
    if (!request) return pass(request);
    for (const FieldTexts& variant : *variants) {
      made.push_back(*request);
      made.back().fields = variant;
    }
  }
  return made;
}

const Section<WarmOptions>& warm_section() {
  static const auto section = [] {
    using O = WarmOptions;
    Section<O> s("warm",
                 "Requests whose answers are fetched into the cache at start and by POST "
                 "/api/v1/cache/warm, with GET.");
    s.required("urls", &O::urls, Reload::live,
               "What is asked for, as clients ask: \"https://shop.example.org/catalogue\", or a "
               "path of origin.");
    s.setting("origin", &O::origin, "", Reload::live,
              "Scheme and host of paths: \"https://shop.example.org\".");
    s.setting("headers", &O::headers, "", Reload::live,
              "Headers of each request; \"de | en\" stands for one request with each.");
    s.check([](const O& o) -> Result<void> {
      auto made = warm_requests(o);
      return made ? Result<>{} : pass(made);
    });
    return s;
  }();
  return section;
}

const Section<WarmingOptions>& warming_section() {
  static const auto section = [] {
    using O = WarmingOptions;
    Section<O> s("warming", "How the requests of [[edge.warm]] are sent.");
    s.setting("at_start", &O::at_start, "true", Reload::live,
              "Whether they are sent when the process starts.");
    s.setting("at_once", &O::at_once, "4", Reload::live, "How many run side by side.",
              between(1, 256));
    s.setting("timeout", &O::timeout, "30s", Reload::live, "How long each may take.",
              between(100ms, 3600s));
    s.setting("attempts", &O::attempts, "3", Reload::live,
              "How often one is sent that fails (no answer, 429, 502, 503, 504), a second apart, "
              "then two, and so on.",
              between(1, 10));
    s.setting("ready_after", &O::ready_after, "0", Reload::live,
              "How long /readyz says no at most, until the warming at start is done; 0: it does "
              "not wait.",
              between(0s, 3600s));
    return s;
  }();
  return section;
}

}  // namespace headroom::edge
