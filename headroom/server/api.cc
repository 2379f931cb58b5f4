#include "headroom/server/api.h"

#include <algorithm>
#include <cmath>

#include "headroom/auth/source.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"
#include "headroom/server/audit.h"
#include "headroom/server/metrics.h"

namespace headroom::server {
namespace {

using http::Method;
using http::Name;
using http::Reply;

constexpr std::array<std::string_view, 7> kReasons{"source", "not_found", "method", "credential",
                                                   "role",   "rate",      "answers"};

constexpr std::chrono::seconds kSessionLife = std::chrono::hours(12);

struct CodeRow {
  Errc code;
  unsigned status;
};
constexpr std::array kStatuses{
    CodeRow{Errc::invalid, 400},     CodeRow{Errc::not_found, 404},
    CodeRow{Errc::conflict, 409},    CodeRow{Errc::timeout, 504},
    CodeRow{Errc::cancelled, 503},   CodeRow{Errc::overloaded, 503},
    CodeRow{Errc::unavailable, 503}, CodeRow{Errc::unauthorized, 403},
    CodeRow{Errc::protocol, 502},    CodeRow{Errc::internal, 500},
};

AuditEntry entry_of(http::Exchange& exchange, const auth::Identity& who) {
  const http::RequestHead& head = exchange.request();
  return {.at = unix_seconds(),
          .who = who.name,
          .role = std::string(who.role == auth::Role::none ? "" : auth::to_string(who.role)),
          .from = to_string(exchange.client().address),
          .method = std::string(head.method_text),
          .path = std::string(head.path)};
}

std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  std::size_t from = 1;  // behind the first '/'
  while (from <= path.size()) {
    const std::size_t end = std::min(path.find('/', from), path.size());
    segments.push_back(path.substr(from, end - from));
    from = end + 1;
  }
  return segments;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = text::lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>((high << 4) | low);
    i += 2;
  }
  return out;
}

using Parameters = std::vector<std::pair<std::string_view, std::string>>;

// The parameters of `path` if it is one that `pattern` means.
std::optional<Parameters> match_path(std::string_view pattern,
                                     const std::vector<std::string_view>& path) {
  const auto wanted = segments_of(pattern);
  Parameters parameters;
  std::size_t at = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::string_view name = wanted[i];
    const std::size_t behind = wanted.size() - i - 1;
    if (at + behind >= path.size()) return std::nullopt;
    if (!name.starts_with('{')) {
      if (path[at++] != name) return std::nullopt;
      continue;
    }
    name = name.substr(1, name.size() - 2);
    const bool many = name.ends_with("...");
    if (many) name.remove_suffix(3);
    const std::size_t end = many ? path.size() - behind : at + 1;
    std::string raw(path[at++]);
    while (at < end) raw.append("/").append(path[at++]);
    auto value = decoded(raw);
    if (!value || value->empty()) return std::nullopt;
    parameters.emplace_back(name, std::move(*value));
  }
  if (at != path.size()) return std::nullopt;
  return parameters;
}

std::optional<std::string_view> given(const http::RequestHead& head, Name name) {
  const http::Field* field = head.find(name);
  return field == nullptr ? std::nullopt : std::optional(field->value);
}

bool stands_twice(const http::RequestHead& head, Name name) {
  return std::ranges::count(head.fields, name, &http::Field::id) > 1;
}

std::optional<Reply> check_query(std::string_view query, std::string_view known) {
  if (known.empty()) return std::nullopt;
  const auto names = text::split(known, ' ');
  for (const std::string_view pair : text::split(query, '&')) {
    const std::string_view name = pair.substr(0, pair.find('='));
    if (pair.empty() || std::ranges::find(names, name) != names.end()) continue;
    return error_reply(400, "invalid",
                       fmt::format("query: '{}' is not one of {}", name, fmt::join(names, ", ")));
  }
  return std::nullopt;
}

Reply unauthorized(std::string_view reason) {
  Reply reply = error_reply(401, "unauthorized", reason);
  reply.fields = "WWW-Authenticate: Bearer realm=\"headroom\"\r\n";
  return reply;
}

// The edge answers by any name its users call it.
std::vector<std::string> own_name(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  return {
      std::string(authority.substr(0, authority.ends_with(']') ? std::string_view::npos : colon))};
}

}  // namespace

std::string describe(std::string_view summary, const Call& call) {
  // Nothing else of a body is told: it may hold what only its receiver should see.
  constexpr std::array<std::string_view, 10> kTold{"group",  "server", "tags", "prefix", "pattern",
                                                   "entity", "act",    "set",  "queue",  "for"};
  constexpr std::size_t kMost = 200;
  std::string about;
  const auto tell = [&about](std::string_view value) {
    about.append(about.empty() ? "" : " ").append(value);
  };
  for (const auto& [name, value] : call.parameters) tell(value);
  if (const auto document = json::parse(call.body); document) {
    for (const std::string_view name : kTold) {
      const auto member = document->root().find(name);
      if (!member) continue;
      if (const auto text = member->string()) tell(*text);
      for (std::size_t i = 0; member->kind() == json::Kind::array && i < member->size(); ++i) {
        if (const auto text = member->item(i).string()) tell(*text);
      }
    }
  }
  if (about.size() > kMost) {
    std::size_t end = kMost;
    while (end > 0 && (static_cast<unsigned char>(about[end]) & 0xC0U) == 0x80U) --end;
    about.resize(end);  // no character is cut
  }
  const std::string_view what = summary.substr(0, summary.find_first_of(".;:("));
  return fmt::format("{}: {}{}{}", call.who.name, text::lowered(what.substr(0, 1)), what.substr(1),
                     about.empty() ? "" : fmt::format(" ({})", about));
}

std::string_view Call::parameter(std::string_view name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

std::string Call::query_value(std::string_view name) const {
  for (const std::string_view pair : text::split(query, '&')) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    return decoded(pair.substr(equals + 1)).value_or("");
  }
  return {};
}

Reply json_reply(std::string body, unsigned status) {
  body += '\n';
  return {
      .status = status, .content_type = "application/json", .body = std::move(body), .fields = {}};
}

Reply not_configured(std::string_view fields) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", "not_configured");
  for (const std::string_view field : text::split(fields, ' ')) out.key(field).null();
  out.end_object();
  return json_reply(std::move(body));
}

Reply refused_as_not_configured(std::string_view why) {
  return error_reply(409, "not_configured", why);
}

Reply error_reply(unsigned status, std::string_view code, std::string_view message) {
  std::string body;
  json::Writer out(body);
  out.begin_object().key("error").begin_object();
  out.field("code", code).field("message", message);
  out.end_object().end_object();
  return json_reply(std::move(body), status);
}

Reply error_reply(const Error& error) {
  const auto* row = std::ranges::find(kStatuses, error.code, &CodeRow::code);
  const unsigned status = row == kStatuses.end() ? 500 : row->status;
  Reply reply = error_reply(status, to_string(error.code), error.message);
  if (status == 503) reply.fields = "Retry-After: 1\r\n";
  return reply;
}

struct Api::Match {
  const Endpoint* endpoint = nullptr;
  Parameters parameters;
};

Api::Api(net::Workers& workers, net::Offload& reading, net::Offload& control,
         metrics::Registry& registry)
    : workers_(workers), reading_(reading), control_(control) {
  const auto no_hosts = std::make_shared<const std::vector<std::string>>();
  for (std::size_t i = 0; i < workers.size(); ++i) {
    state_.push_back(std::make_unique<PerWorker>());
    state_.back()->hosts = no_hosts;
  }
  for (std::size_t i = 1; i < answered_.size(); ++i) {
    answered_[i] = &registry.counter(kRequests, {fmt::format("{}xx", i)});
  }
  for (const std::string_view reason : kReasons) {
    refused_.emplace(reason, &registry.counter(kRefused, {std::string(reason)}));
  }
}

void Api::add(Endpoint endpoint) { endpoints_.push_back(std::move(endpoint)); }

void Api::give_access(const std::shared_ptr<const auth::Access>& access) {
  for (const auto& worker : workers_) {
    worker->post([mine = state_[worker->index()].get(), access] { mine->access = access; });
  }
}

void Api::set_hosts(std::vector<std::string> hosts) {
  const auto shared = std::make_shared<const std::vector<std::string>>(std::move(hosts));
  for (const auto& worker : workers_) {
    worker->post([mine = state_[worker->index()].get(), shared] { mine->hosts = shared; });
  }
}

net::Task<> Api::serve(http::Exchange& exchange, Place place) {
  Reply reply = co_await answer(exchange, place);
  if (exchange.started()) co_return;  // a task that has answered by itself
  std::uint64_t& answering = mine(exchange).answering;
  if (reply.body.size() > kSmallAnswer && answering + reply.body.size() > kAnswersInFlight) {
    refused(exchange, "answers");
    reply = error_reply({Errc::overloaded, "too many long answers wait to be read"});
  }
  const Held held(answering, reply.body.size());
  if (!reply.fields.contains("Cache-Control: ")) reply.fields += "Cache-Control: no-store\r\n";
  reply.fields += "X-Content-Type-Options: nosniff\r\n";
  answered_[std::clamp(reply.status / 100, 1U, 5U)]->at(exchange.worker().index()).add();
  (void)co_await exchange.reply(reply);
}

net::Task<Reply> Api::answer(http::Exchange& exchange, Place place) {
  const http::RequestHead& head = exchange.request();
  auto found = match(head, place);
  const Takes takes =
      found ? found->endpoint->takes : Takes::bytes;  // what does not exist takes none
  if (auto refusal = check_source(exchange, place, takes)) co_return std::move(*refusal);
  if (!found) {
    refused(exchange, found.error().status == 405 ? "method" : "not_found");
    co_return std::move(found.error());
  }
  const Endpoint& endpoint = *found->endpoint;
  if (endpoint.role != auth::Role::none) {
    const auto authorization = given(head, Name::authorization);
    const auto token = authorization ? auth::bearer_in(*authorization) : std::nullopt;
    if (token) co_await look_for(exchange, *token);
  }
  auto who = identify(exchange, endpoint.role);
  if (!who) co_return std::move(who.error());

  Call call;
  call.parameters = std::move(found->parameters);
  call.query = head.query;
  if (auto wrong = check_query(call.query, endpoint.query)) co_return std::move(*wrong);
  call.content_type = head.value_of(Name::content_type);
  call.accept = head.value_of(Name::accept);
  call.accept_encoding = head.value_of(Name::accept_encoding);
  call.who = std::move(*who);
  const bool stranger = place == Place::admin_and_edge && endpoint.for_strangers &&
                        !shows(exchange, auth::Role::viewer);
  const auto& handler = stranger ? endpoint.for_strangers : endpoint.answer;
  const bool noted = audit_ != nullptr && endpoint.audited && endpoint.method != Method::get;
  AuditEntry entry = noted ? entry_of(exchange, call.who) : AuditEntry{};
  const std::string what =
      fmt::format("{} {}", head.method_text, head.path);  // the head may move with the body
  Held held(mine(exchange).in_flight);
  auto body = co_await read_body(exchange, endpoint, held);
  if (!body) {
    exchange.close_after();
    if (held.in_flight > kBytesInFlight) co_return error_reply(body.error());
    co_return body.error().code == Errc::overloaded
        ? error_reply(413, "invalid", body.error().message)
        : error_reply(body.error());
  }
  call.body = std::move(*body);
  if (endpoint.run == Run::here) co_return handler(call);
  if (endpoint.run == Run::waiting) {
    call.still_allowed = allowance(exchange, endpoint.role);
    Reply reply = co_await endpoint.task(exchange, call);
    entry.status = reply.status;
    if (noted) note_later(std::move(entry));
    tell(endpoint, call, what, reply.status);
    co_return reply;
  }

  net::Offload& pool = endpoint.run == Run::control  ? control_
                       : endpoint.run == Run::trends ? *trends_
                                                     : reading_;
  auto work = [&] {
    Reply answered = handler(call);
    entry.status = answered.status;
    if (noted) audit_->note(std::move(entry));
    return answered;
  };
  auto reply = co_await pool.run(exchange.worker(), std::move(work));
  if (!reply) co_return error_reply(reply.error());
  tell(endpoint, call, what, reply->status);
  co_return std::move(*reply);
}

void Api::tell(const Endpoint& endpoint, const Call& call, std::string_view what, unsigned status) {
  if (endpoint.method == Method::get) return;
  const auto level = endpoint.audited ? log::Level::info : log::Level::debug;
  if (log::enabled(level))
    log::write(level, "server",
               fmt::format("{} ({}): {} -> {}", call.who.name, auth::to_string(call.who.role), what,
                           status));
  if (endpoint.audited && status < 400 && endpoint.tag != "dashboard")
    log::change(log::Level::debug, "server", endpoint.tag, describe(endpoint.summary, call));
}

std::optional<Reply> Api::check_source(const http::Exchange& exchange, Place place, Takes takes) {
  const http::RequestHead& head = exchange.request();
  for (const Name name :
       {Name::authorization, Name::origin, Name::sec_fetch_site, Name::content_type}) {
    if (stands_twice(head, name)) {
      refused(exchange, "source");
      return error_reply(400, "invalid", fmt::format("{} stands twice", http::to_string(name)));
    }
  }
  auth::Source source;
  source.act = head.method == Method::get || head.method == Method::head ? auth::Act::read
                                                                         : auth::Act::change;
  source.host = head.authority;
  source.origin = given(head, Name::origin);
  source.fetch_site = given(head, Name::sec_fetch_site);
  if (exchange.has_body() && takes == Takes::json)
    source.content_type = given(head, Name::content_type).value_or("");
  const auto own = place == Place::admin ? std::vector<std::string>{} : own_name(head.authority);
  const auto& hosts = place == Place::admin ? *mine(exchange).hosts : own;
  auto good = auth::check_source(source, hosts);
  if (good) return std::nullopt;
  refused(exchange, "source");
  return error_reply(403, "forbidden", good.error().message);
}

std::expected<Api::Match, Reply> Api::match(const http::RequestHead& head, Place place) const {
  const auto path = segments_of(head.path);
  const Method method = head.method == Method::head ? Method::get : head.method;
  std::string allowed;
  for (const Endpoint& endpoint : endpoints_) {
    if (place == Place::admin_and_edge && endpoint.place == Place::admin) continue;
    auto parameters = match_path(endpoint.path, path);
    if (!parameters) continue;
    if (endpoint.method == method) return Match{&endpoint, std::move(*parameters)};
    allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", http::to_string(endpoint.method));
    if (endpoint.method == Method::get) allowed += ", HEAD";
  }
  if (allowed.empty())
    return std::unexpected(error_reply(404, "not_found", "there is no such path"));
  Reply reply =
      error_reply(405, "method_not_allowed", fmt::format("this path answers {}", allowed));
  reply.fields = fmt::format("Allow: {}\r\n", allowed);
  return std::unexpected(std::move(reply));
}

std::expected<auth::Identity, Reply> Api::identify(http::Exchange& exchange, auth::Role role) {
  if (role == auth::Role::none) return auth::Identity{};
  PerWorker& state = mine(exchange);
  if (!state.access)
    return std::unexpected(error_reply(503, "unavailable", "the tokens are not loaded"));
  const auto authorization = given(exchange.request(), Name::authorization);
  const auto cookies = given(exchange.request(), Name::cookie);
  const auto session = cookies ? auth::cookie_in(*cookies, auth::kSessionCookie) : std::nullopt;
  auto who = state.access->identify({.authorization = authorization, .session = session},
                                    auth::wall_now());
  if (!who) {
    if (authorization)
      return std::unexpected(
          refuse_credential(exchange, *authorization, who.error().message).reply);
    refused(exchange, "credential");
    return std::unexpected(unauthorized(who.error().message));
  }
  if (!who->may(role)) {
    refused(exchange, "role");
    const Method asked = exchange.request().method;
    if (asked != Method::get && asked != Method::head) note_later(exchange, *who, 403);
    return std::unexpected(error_reply(
        403, "forbidden",
        fmt::format("this needs the role {}, not {}", to_string(role), to_string(who->role))));
  }
  return std::move(*who);
}

// Keeps the credential, as the head may be gone by then.
std::function<bool()> Api::allowance(const http::Exchange& exchange, auth::Role role) {
  const auto kept = [](std::optional<std::string_view> text) {
    return text ? std::optional<std::string>(*text) : std::nullopt;
  };
  const auto cookies = given(exchange.request(), Name::cookie);
  return
      [&state = mine(exchange), role,
       authorization = kept(given(exchange.request(), Name::authorization)),
       session = kept(cookies ? auth::cookie_in(*cookies, auth::kSessionCookie) : std::nullopt)] {
        if (role == auth::Role::none) return true;
        const auto who = state.access->identify(
            {.authorization = authorization, .session = session}, auth::wall_now());
        return who && who->may(role);
      };
}

Api::Refusal Api::refuse_credential(const http::Exchange& exchange, std::string_view credential,
                                    std::string_view reason) {
  auth::LoginLimit& logins = mine(exchange).logins;
  const std::string address = to_string(exchange.client().address);
  const auto wait = logins.blocked_for(address, Clock::now());
  if (!wait) {
    const bool counted = logins.failed(address, credential, Clock::now());
    refused(exchange, "credential");
    return {unauthorized(reason), counted};
  }
  refused(exchange, "rate");
  Reply reply =
      error_reply(429, "too_many_failures",
                  "this token is not good; what is wrong with it is not told, as too many bad "
                  "ones came from this address");
  reply.fields = fmt::format("Retry-After: {:.0f}\r\n", std::ceil(seconds(*wait)));
  return {std::move(reply)};
}

std::expected<Api::Session, Reply> Api::open_session(http::Exchange& exchange,
                                                     std::string_view token) {
  PerWorker& state = mine(exchange);
  if (!state.access)
    return std::unexpected(error_reply(503, "unavailable", "the tokens are not loaded"));
  auto who = state.access->identify_secret(token, auth::wall_now());
  if (!who) {
    Refusal refusal = refuse_credential(exchange, token, who.error().message);
    if (refusal.counted) note_later(exchange, {}, 401);  // a flood of them is not noted
    return std::unexpected(std::move(refusal.reply));
  }
  auto cookie = state.access->open_session(*who, auth::wall_now(), kSessionLife);
  if (!cookie) return std::unexpected(error_reply(cookie.error()));
  note_later(exchange, *who, 201);
  return Session{std::move(*who), std::move(*cookie), kSessionLife};
}

net::Task<> Api::look_for(http::Exchange& exchange, std::string_view token) {
  PerWorker& state = mine(exchange);
  const TimePoint now = Clock::now();
  if (!look_ || !state.access || !auth::digest_of_token(token) ||
      elapsed(state.looked, now) < kLookEvery)
    co_return;
  if (state.access->identify_secret(token, auth::wall_now())) co_return;
  state.looked = now;
  auto look = [this] { return look_(), true; };
  (void)co_await control_.run(exchange.worker(), std::move(look));
}

net::Task<Result<>> Api::end_session(http::Exchange& exchange) {
  const auto& access = mine(exchange).access;
  const auto cookies = given(exchange.request(), Name::cookie);
  const auto cookie = cookies ? auth::cookie_in(*cookies, auth::kSessionCookie) : std::nullopt;
  if (!access || !cookie || !end_session_) co_return Result<>{};
  const auth::WallTime now = auth::wall_now();
  auto who = access->identify({.authorization = std::nullopt, .session = cookie}, now);
  auto session = access->session_in(*cookie, now);
  if (!session) co_return Result<>{};  // it has ended, or never was
  auto end = [this, mark = std::move(*session)] { return end_session_(mark); };
  auto ended = co_await control_.run(exchange.worker(), std::move(end));
  if (!ended) co_return pass(ended);
  if (*ended && who) note_later(exchange, *who, 200);
  co_return std::move(*ended);
}

bool Api::is_operator(std::string_view token, const IpAddress& from, std::size_t worker) {
  return has_role(token, from, worker, auth::Role::operator_);
}

bool Api::shows(const http::Exchange& exchange, auth::Role role) {
  const auto authorization = given(exchange.request(), Name::authorization);
  const auto token = authorization ? auth::bearer_in(*authorization) : std::nullopt;
  return token && has_role(*token, exchange.client().address, exchange.worker().index(), role);
}

bool Api::has_role(std::string_view token, const IpAddress& from, std::size_t worker,
                   auth::Role role) {
  PerWorker& state = *state_[worker];
  if (!state.access) return false;
  // A signature costs a hundred times a token's hash, and here anybody may ask for it.
  if (!auth::looks_like_token(token) && state.logins.blocked_for(to_string(from), Clock::now()))
    return false;
  const auto who = state.access->identify_secret(token, auth::wall_now());
  if (!who) state.logins.failed(to_string(from), token, Clock::now());
  return who && who->may(role);
}

net::Task<Result<std::string>> Api::read_body(http::Exchange& exchange, const Endpoint& endpoint,
                                              Held& held) {
  std::string body;
  if (!exchange.has_body()) co_return body;
  exchange.limit_body(endpoint.body_limit != 0         ? endpoint.body_limit
                      : endpoint.takes == Takes::bytes ? kBytesLimit
                                                       : kBodyLimit);
  for (;;) {
    auto piece = co_await exchange.read();
    if (!piece) co_return pass(piece, "body");
    if (piece->empty()) co_return body;
    body += *piece;
    held.bytes += piece->size();
    held.in_flight += piece->size();
    if (held.in_flight > kBytesInFlight)
      co_return fail(Errc::overloaded, "too many bodies are being received");
  }
}

void Api::note_later(http::Exchange& exchange, const auth::Identity& who, unsigned status) {
  if (audit_ == nullptr) return;
  AuditEntry entry = entry_of(exchange, who);
  entry.status = status;
  note_later(std::move(entry));
}

void Api::note_later(AuditEntry entry) {
  // Where the control thread takes no more, it is written with the next tick.
  if (audit_->note_later(std::move(entry)) == Audit::Write::ask_for_it)
    (void)control_.submit([audit = audit_] { audit->write_waiting(); });
}

void Api::refused(const http::Exchange& exchange, std::string_view reason) {
  refused_.find(reason)->second->at(exchange.worker().index()).add();
}

}  // namespace headroom::server
