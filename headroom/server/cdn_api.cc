#include "headroom/server/cdn_api.h"

#include "headroom/json/writer.h"
#include "headroom/server/report.h"

namespace headroom::server {
namespace {

http::Reply status_of(const Sources& sources) {
  const edge::CdnStatus now = sources.cdn ? sources.cdn() : edge::CdnStatus{};
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", now.provider.empty() ? "not_configured"
                       : now.failures > 0   ? "failing"
                                            : "ok")
      .key("provider");
  now.provider.empty() ? out.null() : out.value(now.provider);
  out.field("waiting", now.waiting)
      .field("told", now.told)
      .field("calls", now.calls)
      .field("refused", now.refused)
      .field("failures", now.failures)
      .key("last_told");
  now.last_told == 0
      ? out.null()
      : out.value(utc_text(std::chrono::sys_seconds(std::chrono::seconds(now.last_told))));
  out.key("last_error");
  now.last_error.empty() ? out.null() : out.value(now.last_error);
  out.end_object();
  return json_reply(std::move(body));
}

}  // namespace

void add_cdn_endpoints(Api& api, const Sources& sources) {
  api.add({.path = "/api/v1/cache/cdn",
           .run = Run::reading,
           .tag = "cache",
           .summary = "What the CDN in front has been told of invalidations.",
           .answer = [&sources](const Call&) { return status_of(sources); }});
}

}  // namespace headroom::server
