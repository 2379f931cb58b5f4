#include "headroom/server/warm_api.h"

#include "headroom/json/writer.h"
#include "headroom/server/report.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;

constexpr std::string_view kPath = "/api/v1/cache/warm";
constexpr std::array<std::string_view, 2> kSeedPaths{"/api/phase14/scalability/cache/warm",
                                                     "/api/v1/performance/scalability/warm-cache"};

std::string_view state_of(const edge::WarmStatus& status) {
  if (status.running) return "running";
  if (status.runs == 0) return status.total == 0 ? "not_configured" : "idle";
  return "done";
}

Reply written(const edge::WarmStatus& status, std::string_view state, std::string_view message,
              unsigned code) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", state);
  if (!message.empty()) out.field("message", message);
  out.field("runs", status.runs)
      .field("total", status.total)
      .field("done", status.done)
      .field("stored", status.stored);
  out.field("fresh", status.fresh)
      .field("not_stored", status.not_stored)
      .field("failed", status.failed);
  out.key("duration_s").fixed(seconds(status.took), 3).key("began");
  status.began == 0
      ? out.null()
      : out.value(utc_text(std::chrono::sys_seconds(std::chrono::seconds(status.began))));
  out.key("problems").begin_array();
  for (const auto& problem : status.problems) {
    out.begin_object()
        .field("url", problem.url)
        .field("outcome", problem.outcome)
        .field("why", problem.why)
        .end_object();
  }
  out.end_array().end_object();
  return json_reply(std::move(body), code);
}

Reply begin(const Sources& sources) {
  if (!sources.warm) return refused_as_not_configured("there is no edge");
  const auto begun = sources.warm();
  if (!begun && begun.error().code == Errc::not_found)
    return refused_as_not_configured(begun.error().message);
  if (!begun) return error_reply(begun.error());
  const edge::WarmStatus status = sources.warm_status();
  return *begun ? written(status, "started", "cache warming has begun", 202)
                : written(status, "running", "cache warming is under way", 202);
}

}  // namespace

void add_warm_endpoints(Api& api, const Sources& sources) {
  api.add({.method = Method::get,
           .path = std::string(kPath),
           .run = Run::reading,
           .tag = "cache",
           .summary = "How far the warming of the cache is, or how the last one went.",
           .answer = [&sources](const Call&) {
             const edge::WarmStatus status =
                 sources.warm_status ? sources.warm_status() : edge::WarmStatus{};
             return written(status, state_of(status), "", 200);
           }});
  const auto add = [&](std::string_view path, std::string_view summary, Place place) {
    api.add({.method = Method::post,
             .path = std::string(path),
             .role = Role::operator_,
             .run = Run::control,
             .tag = "cache",
             .summary = summary,
             .place = place,
             .answer = [&sources](const Call&) { return begin(sources); }});
  };
  add(kPath, "Fetches what [[edge.warm]] lists into the cache.", Place::admin);
  add(kSeedPaths[0], "A-Cube: warms the cache.", Place::admin_and_edge);
  add(kSeedPaths[1], "6FB: warms the cache.", Place::admin_and_edge);
}

std::vector<std::string> warm_seed_paths() { return {kSeedPaths.begin(), kSeedPaths.end()}; }

}  // namespace headroom::server
