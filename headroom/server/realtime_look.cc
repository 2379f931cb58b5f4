#include "headroom/server/realtime_look.h"

#include <algorithm>
#include <chrono>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/json/writer.h"

namespace headroom::server {
namespace {

using http::Reply;
using realtime::ChannelStatus;
using realtime::Hub;
using realtime::Look;
using realtime::Sight;

constexpr Duration kStreamLife = std::chrono::minutes(15);
constexpr Duration kTurn = 100ms;
constexpr Duration kAskAgain = 1s;
constexpr Duration kBeat = 10s;  // a line to a client that may have gone
constexpr std::size_t kShownInTurn = 10;
constexpr std::size_t kMostChannels = 1000;
constexpr std::size_t kStandardChannels = 100;

Reply show_channels(const std::vector<ChannelStatus>& all, std::size_t most) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", "ok").key("channels").begin_array();
  for (std::size_t i = 0; i < std::min(most, all.size()); ++i) {
    const ChannelStatus& one = all[i];
    out.begin_object().field("app", one.app).field("channel", one.name);
    out.field("subscriptions", one.subscriptions)
        .field("messages", one.messages)
        .field("kept", one.kept)
        .field("kept_bytes", one.kept_bytes)
        .field("members", one.members)
        .end_object();
  }
  out.end_array().field("more", all.size() > most).end_object();
  return json_reply(std::move(body));
}

net::Task<Reply> channels(const Sources& sources, http::Exchange& x, const Call& call) {
  Hub* const hub = sources.hub ? sources.hub() : nullptr;
  if (hub == nullptr) co_return not_configured("channels more");
  const std::string limit = call.query_value("limit");
  const auto most =
      limit.empty() ? std::optional<std::uint64_t>(kStandardChannels) : text::to_u64(limit);
  if (!most || *most == 0 || *most > kMostChannels)
    co_return error_reply(400, "invalid", "limit: 1 to 1000");
  auto all = co_await hub->channels(x.group(), call.query_value("app"), call.query_value("prefix"));
  if (!all) co_return error_reply(all.error());
  co_return show_channels(*all, *most);
}

void append_event(std::string& out, const Sight& sight) {
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch());
  out += "data: ";
  json::Writer json(out);
  json.begin_object().key("time").fixed(now.count(), 3);
  json.field("app", sight.app)
      .field("channel", sight.channel)
      .field("event", sight.event)
      .field("data", sight.data)
      .field("bytes", sight.bytes);
  if (sight.data.size() < sight.bytes) json.field("cut", true);
  json.field("priority", sight.critical ? "critical" : "normal");
  sight.offset == 0 ? json.field("unheard", true) : json.field("offset", sight.offset);
  if (!sight.user_id.empty()) json.field("user_id", sight.user_id);
  json.end_object();
  out += "\n\n";
}

void append_skipped(std::string& out, std::uint64_t skipped) {
  if (skipped == 0) return;
  out += "data: ";
  json::Writer(out).begin_object().field("skipped", skipped).end_object();
  out += "\n\n";
}

// Until who looks may no longer: asked each second.
net::Task<> tell(http::Exchange& x, const Call& call, Look& look) {
  std::string piece = "retry: 2000\n\n:\n\n";
  const TimePoint end = Clock::now() + kStreamLife;
  TimePoint ask_again = Clock::now() + kAskAgain;
  TimePoint beat = Clock::now() + kBeat;
  while (Clock::now() < end) {
    if (Clock::now() >= ask_again) {
      if (!call.still_allowed()) break;
      ask_again = Clock::now() + kAskAgain;
    }
    if (!piece.empty()) {
      auto sent = co_await x.send(piece, http::Exchange::Last::no);
      if (!sent) co_return;
      piece.clear();
      auto slept = co_await net::sleep(x.group(), kTurn);
      if (!slept) break;
    }
    auto come = co_await look.wait(ask_again);
    if (!come && come.error().code != Errc::timeout) break;
    append_skipped(piece, look.skipped());
    for (const Sight& sight : look.take(kShownInTurn)) append_event(piece, sight);
    if (piece.empty() && Clock::now() >= beat) piece = ":\n\n";
    if (!piece.empty()) beat = Clock::now() + kBeat;
  }
  (void)co_await x.send("", http::Exchange::Last::yes);
}

net::Task<Reply> watch(const Sources& sources, http::Exchange& x, const Call& call) {
  Hub* const hub = sources.hub ? sources.hub() : nullptr;
  if (hub == nullptr) co_return refused_as_not_configured("the hub is off (realtime.enabled)");
  const std::string channel = call.query_value("channel");
  const std::string app = call.query_value("app");
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (channel.empty() || channel.size() > 200 || std::ranges::any_of(channel, control))
    co_return error_reply(400, "invalid", "channel: a name, or its beginning and *");
  if (x.request().method == http::Method::head) co_return json_reply("");
  const std::unique_ptr<Look> look = hub->look(x.group(), app, channel);
  if (!*look) co_return error_reply(503, "overloaded", "as many look already as may");
  log::info("server", "{} looks at what is published to {}", call.who.name, channel);
  x.start(200, "OK", {http::Exchange::Length::Kind::unknown, 0});
  x.head() +=
      "Content-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: "
      "nosniff\r\nX-Accel-Buffering: no\r\n";
  co_await tell(x, call, *look);
  co_return Reply{};
}

}  // namespace

void add_realtime_look_endpoints(Api& api, const Sources& sources) {
  api.add({.path = "/api/v1/realtime/channels",
           .run = Run::waiting,
           .tag = "realtime",
           .summary = "Channels with their subscriptions, messages and history, those with the "
                      "most subscriptions first.",
           .query = "app prefix limit",
           .task = [&sources](http::Exchange& x, const Call& call) -> net::Task<Reply> {
             return channels(sources, x, call);
           }});
  api.add({.path = "/api/v1/realtime/watch",
           .role = auth::Role::admin,
           .run = Run::waiting,
           .tag = "realtime",
           .summary =
               "What is published to a channel, or to all whose names begin so (name and *), "
               "as it comes: Server-Sent Events.",
           .content_type = "text/event-stream",
           .query = "app channel",
           .task = [&sources](http::Exchange& x, const Call& call) -> net::Task<Reply> {
             return watch(sources, x, call);
           }});
}

}  // namespace headroom::server
