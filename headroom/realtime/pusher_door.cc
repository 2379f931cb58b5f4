#include "headroom/realtime/pusher_door.h"

#include "headroom/base/text.h"
#include "headroom/realtime/counted.h"
#include "headroom/realtime/pusher.h"
#include "headroom/realtime/pusher_session.h"

namespace headroom::realtime {
namespace {

// What the protocol says to a client that is let in only to be told why not; 0: nothing is wrong.
struct Closing {
  int code = 0;
  std::string_view reason;
};

Closing wrong_version(const http::RequestHead& head) {
  auto query = http::query_fields(head.query);
  const auto protocol = query ? http::find_field(*query, "protocol") : std::nullopt;
  if (!protocol) return {4008, "no protocol version is given"};
  const auto number = text::to_u64(*protocol);
  if (!number) return {4006, "the protocol version is no number"};
  if (*number < 5 || *number > 7) return {4007, "protocol 7 is spoken here"};
  return {};
}

net::Task<> reply_refused(http::Exchange& exchange, unsigned status, std::string_view reason,
                          std::string_view fields) {
  http::Reply reply;
  reply.status = status;
  reply.body = R"({"error":{"code":"bad_handshake","message":")" + std::string(reason) + "\"}}";
  reply.fields = fields;
  exchange.close_after();
  (void)co_await exchange.reply(reply);
}

// The handshake, an error of the protocol, a close frame; then the peer closes.
net::Task<> reply_closed(http::Exchange& exchange, std::string head, Closing why) {
  exchange.hijack();
  websocket::append_frame(head, websocket::Opcode::text, pusher::error(why.code, why.reason));
  websocket::append_close(head, static_cast<std::uint16_t>(why.code), why.reason);
  net::Stream& stream = exchange.stream();
  stream.expire_at(Clock::now() + 3s);
  auto sent = co_await stream.write(head);
  if (!sent) co_return;
  stream.finish_writing();
  for (;;) {
    exchange.input().clear();
    auto bytes = co_await stream.read_into(exchange.input());
    if (!bytes || *bytes == 0) co_return;
  }
}

}  // namespace

std::shared_ptr<const App> PusherDoor::app_of(const http::Exchange& exchange) const {
  const std::string_view path = exchange.request().path;
  const auto& apps = shards_.part(exchange.worker()).settings()->by_key;
  const auto at = apps.find(path.substr(std::min(path.size(), kPusherSockets.size())));
  return at == apps.end() ? nullptr : at->second;
}

bool PusherDoor::takes(const http::Exchange& exchange) const {
  return websocket::wants_websocket(exchange.request()) && app_of(exchange) != nullptr;
}

net::Task<> PusherDoor::serve(http::Exchange& exchange) {
  Part& part = shards_.part(exchange.worker());
  const RealtimeOptions& options = part.options();
  const auto handshake = websocket::read_handshake(exchange.request());
  if (!handshake) {
    part.cells().refuse(Refusal::handshake);
    co_return co_await reply_refused(exchange, handshake.error().status, handshake.error().reason,
                                     handshake.error().fields);
  }
  if (!websocket::may_open(exchange.request(), exchange.client().secure, options.allowed_origins)) {
    part.cells().refuse(Refusal::origin);
    co_return co_await reply_refused(
        exchange, 403, "pages of this origin may not connect (realtime.allowed_origins)", {});
  }
  const auto app = app_of(exchange);
  Gate::Ticket in_hub = shards_.gate().enter(exchange.client().address);
  std::uint64_t before = 0;
  Counted in_app(app->open, before);
  Closing wrong = wrong_version(exchange.request());
  if (!app->options.enabled) wrong = {4003, "this app is disabled"};
  if (app->options.max_connections > 0 && before >= app->options.max_connections)
    wrong = {4004, "this app has all the connections it may"};
  if (!in_hub || part.draining()) wrong = {4100, "over capacity; come back later"};
  const bool deflate = options.deflate && handshake->deflate && wrong.code == 0;
  std::string accepted = websocket::accept(
      *handshake, {}, deflate ? websocket::Compression::deflate : websocket::Compression::none);
  if (wrong.code != 0) {
    part.cells().refuse(wrong.code == 4003 || (wrong.code >= 4006 && wrong.code <= 4008)
                            ? Refusal::handshake
                            : Refusal::limit);
    co_return co_await reply_closed(exchange, std::move(accepted), wrong);
  }
  part.cells().opened_by(Wire::pusher).add();
  exchange.leave(101, std::make_unique<PusherSession>(
                          exchange, part, deflate ? Wire::pusher_deflated : Wire::pusher,
                          std::move(accepted), app, std::move(in_hub), std::move(in_app)));
}

}  // namespace headroom::realtime
