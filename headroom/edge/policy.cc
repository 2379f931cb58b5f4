#include "headroom/edge/policy.h"

#include <algorithm>
#include <array>

#include "headroom/base/text.h"
#include "headroom/http/parser.h"
#include "headroom/http/path.h"

namespace headroom::edge {

using http::Name;

namespace {

constexpr std::string_view kPrivateNetworkAsked = "Access-Control-Request-Private-Network";
constexpr std::array<Name, 6> kCorsNames{
    Name::access_control_allow_credentials, Name::access_control_allow_headers,
    Name::access_control_allow_methods,     Name::access_control_allow_origin,
    Name::access_control_expose_headers,    Name::access_control_max_age};

std::unexpected<Error> refuse(std::string_view setting, std::string message) {
  return fail(Errc::invalid, std::string(setting) + ": " + std::move(message));
}

bool is_ours_in_responses(Name name) {
  return name == Name::date || name == Name::via || name == Name::x_request_id;
}

enum class Side : std::uint8_t { request, response };

Result<> check_name(std::string_view setting, std::string_view text, Side side) {
  if (!http::is_token(text))
    return refuse(setting, "'" + std::string(text) + "' is no header name");
  const Name name = http::name_of(text);
  if (http::is_framing(name) || http::is_hop_by_hop(name) || name == Name::trailer) {
    return refuse(setting, std::string(text) + " belongs to the connection and cannot be changed");
  }
  if (side == Side::request && name == Name::host)
    return refuse(setting, "Host is the upstream group's setting 'host'");
  if (side == Side::request ? is_written_for_servers(name) : is_ours_in_responses(name)) {
    return refuse(setting, std::string(text) + " is written by Headroom itself");
  }
  return {};
}

Result<> check_value(std::string_view setting, const std::string& name, std::string_view value) {
  if (!http::is_field_value(value))
    return refuse(setting, "the value of " + name + " holds a control character");
  return {};
}

// Visits the literal texts and the words in braces of `text`; a brace that begins no known word is literal.
template <class Value, std::size_t N, class Add>
void split_template(std::string_view text,
                    const std::array<std::pair<std::string_view, Value>, N>& words, Add add) {
  std::string literal;
  while (!text.empty()) {
    const auto word =
        std::ranges::find_if(words, [text](const auto& w) { return text.starts_with(w.first); });
    if (word == words.end()) {
      literal += text.front();
      text.remove_prefix(1);
      continue;
    }
    add(std::move(literal), word->second);
    literal.clear();
    text.remove_prefix(word->first.size());
  }
  add(std::move(literal), Value::none);
}

// A word in braces that looks like a variable and is none: a typing error.
std::optional<std::string> unknown_variable(std::string_view text,
                                            std::span<const std::string_view> known) {
  for (std::size_t at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
    const std::string_view rest = text.substr(at);
    const auto end = rest.find('}');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view word = rest.substr(1, end - 1);
    const bool looks_like_one = !word.empty() && std::ranges::all_of(word, [](char c) {
      return (c >= 'a' && c <= 'z') || c == '_';
    });
    if (looks_like_one && std::ranges::find(known, word) == known.end()) return std::string(word);
  }
  return std::nullopt;
}

void append_line(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

std::string_view host_without_port(std::string_view authority) {
  const auto colon = authority.rfind(':');
  const bool port =
      colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
  return port ? authority.substr(0, colon) : authority;
}

std::string seconds_of(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

bool is_url_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '<' && c != '>' && c != '\\';
  });
}

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

Result<> check_tokens(std::string_view setting, const std::vector<std::string>& tokens) {
  for (const std::string& token : tokens) {
    if (!http::is_token(token)) return refuse(setting, "'" + token + "' is no token");
  }
  return {};
}

// "https://app.example.org", "http://localhost:3000", "null", or a scheme of an app's own ("capacitor://localhost").
bool is_origin(std::string_view text) {
  if (text == "null") return true;
  const auto at = text.find("://");
  if (at == std::string_view::npos || at == 0 || text::lowered(text) != text) return false;
  const std::string_view scheme = text.substr(0, at);
  const bool letters = std::ranges::all_of(
      scheme, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  return letters && http::is_authority(text.substr(at + 3));
}

// The field that an application understands which reads fields as CGI's variables: `-` and `_` are one there (RFC 3875 section 4.1.18).
std::string dashed(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', '-');
  return text;
}

}  // namespace

bool is_written_for_servers(Name name) {
  switch (name) {
    case Name::expect:
    case Name::forwarded:
    case Name::host:
    case Name::via:
    case Name::x_forwarded_for:
    case Name::x_forwarded_host:
    case Name::x_forwarded_port:
    case Name::x_forwarded_proto:
    case Name::x_headroom_debug:
    case Name::x_real_ip:
    case Name::x_request_id: return true;
    default: return false;
  }
}

bool is_written_for_servers(const http::Field& field) {
  if (field.id != Name::other) return is_written_for_servers(field.id);
  if (!field.name.contains('_')) return false;
  const Name meant = http::name_of(dashed(field.name));
  return is_written_for_servers(meant) || http::is_hop_by_hop(meant) ||
         meant == Name::content_length;
}

void RoutePolicy::Names::add(std::string_view name) {
  std::string meant = dashed(name);
  const Name known = http::name_of(meant);
  if (known != Name::other) {
    known_.set(static_cast<std::size_t>(known));
  } else {
    others_.push_back(std::move(meant));
  }
}

bool RoutePolicy::Names::has(const http::Field& field) const {
  if (field.id != Name::other) return known_.test(static_cast<std::size_t>(field.id));
  const std::string meant = dashed(field.name);
  const Name known = http::name_of(meant);
  if (known != Name::other) return known_.test(static_cast<std::size_t>(known));
  return std::ranges::any_of(
      others_, [&](const std::string& name) { return text::equal_ignoring_case(name, meant); });
}

Result<RoutePolicy> RoutePolicy::compile(const RouteOptions& options) {
  RoutePolicy policy;
  if (auto done = policy.compile_headers(options); !done) return pass(done);
  if (auto done = policy.compile_redirect(options.redirect); !done) return pass(done);
  if (auto done = policy.compile_paths(options); !done) return pass(done);
  if (auto done = policy.compile_cors(options.cors); !done) return pass(done);
  policy.redirect_https_ = options.redirect_https;
  if (options.hsts > Duration::zero()) {
    append_line(policy.hsts_line_, "Strict-Transport-Security",
                "max-age=" + seconds_of(options.hsts));
    policy.dropped_from_response_.add("Strict-Transport-Security");
  }
  policy.active_ = options.redirect_https || options.hsts > Duration::zero() ||
                   !options.redirect.empty() || !policy.strip_prefix_.empty() ||
                   !policy.add_prefix_.empty() || !options.set_request_headers.empty() ||
                   !options.remove_request_headers.empty() ||
                   !options.set_response_headers.empty() ||
                   !options.remove_response_headers.empty() || policy.cors_;
  return policy;
}

Result<> RoutePolicy::compile_headers(const RouteOptions& options) {
  static constexpr std::array<std::pair<std::string_view, Variable>, 4> kWords{
      {{"{client_ip}", Variable::client_ip},
       {"{request_id}", Variable::request_id},
       {"{host}", Variable::host},
       {"{scheme}", Variable::scheme}}};
  static constexpr std::array<std::string_view, 4> kKnown{"client_ip", "request_id", "host",
                                                          "scheme"};
  for (const auto& [name, value] : options.set_request_headers) {
    constexpr std::string_view kSetting = "set_request_headers";
    if (auto good = check_name(kSetting, name, Side::request); !good) return good;
    if (auto good = check_value(kSetting, name, value); !good) return good;
    if (const auto word = unknown_variable(value, kKnown)) {
      return refuse(kSetting, "unknown variable {" + *word +
                                  "}; known are {client_ip}, {request_id}, {host}, {scheme}");
    }
    dropped_from_request_.add(name);
    std::string line;
    append_line(line, name, value);
    split_template(line, kWords, [this](std::string literal, Variable variable) {
      request_lines_.push_back({std::move(literal), variable});
    });
  }
  for (const std::string& name : options.remove_request_headers) {
    if (auto good = check_name("remove_request_headers", name, Side::request); !good) return good;
    dropped_from_request_.add(name);
  }
  for (const auto& [name, value] : options.set_response_headers) {
    constexpr std::string_view kSetting = "set_response_headers";
    if (auto good = check_name(kSetting, name, Side::response); !good) return good;
    if (auto good = check_value(kSetting, name, value); !good) return good;
    dropped_from_response_.add(name);
    append_line(response_lines_, name, value);
  }
  for (const std::string& name : options.remove_response_headers) {
    if (auto good = check_name("remove_response_headers", name, Side::response); !good) return good;
    dropped_from_response_.add(name);
  }
  return {};
}

std::vector<RoutePolicy::RedirectPiece> RoutePolicy::split_redirect(std::string_view url) const {
  static constexpr std::array<std::pair<std::string_view, Part>, 4> kWords{
      {{"{uri}", Part::uri},
       {"{path}", Part::path},
       {"{query}", Part::query},
       {"{host}", Part::host}}};
  std::vector<RedirectPiece> pieces;
  split_template(url, kWords, [&](std::string literal, Part part) {
    pieces.push_back({std::move(literal), part});
  });
  return pieces;
}

Result<> RoutePolicy::compile_redirect(const std::string& setting) {
  if (setting.empty()) return {};
  static constexpr std::array<std::string_view, 4> kKnown{"uri", "path", "query", "host"};
  constexpr std::string_view kWanted =
      "expected a status (301, 302, 303, 307, 308) and a URL: \"308 https://example.org{uri}\"";
  const auto space = setting.find(' ');
  if (space == std::string::npos) return refuse("redirect", std::string(kWanted));
  const auto status = text::to_u64(std::string_view(setting).substr(0, space));
  const std::string_view url = text::trimmed(std::string_view(setting).substr(space + 1));
  static constexpr std::array<unsigned, 5> kStatuses{301, 302, 303, 307, 308};
  if (!status || std::ranges::find(kStatuses, *status) == kStatuses.end() || url.empty() ||
      !is_url_text(url)) {
    return refuse("redirect", std::string(kWanted));
  }
  if (const auto word = unknown_variable(url, kKnown)) {
    return refuse("redirect",
                  "unknown variable {" + *word + "}; known are {uri}, {path}, {query}, {host}");
  }
  // Where the client goes must not depend on what stands in path or query: "/{uri}" would be "//evil.example" for that path, and
  // "https://example.org{query}" another host.
  const auto scheme_end = url.find("://");
  const bool absolute = url.starts_with("https://") || url.starts_with("http://");
  const std::string_view rest = absolute ? url.substr(scheme_end + 3) : url;
  if (absolute) {
    const auto end = std::min({rest.find_first_of("/?#"), rest.find("{uri}"), rest.find("{path}")});
    const std::string_view authority = rest.substr(0, end);
    const auto query = authority.find("{query}");
    if (authority.empty() || query != std::string_view::npos ||
        authority.find('@') != std::string_view::npos) {
      return refuse("redirect",
                    "the host must be written out or {host}, and a path must follow it");
    }
  } else if (!rest.starts_with('/') || rest.starts_with("//") || rest.starts_with("/{uri}") ||
             rest.starts_with("/{path}") || rest.starts_with("/{query}") ||
             rest.starts_with("/{host}")) {
    return refuse("redirect", "the URL must begin with https://, http:// or one / and a name");
  }
  redirect_status_ = static_cast<unsigned>(*status);
  redirect_ = split_redirect(url);
  return {};
}

Result<> RoutePolicy::compile_paths(const RouteOptions& options) {
  const auto clean = [](std::string_view setting, std::string prefix) -> Result<std::string> {
    while (prefix.ends_with('/')) prefix.pop_back();
    if (prefix.empty()) return prefix;
    std::string scratch;
    const auto normal = http::normalised_path(prefix, scratch);
    if (!prefix.starts_with('/') || !is_url_text(prefix) ||
        prefix.find_first_of("?#") != std::string::npos || !normal || *normal != prefix) {
      return refuse(setting, "'" + prefix + "' is no plain path such as /api/v1");
    }
    return prefix;
  };
  auto strip = clean("strip_prefix", options.strip_prefix);
  if (!strip) return pass(strip);
  auto add = clean("add_prefix", options.add_prefix);
  if (!add) return pass(add);
  strip_prefix_ = std::move(*strip);
  add_prefix_ = std::move(*add);
  return {};
}

Result<> RoutePolicy::compile_cors(const CorsOptions& options) {
  if (options.origins.empty()) return {};
  cors_ = true;
  for (const std::string& origin : options.origins) {
    if (origin == "*") {
      any_origin_ = true;
    } else if (!is_origin(origin)) {
      return refuse("cors.origins",
                    "'" + origin + "' is no origin such as https://app.example.org, and not *");
    }
  }
  if (any_origin_ && options.credentials)
    return refuse("cors.credentials", "not with origin *: name the origins");
  if (auto good = check_tokens("cors.methods", options.methods); !good) return good;
  if (auto good = check_tokens("cors.headers", options.headers); !good) return good;
  if (auto good = check_tokens("cors.expose", options.expose); !good) return good;
  origins_ = options.origins;
  if (options.credentials)
    append_line(cors_lines_, to_string(Name::access_control_allow_credentials), "true");
  preflight_lines_ = cors_lines_;
  if (!options.expose.empty())
    append_line(cors_lines_, to_string(Name::access_control_expose_headers),
                joined(options.expose));
  append_line(preflight_lines_, to_string(Name::access_control_allow_methods),
              joined(options.methods));
  if (!options.headers.empty())
    append_line(preflight_lines_, to_string(Name::access_control_allow_headers),
                joined(options.headers));
  append_line(preflight_lines_, to_string(Name::access_control_max_age),
              seconds_of(options.max_age));
  for (const Name name : kCorsNames) dropped_from_response_.add(to_string(name));
  return {};
}

std::optional<http::Reply> RoutePolicy::early_reply(const http::RequestHead& head,
                                                    Arrival arrival) const {
  const bool redirects = redirect_status_ != 0 || (redirect_https_ && !arrival.tls);
  if (redirects && head.authority.empty()) {  // HTTP/1.0 without Host: there is nowhere to send it
    return http::Reply{400,
                       "application/json",
                       R"({"error":{"code":"no_host","message":"a Host is needed here"}})",
                       {}};
  }
  if (redirect_https_ && !arrival.tls) {
    std::string to = "https://";
    to += host_without_port(head.authority);
    if (arrival.tls_port != 0 && arrival.tls_port != 443)
      to += ":" + std::to_string(arrival.tls_port);
    to += head.path == "*" ? "/" : head.path_and_query;
    return redirect_to(308, to, head, arrival.tls);
  }
  if (redirect_status_ != 0)
    return redirect_to(redirect_status_, location(head), head, arrival.tls);
  if (cors_ && head.method == http::Method::options && head.has(Name::origin) &&
      head.has(Name::access_control_request_method)) {
    return preflight(head, arrival.tls);
  }
  return std::nullopt;
}

http::Reply RoutePolicy::redirect_to(unsigned status, const std::string& location,
                                     const http::RequestHead& head, bool tls) const {
  http::Reply reply{status, "text/plain; charset=utf-8", "Moved to " + location + "\n", {}};
  append_line(reply.fields, "Location", location);
  append_response_lines(reply.fields, head, tls);
  return reply;
}

std::string RoutePolicy::location(const http::RequestHead& head) const {
  const bool star = head.path == "*";
  std::string to;
  for (const RedirectPiece& piece : redirect_) {
    to += piece.literal;
    switch (piece.part) {
      case Part::none: break;
      case Part::uri: to += star ? "/" : head.path_and_query; break;
      case Part::path: to += star ? "/" : head.path; break;
      case Part::query: to += head.query; break;
      case Part::host: to += host_without_port(head.authority); break;
    }
  }
  return to;
}

std::string RoutePolicy::target(const http::RequestHead& head) const {
  std::string_view path = head.path;
  std::string_view behind = head.path_and_query;
  if (path.empty() || path == "*") return std::string(behind);
  behind.remove_prefix(path.size());  // "?query", or nothing
  const auto below = [this](std::string_view p) {
    return p.starts_with(strip_prefix_) &&
           (p.size() == strip_prefix_.size() || p[strip_prefix_.size()] == '/');
  };
  std::string scratch;
  if (!strip_prefix_.empty()) {
    // Another spelling of the prefix (/%61pi), or one that would leave "//" in front, is cut from the form that the route matched.
    if (!below(path) || path.substr(strip_prefix_.size()).starts_with("//")) {
      const auto normal = http::normalised_path(path, scratch);
      if (normal) path = *normal;
    }
    if (below(path)) path.remove_prefix(strip_prefix_.size());
  }
  std::string target;
  target.reserve(add_prefix_.size() + path.size() + behind.size() + 1);
  target += add_prefix_;
  if (path.empty()) path = "/";
  target.append(path).append(behind);
  return target;
}

std::string_view RoutePolicy::value_of(Variable variable, const Variables& variables) {
  switch (variable) {
    case Variable::none: return {};
    case Variable::client_ip: return variables.client_ip;
    case Variable::request_id: return variables.request_id;
    case Variable::host: return variables.host;
    case Variable::scheme: return variables.scheme;
  }
  return {};
}

void RoutePolicy::append_request_lines(std::string& out, const Variables& variables) const {
  for (const Piece& piece : request_lines_)
    out.append(piece.literal).append(value_of(piece.variable, variables));
}

void RoutePolicy::append_response_lines(std::string& out, const http::RequestHead& request,
                                        bool tls) const {
  out += response_lines_;
  if (tls) out += hsts_line_;
  if (!cors_) return;
  const std::string_view origin = request.value_of(Name::origin);
  if (!any_origin_) out += "Vary: Origin\r\n";
  if (origin.empty() || !allows_origin(origin)) return;
  append_cors_origin(out, origin);
  out += cors_lines_;
}

// --- CORS (fetch.spec.whatwg.org, "HTTP extensions") ---

bool RoutePolicy::allows_origin(std::string_view origin) const {
  return any_origin_ || std::ranges::find(origins_, origin) != origins_.end();
}

void RoutePolicy::append_cors_origin(std::string& out, std::string_view origin) const {
  append_line(out, to_string(Name::access_control_allow_origin),
              any_origin_ ? std::string_view("*") : origin);
}

http::Reply RoutePolicy::preflight(const http::RequestHead& head, bool tls) const {
  const std::string_view origin = head.value_of(Name::origin);
  http::Reply reply;
  if (tls) reply.fields += hsts_line_;
  reply.fields += any_origin_ ? "" : "Vary: Origin, Access-Control-Request-Private-Network\r\n";
  if (!allows_origin(origin)) {
    reply.status = 403;
    reply.body =
        R"({"error":{"code":"origin_not_allowed","message":"this origin may not use this route"}})";
    return reply;
  }
  reply.status = 204;
  append_cors_origin(reply.fields, origin);
  reply.fields += preflight_lines_;
  // https://wicg.github.io/private-network-access: only for origins that the settings name.
  const http::Field* asked = head.find(kPrivateNetworkAsked);
  if (!any_origin_ && asked != nullptr && asked->value == "true") {
    append_line(reply.fields, to_string(Name::access_control_allow_private_network), "true");
  }
  return reply;
}

}  // namespace headroom::edge
