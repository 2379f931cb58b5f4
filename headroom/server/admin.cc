#include "headroom/server/admin.h"

#include <fmt/format.h>

#include "headroom/base/text.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"
#include "headroom/monitor/metrics.h"
#include "headroom/monitor/options.h"
#include "headroom/monitor/process.h"
#include "headroom/monitor/prometheus.h"
#include "headroom/server/ceilings.h"
#include "headroom/server/dashboard.h"
#include "headroom/server/openapi.h"
#include "headroom/server/report.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;

constexpr std::string_view kServerSchema =
    R"({"type":"object","required":["group","server"],"properties":{)"
    R"("group":{"type":"string"},"server":{"type":"string"}},)"
    R"("additionalProperties":false})";
constexpr std::string_view kTokenSchema =
    R"({"type":"object","required":["name","role"],"properties":{"name":{"type":"string"},)"
    R"("role":{"type":"string","enum":["viewer","operator","admin"]},)"
    R"("expires_in":{"type":"string","description":"A duration such as 30d."}},"additionalProperties":false})";

constexpr std::uint64_t kTopSubjects = 10;
constexpr std::uint64_t kMostTopSubjects = 100;

std::string_view code_of(const monitor::Verdict& verdict) {
  return verdict.yes ? "ok" : "unavailable";
}

// Probes read the status; people read the text.
Reply probe(const monitor::Verdict& verdict) {
  return {.status = verdict.yes ? 200U : 503U,
          .content_type = "text/plain; charset=utf-8",
          .body = verdict.yes ? "ok\n" : fmt::format("{}: {}\n", code_of(verdict), verdict.reason),
          .fields = {}};
}

Reply metrics_text(const Sources& sources, const Call& call) {
  if (!sources.metrics_enabled())
    return error_reply(404, "not_found", "[monitor] enabled is false");
  const monitor::TextFormat format = monitor::format_for(call.accept);
  return {.status = 200,
          .content_type = std::string(monitor::content_type(format)),
          .body = monitor::render(sources.registry, own_samples(sources), format),
          .fields = {}};
}

void write_process(json::Writer& out) {
  const monitor::ProcessUse use = monitor::read_process_use();
  out.key("process").begin_object();
  out.key("cpu_seconds").fixed(use.cpu_seconds, 3);
  out.field("resident_bytes", use.resident.count).field("threads", use.threads);
  out.field("open_descriptors", use.open_descriptors)
      .field("most_descriptors", use.most_descriptors);
  out.end_object();
}

Reply overview(const Sources& sources) {
  const edge::Summary summary = sources.summary();
  std::string body;
  json::Writer out(body);
  out.begin_object();
  out.field("version", kVersion).field("stage", monitor::to_string(sources.vitals.stage()));
  out.field("ready", sources.vitals.ready().yes)
      .field("state", monitor::to_string(sources.vitals.state()));
  out.key("uptime_seconds").fixed(seconds(elapsed(sources.started, Clock::now())), 3);
  out.field("workers", sources.registry.workers());
  out.key("requests").begin_object();
  out.field("total", summary.requests)
      .field("errors", summary.errors)
      .field("in_flight", summary.in_flight);
  out.key("error_rate").fixed(percentage(summary.errors, summary.requests), 3);
  out.key("per_second").fixed(sources.rates.over(10s).requests, 3);
  write_quantiles(out, "latency_ms", summary.total);
  out.end_object();
  out.field("connections", summary.connections);
  out.key("upstreams").begin_array();
  for (const edge::GroupStatus& group : sources.upstreams()) {
    const auto up = std::ranges::count(group.servers, "up", &edge::ServerStatus::state);
    out.begin_object()
        .field("name", group.name)
        .field("servers", group.servers.size())
        .field("up", up);
    out.field("in_flight", group.in_flight).field("queued", group.queued).end_object();
  }
  out.end_array();
  write_reports(out, "health", sources.vitals.reports());
  write_process(out);
  out.end_object();
  return json_reply(std::move(body));
}

Reply upstreams(const Sources& sources) {
  std::string body;
  json::Writer out(body);
  out.begin_object().key("groups").begin_array();
  for (const edge::GroupStatus& group : sources.upstreams()) write_group(out, group);
  out.end_array().end_object();
  return json_reply(std::move(body));
}

Reply routes(const Sources& sources) {
  std::string body;
  json::Writer out(body);
  out.begin_object().key("routes").begin_array();
  for (const edge::RouteStatus& route : sources.routes()) write_route(out, route);
  out.end_array().end_object();
  return json_reply(std::move(body));
}

// The sums count decisions of rules: a request that two rules let pass counts twice.
Reply limits(const Sources& sources, const Call& call) {
  const std::string asked = call.query_value("top");
  const auto top = asked.empty() ? std::optional(kTopSubjects) : text::to_u64(asked);
  if (!top || *top > kMostTopSubjects)
    return error_reply(400, "invalid", fmt::format("top: expected 0 to {}", kMostTopSubjects));
  std::string body;
  json::Writer out(body);
  std::uint64_t allowed = 0;
  std::uint64_t refused = 0;
  std::uint64_t shadow = 0;
  out.begin_object().key("rules").begin_array();
  for (const limit::RuleStatus& rule : sources.limits(static_cast<std::size_t>(*top))) {
    allowed += rule.allowed;
    refused += rule.refused;
    shadow += rule.shadow_refused;
    write_limit(out, rule);
  }
  out.end_array().key("totals").begin_object();
  out.field("allowed", allowed).field("refused", refused).field("shadow_refused", shadow);
  out.end_object().end_object();
  return json_reply(std::move(body));
}

enum class Drain : std::uint8_t { no, yes };

Reply drain(const Sources& sources, std::string_view group, std::string_view server, Drain drain) {
  auto done = sources.set_draining(group, server, drain == Drain::yes);
  if (!done) return error_reply(done.error());
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("group", group)
      .field("server", server)
      .field("draining", drain == Drain::yes)
      .end_object();
  return json_reply(std::move(body));
}

Reply drain_by_body(const Sources& sources, const Call& call, Drain wanted) {
  auto document = json::parse(call.body);
  if (!document) return error_reply(document.error());
  std::string group;
  std::string server;
  json::Reader in(document->root());
  in.required("group", group);
  in.required("server", server);
  if (auto read = in.finish(); !read) return error_reply(read.error());
  return drain(sources, group, server, wanted);
}

Reply reload(const Sources& sources) {
  auto changes = sources.reload();
  if (!changes) return error_reply(changes.error());
  std::string body;
  json::Writer out(body);
  bool restart = false;
  out.begin_object().key("changes").begin_array();
  for (const config::Change& change : *changes) {
    const bool live = change.reload == config::Reload::live;
    restart = restart || !live;
    out.begin_object()
        .field("name", change.path)
        .key("before")
        .raw(change.before)
        .key("after")
        .raw(change.after);
    out.field("applied", live).end_object();
  }
  out.end_array().field("restart_needed", restart).end_object();
  return json_reply(std::move(body));
}

void write_time(json::Writer& out, std::string_view name,
                const std::optional<auth::WallTime>& when) {
  out.key(name);
  if (when) {
    out.value(utc_text(*when));
  } else {
    out.null();
  }
}

Reply list_tokens(const Sources& sources) {
  auto store = sources.tokens();
  if (!store) return error_reply(store.error());
  auto records = (*store)->list();
  if (!records) return error_reply(records.error());
  std::string body;
  json::Writer out(body);
  out.begin_object().key("tokens").begin_array();
  for (const auth::TokenRecord& record : *records) {
    out.begin_object().field("name", record.name).field("role", auth::to_string(record.role));
    write_time(out, "created", record.created);
    write_time(out, "expires", record.expires);
    write_time(out, "revoked", record.revoked);
    write_time(out, "last_used", record.last_used);
    out.end_object();
  }
  out.end_array().end_object();
  return json_reply(std::move(body));
}

Result<auth::TokenRequest> token_request(const Call& call) {
  auto document = json::parse(call.body);
  if (!document) return pass(document);
  std::string role_text;
  std::optional<std::string> expires_in;
  auth::TokenRequest request;
  json::Reader in(document->root());
  in.required("name", request.name);
  in.required("role", role_text);
  in.optional("expires_in", expires_in);
  if (auto read = in.finish(); !read) return pass(read);
  auto role = auth::parse_role(role_text);
  if (!role) return pass(role, "field 'role'");
  request.role = *role;
  if (expires_in) {
    const auto life = config::Value<Duration>::parse(*expires_in);
    if (!life)
      return fail(Errc::invalid,
                  "field 'expires_in': expected " + config::Value<Duration>::accepted());
    request.expires = auth::wall_now() + std::chrono::duration_cast<std::chrono::seconds>(*life);
  }
  return request;
}

Reply create_token(const Sources& sources, const Call& call) {
  auto request = token_request(call);
  if (!request) return error_reply(request.error());
  auto store = sources.tokens();
  if (!store) return error_reply(store.error());
  auto plain = (*store)->create(*request, auth::wall_now());
  if (!plain) return error_reply(plain.error());
  sources.tokens_changed();
  std::string body;
  json::Writer out(body);
  out.begin_object().field("name", request->name).field("role", auth::to_string(request->role));
  write_time(out, "expires", request->expires);
  out.field("token", *plain).end_object();
  return json_reply(std::move(body), 201);
}

Reply revoke_token(const Sources& sources, const Call& call) {
  auto store = sources.tokens();
  if (!store) return error_reply(store.error());
  auto revoked = (*store)->revoke(call.parameter("name"), auth::wall_now());
  if (!revoked) return error_reply(revoked.error());
  sources.tokens_changed();
  std::string body;
  json::Writer out(body);
  out.begin_object().field("name", call.parameter("name")).field("revoked", true).end_object();
  return json_reply(std::move(body));
}

// For who asks for no HTML.
constexpr std::string_view kFirstPage =
    "Headroom's own address. Without a token: /livez /readyz /startupz /metrics /openapi.json\n"
    "With one (Authorization: Bearer ..., from `headroom token create --name N --role viewer`):\n"
    "/api/v1/overview /api/v1/upstreams /api/v1/routes; all paths are in /openapi.json.\n";

void add_probes(Api& api, const Sources& sources) {
  const std::string_view text = "text/plain";
  api.add({.path = "/livez",
           .role = Role::none,
           .run = Run::here,
           .tag = "health",
           .summary = "Whether every worker goes round; asks nothing else.",
           .content_type = text,
           .answer = [&](const Call&) { return probe(sources.vitals.live()); }});
  api.add({.path = "/readyz",
           .role = Role::none,
           .run = Run::here,
           .tag = "health",
           .summary = "Whether to send requests here: started, not draining, nothing failed.",
           .content_type = text,
           .answer = [&](const Call&) { return probe(sources.vitals.ready()); }});
  api.add({.path = "/startupz",
           .role = Role::none,
           .run = Run::here,
           .tag = "health",
           .summary = "Whether it has started.",
           .content_type = text,
           .answer = [&](const Call&) { return probe(sources.vitals.started()); }});
  api.add({.path = "/metrics",
           .role = Role::none,
           .tag = "metrics",
           .summary = "All metrics: Prometheus text, or OpenMetrics by Accept.",
           .content_type = text,
           .answer = [&](const Call& call) { return metrics_text(sources, call); }});
  api.add({.path = "/openapi.json",
           .role = Role::none,
           .tag = "api",
           .summary = "This document.",
           .answer = [&api](const Call&) { return json_reply(openapi(api.endpoints())); }});
}

void add_reading(Api& api, const Sources& sources) {
  api.add({.path = "/api/v1/overview",
           .tag = "overview",
           .summary = "Requests, errors, latency, health, in one answer.",
           .answer = [&](const Call&) { return overview(sources); }});
  api.add({.path = "/api/v1/routes",
           .tag = "edge",
           .summary = "Every route with its counts and four phases of latency.",
           .answer = [&](const Call&) { return routes(sources); }});
  api.add({.path = "/api/v1/upstreams",
           .tag = "edge",
           .summary = "Every group of servers, and how each server is.",
           .answer = [&](const Call&) { return upstreams(sources); }});
  api.add({.path = "/api/v1/limits",
           .tag = "limits",
           .summary = "Every rate limit: what it let pass and refused, its busiest subjects "
                      "(?top=10), what a shadow rule would refuse.",
           .answer = [&](const Call& call) { return limits(sources, call); }});
  api.add({.path = "/api/v1/config",
           .role = Role::admin,
           .run = Run::control,
           .tag = "settings",
           .summary = "Every setting with its value and where it comes from; secrets hidden.",
           .answer = [&](const Call&) { return json_reply(sources.settings()->to_json()); }});
  api.add({.path = "/api/v1/tokens",
           .role = Role::admin,
           .run = Run::control,
           .tag = "tokens",
           .summary = "Every token, without its text.",
           .answer = [&](const Call&) { return list_tokens(sources); }});
}

void add_changing(Api& api, const Sources& sources) {
  for (const auto& [verb, wanted] :
       {std::pair("drain", Drain::yes), std::pair("undrain", Drain::no)}) {
    const std::string_view summary =
        wanted == Drain::yes ? "Gives a server no new requests." : "Gives a server requests again.";
    api.add({.method = Method::post,
             .path = fmt::format("/api/v1/upstreams/{{group}}/{{server...}}/{}", verb),
             .role = Role::operator_,
             .run = Run::control,
             .tag = "edge",
             .summary = summary,
             .answer = [&sources, wanted](const Call& call) {
               return drain(sources, call.parameter("group"), call.parameter("server"), wanted);
             }});
    api.add({.method = Method::post,
             .path = fmt::format("/api/v1/upstreams/{}", verb),
             .role = Role::operator_,
             .run = Run::control,
             .tag = "edge",
             .summary = summary,
             .request_schema = kServerSchema,
             .answer = [&sources, wanted](const Call& call) {
               return drain_by_body(sources, call, wanted);
             }});
  }
  api.add({.method = Method::post,
           .path = "/api/v1/reload",
           .role = Role::admin,
           .run = Run::control,
           .tag = "settings",
           .summary = "Reads the settings again; tells what changed and what needs a restart.",
           .answer = [&](const Call&) { return reload(sources); }});
  api.add({.method = Method::post,
           .path = "/api/v1/tokens",
           .role = Role::admin,
           .run = Run::control,
           .tag = "tokens",
           .summary = "Makes a token; its text is in this answer and nowhere else.",
           .request_schema = kTokenSchema,
           .answer = [&](const Call& call) { return create_token(sources, call); }});
  api.add({.method = Method::delete_,
           .path = "/api/v1/tokens/{name}",
           .role = Role::admin,
           .run = Run::control,
           .tag = "tokens",
           .summary = "Revokes a token.",
           .answer = [&](const Call& call) { return revoke_token(sources, call); }});
}

}  // namespace

void add_admin_endpoints(Api& api, const Sources& sources) {
  add_dashboard(api, kFirstPage);
  add_probes(api, sources);
  add_reading(api, sources);
  add_changing(api, sources);
}

}  // namespace headroom::server
