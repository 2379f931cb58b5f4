#include "headroom/realtime/plain_door.h"

#include <algorithm>
#include <set>

#include "headroom/auth/access.h"
#include "headroom/base/text.h"
#include "headroom/http/query.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/plain_session.h"
#include "headroom/realtime/stream_session.h"

namespace headroom::realtime {
namespace {

using http::Name;

constexpr std::string_view kSubprotocol = "headroom.v1+json";
constexpr std::string_view kTokenProtocol = "token.";
constexpr Duration kHeadTime = 10s;

enum class What : std::uint8_t { none, socket, events, poll };

What what_at(const http::Exchange& exchange) {
  const std::string_view path = exchange.request().path;
  const bool socket = path == kPlain || path == kSeedSockets || path == "/api/v1/ws/public";
  if (socket) return websocket::wants_websocket(exchange.request()) ? What::socket : What::none;
  if (path == "/_headroom/realtime/events" || path == kSeedEvents) return What::events;
  return path == "/_headroom/realtime/poll" ? What::poll : What::none;
}

net::Task<> refuse(http::Exchange& exchange, unsigned status, std::string_view code,
                   std::string why, std::string fields = {}) {
  http::Reply reply;
  reply.status = status;
  json::Writer(reply.body)
      .begin_object()
      .key("error")
      .begin_object()
      .field("code", code)
      .field("message", why)
      .end_object()
      .end_object();
  reply.fields = fields;
  exchange.close_after();
  (void)co_await exchange.reply(reply);
}

std::string token_in(const http::RequestHead& head, const http::QueryFields& query) {
  if (const auto bearer = auth::bearer_in(head.value_of(Name::authorization)))
    return std::string(*bearer);
  if (const auto field = http::find_field(query, "token")) return std::string(*field);
  for (const std::string_view offered :
       text::split(head.value_of(Name::sec_websocket_protocol), ',')) {
    if (offered.starts_with(kTokenProtocol))
      return std::string(offered.substr(kTokenProtocol.size()));
  }
  return {};
}

// "Access-Control-Allow-Origin" for a page that may listen.
std::string cors_of(const http::RequestHead& head) {
  if (!head.has(Name::origin)) return {};
  return "Access-Control-Allow-Origin: " + std::string(head.value_of(Name::origin)) +
         "\r\nVary: Origin\r\n";
}

std::vector<std::string> list_of(const http::QueryFields& query, std::string_view name) {
  std::vector<std::string> all;
  for (const std::string_view part : text::split(http::find_field(query, name).value_or(""), ','))
    all.emplace_back(part);
  return all;
}

// What the app said of the channels that it was asked about.
struct Said {
  std::set<std::string> allowed;
  std::set<std::string> unsure;  // it has not answered
};

// What is asked for, or why it is not given. Errc::unavailable: that is not known of one.
Result<StreamAsk> read_ask(const http::RequestHead& head, const http::QueryFields& query, Wire wire,
                           const Caller& caller, const RealtimeOptions& options, const Said& said) {
  StreamAsk ask{wire, list_of(query, "channels"), {}};
  if (ask.channels.empty() || ask.channels.size() > options.max_channels_per_connection)
    return fail(Errc::invalid, "channels: from one to the limit, separated by commas");
  for (const std::string& channel : ask.channels) {
    if (!is_plain_channel(channel))
      return fail(Errc::invalid,
                  "channels: '" + channel.substr(0, 100) + "' is not a channel's name");
    if (std::ranges::count(ask.channels, channel) > 1)
      return fail(Errc::invalid, "channels: one twice");
    const bool presence_of_nobody = is_presence(channel) && !caller.known();
    const Listening may = may_listen(options, caller, channel);
    if (presence_of_nobody || may == Listening::no ||
        (may == Listening::ask && !said.allowed.contains(channel) &&
         !said.unsure.contains(channel)))
      return fail(Errc::unauthorized, "'" + channel + "' is not open to you");
  }
  if (!said.unsure.empty())
    return fail(Errc::unavailable,
                "the app does not say who may listen to '" + *said.unsure.begin() + "'");
  std::string since(http::find_field(query, "since").value_or(""));
  if (const auto* last = head.find("Last-Event-ID"); last != nullptr) since = last->value;
  const auto texts = text::split(since, ',');
  for (std::size_t i = 0; i < ask.channels.size(); ++i) {
    std::unique_ptr<Position> position;  // an empty text: from now on
    const bool named = texts.size() == ask.channels.size();
    if (!since.empty() && !(named && texts[i].empty())) {
      position = std::make_unique<Position>(named ? Position::parse(texts[i]).value_or(Position{})
                                                  : Position{});
    }
    ask.since.push_back(std::move(position));
  }
  return ask;
}

// What a browser asks before it sends a token from another origin's page.
net::Task<> allow(http::Exchange& exchange) {
  http::Reply reply;
  reply.status = 204;
  reply.fields = cors_of(exchange.request()) +
                 "Access-Control-Allow-Methods: GET\r\n"
                 "Access-Control-Allow-Headers: Authorization, Last-Event-ID\r\n"
                 "Access-Control-Max-Age: 600\r\n";
  (void)co_await exchange.reply(reply);
}

// Of the channels in the query what the app says: few questions at once, as of a WebSocket. Errc::cancelled.
net::Task<Result<Said>> ask_app(http::Exchange& exchange, Part& part, const Caller& caller,
                                const http::QueryFields& query) {
  Said said;
  const auto settings = part.settings();
  const auto channels = list_of(query, "channels");
  if (channels.size() > part.options().max_channels_per_connection) co_return said;
  std::vector<std::string> wanted;
  for (const std::string& channel : channels) {
    if (is_plain_channel(channel) && may_listen(part.options(), caller, channel) == Listening::ask)
      wanted.push_back(channel);
  }
  for (std::size_t from = 0; from < wanted.size(); from += Asker::kAskedAtOnce) {
    const std::size_t end = std::min(wanted.size(), from + Asker::kAskedAtOnce);
    std::vector<Question> questions;
    for (std::size_t i = from; i < end; ++i)
      questions.push_back({credentials_in(exchange.request()), show_socket(part.next_socket()),
                           wanted[i], caller.name, exchange.client().address});
    auto answers =
        co_await Asker::ask_all(part.shards(), exchange.group(), settings, std::move(questions));
    if (!answers) co_return pass(answers);
    for (std::size_t i = from; i < end; ++i) {
      const auto& answer = (*answers)[i - from];
      if (!answer) said.unsure.insert(wanted[i]);
      if (answer && answer->allowed) said.allowed.insert(wanted[i]);
    }
  }
  co_return said;
}

}  // namespace

bool PlainDoor::takes(const http::Exchange& exchange) const {
  return exchange.request().path.starts_with(kPlain) || what_at(exchange) != What::none;
}

net::Task<> PlainDoor::serve(http::Exchange& exchange) {
  Part& part = shards_.part(exchange.worker());
  const http::RequestHead& head = exchange.request();
  const What what = what_at(exchange);
  if (what == What::none) {
    const bool socket = head.path == kPlain;
    co_return co_await refuse(exchange, socket ? 426 : 404,
                              socket ? "upgrade_required" : "not_found",
                              "a WebSocket at /_headroom/realtime, events and poll below it",
                              socket ? "Upgrade: websocket\r\nConnection: Upgrade\r\n" : "");
  }
  if (!websocket::may_open(head, exchange.client().secure, part.options().allowed_origins)) {
    part.cells().refuse(Refusal::origin);
    co_return co_await refuse(exchange, 403, "origin",
                              "pages of this origin may not connect (realtime.allowed_origins)");
  }
  if (head.method == http::Method::options && what != What::socket)
    co_return co_await allow(exchange);
  const std::string cors = cors_of(head);
  auto query = http::query_fields(head.query);
  if (!query) co_return co_await refuse(exchange, 400, "invalid", query.error().message, cors);
  Caller caller;
  if (const std::string token = token_in(head, *query); !token.empty()) {
    auto known = caller_of(*part.settings(), token, auth::wall_now());
    if (!known)
      co_return co_await refuse(exchange, 401, "unauthorized", known.error().message, cors);
    if (part.revocations().is_revoked(*known))
      co_return co_await refuse(exchange, 401, "unauthorized", "the token has been revoked", cors);
    caller = std::move(*known);
  }
  Gate::Ticket here = shards_.gate().enter(exchange.client().address);
  if (!here || part.draining()) {
    part.cells().refuse(Refusal::limit);
    co_return co_await refuse(exchange, 503, "overloaded", "over capacity; come back later",
                              "Retry-After: 2\r\n" + cors);
  }
  if (what == What::socket) co_return co_await socket(exchange, std::move(caller), std::move(here));
  co_await stream(exchange, std::move(caller), what == What::events ? Wire::events : Wire::lines,
                  std::move(here));
}

net::Task<> PlainDoor::socket(http::Exchange& exchange, Caller caller, Gate::Ticket place) {
  Part& part = shards_.part(exchange.worker());
  const auto handshake = websocket::read_handshake(exchange.request());
  if (!handshake) {
    part.cells().refuse(Refusal::handshake);
    co_return co_await refuse(exchange, handshake.error().status, "bad_handshake",
                              std::string(handshake.error().reason),
                              std::string(handshake.error().fields));
  }
  const bool offered =
      std::ranges::find(handshake->subprotocols, kSubprotocol) != handshake->subprotocols.end();
  const bool deflate = part.options().deflate && handshake->deflate;
  std::string accepted =
      websocket::accept(*handshake, offered ? kSubprotocol : std::string_view{},
                        deflate ? websocket::Compression::deflate : websocket::Compression::none);
  const bool needed = exchange.request().path == kSeedSockets;
  Credentials credentials;
  if (part.settings()->authorization) credentials = credentials_in(exchange.request());
  part.cells().opened_by(Wire::plain).add();
  exchange.leave(101, std::make_unique<PlainSession>(
                          exchange, part, deflate ? Wire::plain_deflated : Wire::plain,
                          std::move(accepted), std::move(place), std::move(caller),
                          needed ? PlainSession::Token::needed : PlainSession::Token::not_needed,
                          std::move(credentials)));
}

net::Task<> PlainDoor::stream(http::Exchange& exchange, Caller caller, Wire wire,
                              Gate::Ticket place) {
  Part& part = shards_.part(exchange.worker());
  const http::RequestHead& head = exchange.request();
  if (head.method != http::Method::get || head.minor_version == 0)
    co_return co_await refuse(exchange, 405, "method_not_allowed", "GET by HTTP/1.1",
                              "Allow: GET\r\n");
  auto query = http::query_fields(head.query);
  Result<Said> said;
  if (query) said = co_await ask_app(exchange, part, caller, *query);
  if (!said) co_return exchange.hijack();  // the server stops
  // Asking took a while.
  const bool expired = caller.expires && *caller.expires <= auth::wall_now();
  if (expired || (caller.known() && part.revocations().is_revoked(caller)))
    co_return co_await refuse(exchange, 401, "unauthorized", "the token no longer holds",
                              cors_of(head));
  auto ask = query ? read_ask(head, *query, wire, caller, part.options(), *said)
                   : Result<StreamAsk>(pass(query));
  if (!ask) {
    const Errc code = ask.error().code;
    const unsigned status = code == Errc::unavailable    ? 503
                            : code != Errc::unauthorized ? 400
                            : caller.known()             ? 403
                                                         : 401;
    const std::string later = status == 503 ? "Retry-After: 1\r\n" : "";
    co_return co_await refuse(exchange, status, to_string(code), ask.error().message,
                              later + cors_of(head));
  }
  Gate::Ticket of_user;
  if (caller.known()) {
    of_user = shards_.gate().enter_user(part.options().plain_app, caller.name);
    if (!of_user) {
      part.cells().refuse(Refusal::limit);
      co_return co_await refuse(exchange, 429, "overloaded",
                                "this user has all the connections it may",
                                "Retry-After: 5\r\n" + cors_of(head));
    }
  }
  exchange.close_after();
  exchange.start(200, {}, {http::Exchange::Length::Kind::unknown, 0});
  exchange.head() += wire == Wire::events ? "Content-Type: text/event-stream\r\n"
                                          : "Content-Type: application/x-ndjson\r\n";
  exchange.head() +=
      "Cache-Control: no-cache, no-store\r\nX-Accel-Buffering: no\r\n" + cors_of(head);
  exchange.stream().expire_writes_at(Clock::now() + kHeadTime);
  auto sent = co_await exchange.send({}, http::Exchange::Last::no);
  if (!sent) co_return exchange.hijack();
  part.cells().opened_by(wire).add();
  StreamSession::Places places{std::move(place), std::move(of_user)};
  exchange.leave(200, std::make_unique<StreamSession>(exchange, part, std::move(places),
                                                      std::move(caller), std::move(*ask)));
}

}  // namespace headroom::realtime
