#include "headroom/edge/cdn_provider.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/auth/sigv4.h"
#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"

namespace headroom::edge {
namespace {

constexpr Duration kMostWait = 600s;
constexpr std::size_t kMostWhy = 200;

// "example.org/shop/x?y" as a prefix that Cloudflare knows: whole segments, no query, no slash at the end.
std::string by_segments(std::string_view prefix) {
  prefix = prefix.substr(0, prefix.find('?'));
  return std::string(prefix.substr(0, prefix.rfind('/')));
}

std::string cloudflare_body(const PurgeBatch& batch) {
  std::string body;
  json::Writer out(body);
  out.begin_object();
  switch (batch.kind) {
    case PurgeKind::everything: out.field("purge_everything", true); break;
    case PurgeKind::tag: out.key("tags").value(batch.names); break;
    case PurgeKind::url: {
      // Its cache tells the schemes apart, and how clients came to it is not known here.
      out.key("files").begin_array();
      for (const std::string& name : batch.names)
        out.value("https://" + name).value("http://" + name);
      out.end_array();
      break;
    }
    case PurgeKind::prefix: {
      std::set<std::string> prefixes;
      for (const std::string& name : batch.names) prefixes.insert(by_segments(name));
      out.key("prefixes").value(std::vector<std::string>(prefixes.begin(), prefixes.end()));
      break;
    }
  }
  out.end_object();
  return body;
}

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&apos;"; break;
      default: out += c;
    }
  }
  return out;
}

// The path of "example.org/shop"; a star of its own is no wildcard.
std::string path_of(std::string_view name) {
  std::string path;
  for (const char c : name.substr(std::min(name.find('/'), name.size()))) {
    if (c == '*') {
      path += "%2A";
    } else if (c > ' ' && c < 0x7f) {
      path += c;
    } else {
      path += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return path;
}

std::vector<std::string> cloudfront_paths(const PurgeBatch& batch) {
  if (batch.kind == PurgeKind::everything) return {"/*"};
  std::set<std::string> paths;
  for (const std::string& name : batch.names) {
    if (batch.kind == PurgeKind::tag) paths.insert("#" + name);
    if (batch.kind == PurgeKind::url) paths.insert(path_of(name));
    if (batch.kind == PurgeKind::prefix) paths.insert(path_of(name) + "*");
  }
  if (batch.kind == PurgeKind::tag) paths.insert("#" + std::string(kMoreTags));
  return {paths.begin(), paths.end()};
}

std::string cloudfront_body(const PurgeBatch& batch, std::string_view reference) {
  const auto paths = cloudfront_paths(batch);
  std::string body =
      R"(<?xml version="1.0" encoding="UTF-8"?><InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>)";
  body += fmt::format("{}</Quantity><Items>", paths.size());
  for (const std::string& path : paths) body.append("<Path>").append(xml(path)).append("</Path>");
  return body.append("</Items></Paths><CallerReference>")
      .append(xml(reference))
      .append("</CallerReference></InvalidationBatch>");
}

// What an answer says went wrong, as one short line.
std::string reason_of(const CdnAnswer& answer, std::string_view text) {
  std::string why = fmt::format("status {}", answer.status);
  if (!text.empty()) why.append(": ");
  for (const char c : text.substr(0, kMostWhy)) why += c >= ' ' && c < 0x7f ? c : '?';
  return why;
}

std::string_view element(std::string_view body, std::string_view name) {
  const std::string open = fmt::format("<{}>", name);
  const std::size_t from = body.find(open);
  if (from == std::string_view::npos) return {};
  const std::string_view rest = body.substr(from + open.size());
  return rest.substr(0, rest.find('<'));
}

Duration wait_of(std::string_view retry_after) {
  const auto whole = text::to_u64(text::trimmed(retry_after));
  return whole ? std::min<Duration>(std::chrono::seconds(std::min<std::uint64_t>(*whole, 86400)),
                                    kMostWait)
               : Duration{};
}

struct CloudflareSays {
  bool success = false;
  std::string why;
};
CloudflareSays cloudflare_says(std::string_view body) {
  CloudflareSays says;
  auto document = json::parse(body);
  if (!document) return says;
  if (const auto success = document->root().find("success"))
    says.success = success->boolean().value_or(false);
  const auto errors = document->root().find("errors");
  if (errors && errors->size() > 0) {
    if (const auto message = errors->item(0).find("message"))
      says.why = message->string().value_or("");
  }
  return says;
}

}  // namespace

CdnRequest cdn_request(const CdnSettings& settings, const PurgeBatch& batch,
                       std::int64_t unix_seconds, std::string_view reference) {
  const CdnOptions& options = settings.options;
  if (options.provider == CdnProvider::cloudflare) {
    return {.target = fmt::format("{}/zones/{}/purge_cache", settings.address.path, options.zone),
            .fields = {{"Authorization", "Bearer " + options.token},
                       {"Content-Type", "application/json"}},
            .body = cloudflare_body(batch)};
  }
  CdnRequest made{.target = fmt::format("{}/2020-05-31/distribution/{}/invalidation",
                                        settings.address.path, options.zone),
                  .fields = {{"Content-Type", "text/xml"}},
                  .body = cloudfront_body(batch, reference)};
  const auto added = auth::sign({.method = "POST",
                                 .host = settings.address.authority,
                                 .path = made.target,
                                 .service = "cloudfront",
                                 .region = "us-east-1",  // of the global service
                                 .fields = made.fields,
                                 .body = made.body,
                                 .unix_seconds = unix_seconds},
                                {options.access_key, options.secret_key, options.session_token});
  made.fields.insert(made.fields.end(), added.begin(), added.end());
  return made;
}

std::size_t most_names(const CdnOptions& options, PurgeKind kind) {
  if (options.provider == CdnProvider::cloudfront) {
    if (kind == PurgeKind::prefix) return 15;
    return kind == PurgeKind::tag ? 2999 : 3000;
  }
  if (kind != PurgeKind::url) return 100;
  return (options.plan == CdnPlan::enterprise ? 500 : 100) / 2;  // each by both schemes
}

CdnVerdict judge(const CdnOptions& options, const CdnAnswer& answer) {
  using Kind = CdnVerdict::Kind;
  const unsigned status = answer.status;
  std::string said;
  bool busy = status == 429 || status >= 500;
  if (options.provider == CdnProvider::cloudflare) {
    auto says = cloudflare_says(answer.body);
    if (status / 100 == 2 && says.success) return {Kind::done, {}, {}};
    said = std::move(says.why);
    busy = busy || status / 100 == 2;
  } else {
    if (status / 100 == 2) return {Kind::done, {}, {}};
    const std::string_view code = element(answer.body, "Code");
    said = fmt::format("{} {}", code, element(answer.body, "Message"));
    busy = busy || code == "TooManyInvalidationsInProgress" || code.starts_with("Throttl");
  }
  // Who may not purge today may do so once a setting, a right or a clock is put right: what waits is not lost by it.
  const bool not_allowed = status == 401 || status == 403 || status == 404;
  const bool later = busy || not_allowed || status / 100 == 3 || status < 200;
  return {later ? Kind::later : Kind::refused, reason_of(answer, text::trimmed(said)),
          wait_of(answer.retry_after)};
}

CdnPace pace_of(const CdnOptions& options, PurgeKind kind) {
  if (options.provider == CdnProvider::cloudfront)
    return {1, 5};  // Amazon publishes no figure; a call invalidates thousands
  static constexpr std::array<CdnPace, 4> kRequests{{{5.0 / 60, 25}, {5, 25}, {10, 50}, {50, 500}}};
  static constexpr std::array<CdnPace, 4> kFiles{
      {{800, 800}, {1500, 1500}, {1500, 1500}, {3000, 3000}}};
  const auto plan = static_cast<std::size_t>(options.plan);
  return kind == PurgeKind::url ? kFiles[plan] : kRequests[plan];
}

}  // namespace headroom::edge
