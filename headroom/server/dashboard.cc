#include "headroom/server/dashboard.h"

#include <fmt/format.h>

#include "headroom/json/json.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;

// Nothing from elsewhere, nothing inline, in nobody's frame.
constexpr std::string_view kPolicy =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src "
    "'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'\r\nReferrer-Policy: "
    "no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n";
constexpr std::string_view kSignInSchema =
    R"({"type":"object","required":["token"],"properties":{"token":{"type":"string","description":"from headroom token create, or a JWT"}},"additionalProperties":false})";

Reply serve_asset(const Asset& asset, const Call& call) {
  if (!call.accept_encoding.contains("gzip") && !call.accept_encoding.contains('*'))
    return error_reply(406, "not_acceptable",
                       "this file is kept gzipped: ask with Accept-Encoding: gzip");
  Reply reply{.status = 200,
              .content_type = std::string(asset.content_type),
              .body = std::string(asset.gzipped),
              .fields = std::string(kPolicy)};
  reply.fields += fmt::format(
      "Content-Encoding: gzip\r\nVary: Accept, Accept-Encoding\r\nCache-Control: no-cache\r\nETag: "
      "{}\r\n",
      asset.etag);
  return reply;
}

Reply first(std::string_view text, const Call& call) {
  const auto assets = dashboard_assets();
  const auto page = std::ranges::find(assets, "/", &Asset::path);
  const bool wanted = call.accept.contains("text/html") && call.accept_encoding.contains("gzip");
  if (page != assets.end() && wanted) return serve_asset(*page, call);
  return {200, "text/plain; charset=utf-8", std::string(text), "Vary: Accept, Accept-Encoding\r\n"};
}

std::string cookie(std::string_view value, std::int64_t age, const http::Exchange& exchange) {
  return fmt::format("Set-Cookie: {}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}\r\n",
                     auth::kSessionCookie, value, age, exchange.client().secure ? "; Secure" : "");
}

Reply who(const auth::Identity& identity, unsigned status = 200) {
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("name", identity.name)
      .field("role", auth::to_string(identity.role))
      .end_object();
  return json_reply(std::move(body), status);
}

net::Task<Reply> sign_in(Api& api, http::Exchange& exchange, const Call& call) {
  auto document = json::parse(call.body);
  if (!document) co_return error_reply(document.error());
  std::string token;
  json::Reader in(document->root());
  in.required("token", token);
  if (auto read = in.finish(); !read) co_return error_reply(read.error());
  co_await api.look_for(exchange, token);
  auto session = api.open_session(exchange, token);
  if (!session) co_return std::move(session.error());
  Reply reply = who(session->who, 201);
  reply.fields = cookie(session->cookie, session->life.count(), exchange);
  co_return reply;
}

// The browser keeps the cookie of a session that could not be ended, so that it can be tried again.
net::Task<Reply> sign_out(Api& api, http::Exchange& exchange) {
  auto ended = co_await api.end_session(exchange);
  if (!ended) co_return error_reply(ended.error());
  Reply reply = json_reply(R"({"status":"ok"})");
  reply.fields += cookie("", 0, exchange);
  co_return reply;
}

}  // namespace

void add_dashboard(Api& api, std::string_view first_page) {
  api.add({.path = "/",
           .role = Role::none,
           .run = Run::here,
           .tag = "dashboard",
           .summary = "The dashboard for browsers, else what there is at this address.",
           .content_type = "text/plain",
           .answer = [first_page](const Call& call) { return first(first_page, call); }});
  for (const Asset& asset : dashboard_assets()) {
    if (asset.path == "/") continue;
    api.add({.path = std::string(asset.path),
             .role = Role::none,
             .run = Run::here,
             .tag = "dashboard",
             .summary = "A file of the dashboard.",
             .content_type = asset.content_type.substr(0, asset.content_type.find(';')),
             .answer = [&asset](const Call& call) { return serve_asset(asset, call); }});
  }
  api.add({.method = Method::post,
           .path = "/api/v1/session",
           .role = Role::none,
           .run = Run::waiting,
           .tag = "dashboard",
           .summary = "Signs in: a token for a cookie that scripts cannot read.",
           .request_schema = kSignInSchema,
           .audited = false,
           .task = [&api](http::Exchange& exchange, const Call& call) {
             return sign_in(api, exchange, call);
           }});
  api.add(
      {.method = Method::delete_,
       .path = "/api/v1/session",
       .role = Role::none,
       .run = Run::waiting,
       .tag = "dashboard",
       .summary = "Signs out: the session ends, whoever has its cookie.",
       .audited = false,
       .task = [&api](http::Exchange& exchange, const Call&) { return sign_out(api, exchange); }});
  api.add({.path = "/api/v1/session",
           .run = Run::here,
           .tag = "dashboard",
           .summary = "Who asks, and what they may do.",
           .answer = [](const Call& call) { return who(call.who); }});
}

}  // namespace headroom::server
