#include "headroom/edge/heads.h"

#include "headroom/base/text.h"
#include "headroom/edge/explain.h"
#include "headroom/http/cache_tags.h"
#include "headroom/http/forwarded.h"
#include "headroom/http/parser.h"
#include "headroom/http/writer.h"

namespace headroom::edge {

using http::Exchange;
using http::Name;

namespace {

void append_line(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

bool is_port(std::string_view text) {
  const auto number = text.size() <= 5 ? text::to_u64(text) : std::nullopt;
  return number && *number != 0 && *number <= 65535;
}

// The port that a client means by such a Host.
std::string_view port_of(std::string_view authority, std::string_view scheme) {
  const auto colon = authority.rfind(':');
  const bool written = colon != std::string_view::npos && is_port(authority.substr(colon + 1)) &&
                       !authority.substr(colon).contains(']');
  if (written) return authority.substr(colon + 1);
  return scheme == "https" ? "443" : "80";
}

// "http" or "https", as a trusted proxy says; what is neither is nobody's scheme.
std::optional<std::string_view> told_proto(const Request& r) {
  if (!r.trusted) return std::nullopt;
  const std::string_view value = r.head().value_of(Name::x_forwarded_proto);
  if (text::equal_ignoring_case(value, "https")) return "https";
  return text::equal_ignoring_case(value, "http") ? std::optional<std::string_view>("http")
                                                  : std::nullopt;
}

}  // namespace

std::optional<std::string_view> told_host(const Request& r) {
  if (!r.trusted || !r.head().has(Name::x_forwarded_host)) return std::nullopt;
  const std::string_view value = r.head().value_of(Name::x_forwarded_host);
  return http::is_authority(value) ? std::optional(value) : std::nullopt;
}

void write_request_head(Request& r, const Server& server, std::string& out, Random& random) {
  const http::RequestHead& head = r.head();
  const UpstreamOptions& options = r.group().options();
  const RoutePolicy& policy = r.route->policy;
  const http::Head* received = r.trusted ? &head : nullptr;
  const std::string_view scheme = r.x.peer().tls ? "https" : "http";
  const std::string client = to_string(r.client);

  http::HeadWriter writer(out);
  if (policy.active()) {
    r.target = policy.target(head);
    writer.request_line(head.method_text, r.target);
  } else {
    writer.request_line(head.method_text, head.path_and_query);
  }
  const std::string_view host = options.host == "preserve" && !head.authority.empty()
                                    ? head.authority
                                : options.host == "preserve" || options.host == "upstream"
                                    ? std::string_view(server.spec().authority)
                                    : std::string_view(options.host);
  append_line(out, "Host", host);
  const bool plain = r.route->coding.plain_from_app;
  if (plain) append_line(out, "Accept-Encoding", "identity");
  if (policy.active() || r.keeper != nullptr || plain || r.at_app || r.hides_trace) {
    writer.forward(head.fields, [&](const http::Field& f) {
      if (plain && f.id == Name::accept_encoding) return false;
      const bool ours = r.at_app || r.hides_trace;
      if (ours && (f.id == Name::traceparent || (f.id == Name::tracestate && !r.trusted)))
        return false;
      return !is_written_for_servers(f) && policy.keeps_request_field(f) &&
             (r.keeper == nullptr || !r.keeper->replaces(f));
    });
    if (r.keeper != nullptr) out.append(r.keeper->lines());
  } else {
    writer.forward(head.fields, [](const http::Field& f) { return !is_written_for_servers(f); });
  }
  if (!head.upgrade.empty()) {
    out.append("Connection: Upgrade\r\n");
    append_line(out, "Upgrade", head.upgrade);
  }
  out.append("X-Forwarded-For: ");
  http::append_x_forwarded_for(out, received, r.trusted ? r.x.peer().address.ip() : r.client);
  out.append("\r\n");
  const std::string_view proto = told_proto(r).value_or(scheme);
  const std::string_view named = told_host(r).value_or(head.authority);
  const std::string_view port =
      r.trusted ? head.value_of(Name::x_forwarded_port) : std::string_view{};
  append_line(out, "X-Forwarded-Proto", proto);
  append_line(out, "X-Forwarded-Host", named);
  append_line(out, "X-Forwarded-Port", is_port(port) ? port : port_of(named, proto));
  out.append("Forwarded: ");
  http::append_forwarded(out, received,
                         {r.trusted ? r.x.peer().address.ip() : r.client, head.authority, scheme});
  out.append("\r\nX-Real-IP: ").append(client);
  out.append("\r\nX-Request-Id: ").append(r.id);
  if (r.span) {
    out.append("\r\nTraceparent: ");
    link::append_traceparent(out, {r.span->trace, r.attempt_span, true});
  } else if (r.at_app) {
    out.append("\r\nTraceparent: ");
    link::append_traceparent(out, r.at_app->trace, random);
  }
  out.append("\r\nVia: ");
  http::append_via(out, head, kPseudonym);
  out.append("\r\n");
  if (policy.active())
    policy.append_request_lines(out, {client, r.id, head.authority, r.secure() ? "https" : "http"});
  if (r.body_stored) {
    writer.framing(http::Body::length, r.body.size());
  } else {
    writer.framing(head.body, head.content_length);
  }
  out.append("\r\n");
}

namespace {

// An answer that is not kept here may be kept by the CDN.
void append_cdn_tags(const Route& route, const http::ResponseHead& head, std::string& out) {
  std::vector<std::string> tags(route.cache.tags);
  const http::Tags named = http::tags_of(head);
  tags.insert(tags.end(), named.tags.begin(), named.tags.end());
  out += cdn_tag_line(route.cache.cdn, tags);
}

}  // namespace

void begin_answer(Request& r, const http::ResponseHead& head, const Rewrite& rewrite) {
  using Kind = Exchange::Length::Kind;
  Exchange::Length length;
  if (rewrite.not_modified) {
    length = {};
  } else if (rewrite.length) {
    length = {Kind::known, *rewrite.length};
  } else if (head.body == http::Body::length && !rewrite.is_coded()) {
    length = {Kind::known, head.content_length};
  } else if (head.body != http::Body::none) {
    length = {Kind::unknown, 0};
  }
  if (r.streams_body())
    r.x.close_after();  // the answer overtakes the request: what follows on this connection is in doubt
  const bool made_304 = rewrite.not_modified && head.status != 304;
  r.x.start(made_304 ? 304 : head.status, made_304 ? std::string_view{} : head.reason, length);
  std::string& out = r.x.head();
  if (head.body == http::Body::none && head.has_content_length && head.status != 204 &&
      !rewrite.is_coded()) {
    append_line(out, "Content-Length", http::Digits(head.content_length).view());
  }
  http::HeadWriter writer(out);
  writer.forward(head.fields, [&](const http::Field& f) {
    return rewrite.keeps(f) && is_for_clients(*r.route, f);
  });
  rewrite.append_lines(out, head);
  out.append("Via: ");
  http::append_via(out, head, kPseudonym);
  out.append("\r\n");
  if (!head.has(Name::x_request_id)) append_line(out, "X-Request-Id", r.id);
  if (r.route->pagination) r.route->pagination->append_lines(out, r, head);
  if (r.route->cache.enabled && r.route->cache.cdn.on() && !r.route->cache.owners.any())
    append_cdn_tags(*r.route, head, out);
  if (r.sessions != nullptr) r.sessions->append_cookie(r, &head, out);
  append_own_fields(r, out);
}

bool is_for_clients(const Route& route, const http::Field& field) {
  if (field.id == Name::via) return false;
  const CdnHeaders& cdn = route.cache.cdn;
  if (route.cache.enabled && http::is_for_surrogates(field.id) &&
      !(cdn.on() && field.id == Name::surrogate_control))
    return false;
  return !route.policy.active() || route.policy.keeps_response_field(field);
}

void append_own_fields(Request& r, std::string& out) {
  if (r.route->policy.active()) r.route->policy.append_response_lines(out, r.head(), r.secure());
  if (!r.cache_status.empty() && r.tells_cache_status())
    append_line(out, "Cache-Status", r.cache_status);
  r.limited.append_fields(out);
  if (r.explained) append_explanation(r, out);
}

void write_upgrade_head(const http::ResponseHead& head, std::string& out) {
  http::HeadWriter writer(out);
  writer.status_line(101, head.reason);
  out.append("Connection: Upgrade\r\n");
  append_line(out, "Upgrade", head.upgrade);
  writer.forward(head.fields);
  out.append("\r\n");
}

}  // namespace headroom::edge
