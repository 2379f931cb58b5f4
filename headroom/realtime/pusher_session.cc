#include "headroom/realtime/pusher_session.h"

#include <algorithm>

#include "headroom/json/raw.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/encodings.h"
#include "headroom/realtime/pusher.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr int kDisabled = 4003;
constexpr int kOverQuota = 4004;
constexpr int kUnauthorized = 4009;
constexpr int kTooManyEvents = 4301;

// "data" may be an object, or a text that holds one.
template <class F>
void with_data(const json::Value& message, F use) {
  const auto data = message.find("data");
  if (!data) return use(message);  // has none of the members asked for
  if (const auto text = data->string()) {
    if (auto inner = json::parse(*text)) use(inner->root());
    return;
  }
  use(*data);
}

}  // namespace

PusherSession::PusherSession(http::Exchange& exchange, Part& part, Wire wire, std::string accepted,
                             std::shared_ptr<const App> app, Gate::Ticket in_hub, Counted in_app)
    : Session(exchange, part, wire, std::move(in_hub), std::move(accepted)),
      app_(std::move(app)),
      in_app_(std::move(in_app)) {}

void PusherSession::greet() {
  std::string data;
  json::Writer out(data);
  const auto timeout = std::chrono::floor<std::chrono::seconds>(part().options().heartbeat);
  out.begin_object()
      .field("socket_id", show_socket(outlet().id()))
      .field("activity_timeout", timeout.count())
      .end_object();
  send_text(pusher::event("pusher:connection_established", {}, data));
}

Session::Closing PusherSession::closing(End why) const {
  if (why == End::user_ended) return {kUnauthorized, "ended by the app"};
  return {
      4100,
      "the server restarts; come back"};  // clients then wait a second (42xx: they come back at once)
}

void PusherSession::take(std::string_view text) {
  auto document = json::parse(text);
  if (!document)
    return send_text(pusher::error(std::nullopt, "not JSON: " + document.error().message));
  const json::Value message = document->root();
  const std::string event = text_member(message, "event");
  if (event == "pusher:ping") return send_text(pusher::event("pusher:pong", {}, "{}"));
  if (event == "pusher:pong") return;
  if (event == "pusher:subscribe")
    return with_data(message, [this](const json::Value& data) { subscribe(data); });
  if (event == "pusher:unsubscribe")
    return with_data(message, [this](const json::Value& data) { unsubscribe(data); });
  if (event == "pusher:signin")
    return with_data(message, [this](const json::Value& data) { sign_in(data); });
  if (event.starts_with("client-")) return client_event(event, message, text);
  send_text(pusher::error(std::nullopt, "an event that clients do not send"));
}

// What allows the client into the channel; in a presence channel also who it is.
Result<std::unique_ptr<Member>> PusherSession::authorise(const std::string& channel,
                                                         const json::Value& data) {
  if (channel.starts_with(pusher::kUserChannel)) {
    const bool own =
        user_ && std::string_view(channel).substr(pusher::kUserChannel.size()) == user_->id;
    if (own) return nullptr;
    return fail(Errc::unauthorized, "not signed in as this user");
  }
  if (!pusher::is_channel_name(channel)) return fail(Errc::invalid, "not a channel's name");
  if (!pusher::needs_auth(channel)) return nullptr;
  const std::string channel_data = text_member(data, "channel_data");
  std::string signed_text = show_socket(outlet().id()) + ":" + channel;
  if (!channel_data.empty()) signed_text += ":" + channel_data;
  if (!pusher::is_signed(app_->options, text_member(data, "auth"), signed_text))
    return fail(Errc::unauthorized, "the signature is not valid");
  if (!is_presence(channel)) return nullptr;
  auto member = pusher::member_of(channel_data, part().options());
  if (!member) return pass(member);
  return std::make_unique<Member>(std::move(*member));
}

void PusherSession::subscribe(const json::Value& data) {
  const std::string channel = text_member(data, "channel");
  if (const Subscription* const there = find(channel)) {
    if (!there->channel.is_paused(*there))
      return send_text(pusher::error(std::nullopt, "already subscribed to " + channel));
    remove(*there);
  }
  if (!may_subscribe())
    return refuse(channel, {Errc::overloaded, "too many subscriptions in a short time"});
  if (!has_room())
    return refuse(channel, {Errc::overloaded, "too many channels on one connection"});
  auto member = authorise(channel, data);
  if (!member) return refuse(channel, member.error());
  std::unique_ptr<Position> since;
  if (const std::string after = text_member(data, "resume_after"); !after.empty()) {
    since = std::make_unique<Position>(Position::parse(after).value_or(Position{}));
  }
  const Access access = is_presence(channel)          ? Access::presence
                        : pusher::needs_auth(channel) ? Access::restricted
                                                      : Access::open;
  add(app_->options.id, channel, access, std::move(since), std::move(*member));
}

void PusherSession::refuse(const std::string& channel, const Error& why) {
  std::string text;
  json::Writer out(text);
  const int status = why.code == Errc::unauthorized ? 401 : why.code == Errc::invalid ? 400 : 403;
  const std::string_view type = why.code == Errc::unauthorized ? "AuthError"
                                : why.code == Errc::invalid    ? "Invalid"
                                                               : "LimitReached";
  out.begin_object()
      .field("event", "pusher:subscription_error")
      .field("channel", channel)
      .key("data")
      .begin_object();
  out.field("type", type)
      .field("error", why.message)
      .field("status", status)
      .end_object()
      .end_object();
  send_text(text);
}

void PusherSession::opened(Subscription& subscription, const Opened& how) {
  const std::string& channel = subscription.channel.name();
  std::string text;
  json::Writer out(text);
  out.begin_object()
      .field("event", "pusher_internal:subscription_succeeded")
      .field("channel", channel);
  out.field("data", how.members ? std::string_view(*how.members) : std::string_view("{}"));
  if (subscription.channel.rule().history > 0) out.field("position", how.position.text());
  if (how.begun != Channel::Begun::here)
    out.field("recovered", how.begun == Channel::Begun::recovered);
  out.end_object();
  send_text(text);
  if (!is_cache(channel) || how.begun == Channel::Begun::recovered) return;
  if (how.last) {
    outlet().send(Bits(how.last, &how.last->wire(Wire::pusher)));
  } else {
    send_text(pusher::event("pusher:cache_miss", channel, "{}"));
    if (Hooks::wants(*part().settings(), app_->options.id, HookKind::cache_channels))
      part().shards().hooks().note(app_->options.id, cache_miss_event(channel));
  }
}

void PusherSession::not_opened(Subscription& subscription, const Error& why) {
  refuse(subscription.channel.name(), why);
  remove(subscription);
}

void PusherSession::unsubscribe(const json::Value& data) {
  if (const Subscription* const subscription = find(text_member(data, "channel")))
    remove(*subscription);
}

std::string PusherSession::missed(const Subscription& subscription, std::uint64_t messages) {
  std::string data;
  json::Writer(data)
      .begin_object()
      .field("position", subscription.channel.reached(subscription).text())
      .field("missed", messages)
      .end_object();
  return wrap(pusher::event("headroom:missed", subscription.channel.name(), data), Wire::pusher);
}

std::string PusherSession::paused(const Subscription& subscription, Position position) {
  std::string data;
  json::Writer(data).begin_object().field("position", position.text()).end_object();
  return wrap(pusher::event("headroom:paused", subscription.channel.name(), data), Wire::pusher);
}

bool PusherSession::is_user(std::string_view app, std::string_view user) const {
  return app == app_->options.id && user_ && user == user_->id;
}

void PusherSession::sign_in(const json::Value& data) {
  const std::string user_data = text_member(data, "user_data");
  const bool good = pusher::is_signed(app_->options, text_member(data, "auth"),
                                      show_socket(outlet().id()) + "::user::" + user_data);
  auto document =
      good ? json::parse(user_data)
           : Result<json::Document>(fail(Errc::unauthorized, "the signature is not valid"));
  const std::string id = document ? text_member(document->root(), "id") : std::string();
  std::vector<std::string> watchlist;
  const auto list = document ? document->root().find("watchlist") : std::nullopt;
  for (std::size_t i = 0; list && i < list->size() && i < kMostWatched; ++i) {
    const std::string user(list->item(i).string().value_or(""));
    const bool good_id = !user.empty() && user.size() <= pusher::kUserIdLimit;
    if (good_id && std::ranges::find(watchlist, user) == watchlist.end()) watchlist.push_back(user);
  }
  if (id.empty() || id.size() > pusher::kUserIdLimit)
    return close(kUnauthorized, "the sign-in is not valid");
  if (!claim(app_->options.id, id))
    return close(kOverQuota, "this user has all the connections it may");
  if (user_id() != id) leave_user_channel();
  sign_out();  // as another, perhaps
  std::string answer;
  json::Writer(answer).begin_object().field("user_data", user_data).end_object();
  send_text(pusher::event("pusher:signin_success", {}, answer));
  part().sign_in(app_->options.id, id, outlet().id());
  for (const std::string& user : watchlist) part().watch(app_->options.id, user, outlet());
  user_ = std::make_unique<User>(id, std::move(watchlist));
}

// What is sent to a user goes to nobody else.
void PusherSession::leave_user_channel() {
  if (const Subscription* const own = find(std::string(pusher::kUserChannel).append(user_id())))
    remove(*own);
}

void PusherSession::sign_out() {
  const std::unique_ptr<User> left = std::exchange(user_, nullptr);
  if (!left) return;
  part().sign_out(app_->options.id, left->id, outlet().id());
  part().unwatch(app_->options.id, left->watchlist, outlet());
}

// What a secret has opened, it no longer does once it is another.
void PusherSession::settings_changed() {
  const auto& apps = part().settings()->by_id;
  const auto now = apps.find(app_->options.id);
  if (now == apps.end()) return;  // taken away: it goes on as it is
  const bool same = now->second->options.secret == app_->options.secret &&
                    now->second->options.key == app_->options.key;
  app_ = now->second;
  if (!app_->options.enabled) return close(kDisabled, "this app is disabled");
  if (!same) close(kUnauthorized, "the app's key or secret has changed");
}

void PusherSession::farewell() { sign_out(); }

void PusherSession::watched(const Presences& news) {
  std::string data;
  json::Writer out(data);
  out.begin_object().key("events").begin_array();
  const auto add = [&](std::string_view name, const std::vector<std::string>& users) {
    if (!users.empty())
      out.begin_object().field("name", name).field("user_ids", users).end_object();
  };
  add("online", news.online);
  add("offline", news.offline);
  out.end_array().end_object();
  send_text(pusher::event("pusher_internal:watchlist_events", {}, data));
}

void PusherSession::client_event(std::string_view event, const json::Value& message,
                                 std::string_view text) {
  const std::string channel = text_member(message, "channel");
  const auto refuse = [this](std::optional<int> code, std::string_view why) {
    send_text(pusher::error(code, why));
  };
  if (!app_->options.client_events)
    return refuse(std::nullopt, "client events are not enabled for this app");
  const Subscription* const subscription = find(channel);
  if (subscription == nullptr || !pusher::needs_auth(channel))
    return refuse(std::nullopt,
                  "client events go to private and presence channels that the client is in");
  if (channel.starts_with("private-encrypted-"))
    return refuse(std::nullopt, "there are no client events on encrypted channels");
  if (event.size() > pusher::kNameLimit)
    return refuse(std::nullopt, "the event's name is too long");
  if (!may_send(app_->options.client_event_rate))
    return refuse(kTooManyEvents, "too many client events");
  const auto data = message.find("data");
  Publication what{.app = app_->options.id,
                   .channel = channel,
                   .event = std::string(event),
                   .except = outlet().id()};
  what.data = data ? json::compacted(json::raw_member(text, "data")) : "null";
  if (what.data.size() > part().options().event_limit.count)
    return refuse(std::nullopt, "the event's data is too large");
  if (auto good = part().settings()->check_data(event, what.data); !good) {
    part().cells().refused_data.add();
    return refuse(std::nullopt, good.error().message);
  }
  if (subscription->member) what.user_id = subscription->member->user_id;
  part().publish(std::move(what));
}

}  // namespace headroom::realtime
