#include "headroom/realtime/plain_session.h"

#include <algorithm>
#include <array>

#include "headroom/json/writer.h"
#include "headroom/realtime/encodings.h"

namespace headroom::realtime {
namespace {

constexpr Duration kTokenWait = 10s;
constexpr std::array<std::string_view, 9> kOwnTypes{
    "welcome", "subscribed", "unsubscribed",    "published",    "pong",
    "error",   "missed",     "presence_joined", "presence_left"};

std::string text_member(const json::Value& object, std::string_view name) {
  const auto member = object.find(name);
  return member ? std::string(member->string().value_or("")) : std::string();
}

}  // namespace

PlainSession::PlainSession(http::Exchange& exchange, Part& part, Caller caller, Token token)
    : Session(exchange, part, Wire::plain),
      caller_(std::move(caller)),
      token_(token),
      timer_(part.worker().wheel(), *this) {}

void PlainSession::set_timer() {
  if (caller_.expires) {
    const auto left = *caller_.expires - auth::wall_now();
    timer_.set(Clock::now() + std::clamp<Duration>(left, 0s, std::chrono::hours(24)));
  } else if (token_ == Token::needed && !caller_.known()) {
    timer_.set(Clock::now() + kTokenWait);
  } else {
    timer_.clear();
  }
}

void PlainSession::token_ended() {
  if (caller_.expires && *caller_.expires > auth::wall_now()) return set_timer();
  close(4401, caller_.known() ? "the token has expired" : "no token came");
}

void PlainSession::begin() {
  set_timer();
  if (token_ == Token::needed && !caller_.known()) return;
  welcome();
}

void PlainSession::welcome() {
  const auto own = own_channels(caller_);
  std::string text;
  json::Writer out(text);
  out.begin_object().field("type", "welcome").field("id", show_socket(outlet().id()));
  if (caller_.known()) out.field("user", caller_.name);
  out.field("channels", own).end_object();
  send_text(text);
  for (const std::string& channel : own) {
    if (find(channel) == nullptr) add(channel, nullptr);
  }
}

void PlainSession::finish() {
  timer_.clear();
  for (auto& subscription : std::exchange(subscriptions_, {}))
    part().unsubscribe(std::move(subscription));
}

Session::Closing PlainSession::closing(End why) const {
  if (why == End::user_ended) return {4403, "ended by the app"};
  return {1012, "the server restarts; come back"};
}

bool PlainSession::is_user(std::string_view app, std::string_view user) const {
  return app == part().options().plain_app && caller_.known() && user == caller_.name;
}

void PlainSession::refuse(std::string_view code, std::string_view why, std::string_view channel) {
  std::string text;
  json::Writer out(text);
  out.begin_object().field("type", "error").field("code", code).field("message", why);
  if (!channel.empty()) out.field("channel", channel);
  out.end_object();
  send_text(text);
}

void PlainSession::take(std::string_view text) {
  auto document = json::parse(text);
  if (!document) return refuse("invalid", "not JSON: " + document.error().message);
  const json::Value message = document->root();
  const std::string type = text_member(message, "type");
  if (type == "ping") return send_text(R"({"type":"pong"})");
  if (type == "pong") return;
  if (type == "auth") return authenticate(message);
  if (token_ == Token::needed && !caller_.known())
    return refuse("unauthorized", "first a token: {\"type\": \"auth\", \"token\": \"...\"}");
  if (type == "subscribe") return subscribe(message);
  if (type == "unsubscribe") return unsubscribe(message);
  if (type == "publish") return publish(message);
  refuse("invalid", "type is auth, subscribe, unsubscribe, publish or ping");
}

void PlainSession::authenticate(const json::Value& message) {
  auto caller = caller_of(*part().settings(), text_member(message, "token"), auth::wall_now());
  if (!caller) return close(4401, "the token is not valid");
  if (caller_.known() && caller->name != caller_.name)
    return close(4401, "the token is another user's");
  caller_ = std::move(*caller);
  set_timer();
  welcome();
}

Subscription* PlainSession::find(std::string_view channel) const {
  const auto at = std::ranges::find_if(
      subscriptions_, [&](const auto& each) { return each->channel.name() == channel; });
  return at == subscriptions_.end() ? nullptr : at->get();
}

void PlainSession::add(const std::string& channel, std::unique_ptr<Position> since) {
  const Access access = is_presence(channel)                  ? Access::presence
                        : part().options().is_public(channel) ? Access::open
                                                              : Access::restricted;
  part().cells().subscriptions[static_cast<std::size_t>(access)]->add();
  std::unique_ptr<Member> member;
  if (access == Access::presence && caller_.known())
    member = std::make_unique<Member>(Member{caller_.name, {}});
  subscriptions_.push_back(part().subscribe(outlet(), part().options().plain_app, channel,
                                            std::move(since), std::move(member)));
}

void PlainSession::subscribe(const json::Value& message) {
  const std::string channel = text_member(message, "channel");
  if (!is_plain_channel(channel))
    return refuse("invalid", "not a channel's name", channel.substr(0, 200));
  const bool presence_of_nobody = is_presence(channel) && !caller_.known();
  if (presence_of_nobody || !may_listen(part().options(), caller_, channel))
    return refuse("unauthorized", "this channel is not open to you", channel);
  if (subscriptions_.size() >= part().options().max_channels_per_connection)
    return refuse("overloaded", "too many channels on one connection", channel);
  std::unique_ptr<Position> since;
  if (const std::string text = text_member(message, "since"); !text.empty())
    since = std::make_unique<Position>(Position::parse(text).value_or(Position{}));
  if (Subscription* const there = find(channel)) {
    if (!since) return opened(*there, {.position = there->channel.reached(*there)});
    remove(*there);  // it is in it without asking, and now says from where
  }
  add(channel, std::move(since));
}

void PlainSession::opened(Subscription& subscription, const Opened& how) {
  std::string text;
  json::Writer out(text);
  out.begin_object()
      .field("type", "subscribed")
      .field("channel", subscription.channel.name())
      .field("position", how.position.text());
  if (how.begun != Channel::Begun::here)
    out.field("recovered", how.begun == Channel::Begun::recovered);
  if (how.members) out.key("members").raw(*how.members);
  out.end_object();
  send_text(text);
  if (is_cache(subscription.channel.name()) && how.last && how.begun != Channel::Begun::recovered)
    outlet().send(Bits(how.last, &how.last->wire(Wire::plain)));
}

void PlainSession::not_opened(Subscription& subscription, const Error& why) {
  refuse(to_string(why.code), why.message, subscription.channel.name());
  remove(subscription);
}

void PlainSession::remove(const Subscription& subscription) {
  const auto at =
      std::ranges::find(subscriptions_, &subscription, [](const auto& each) { return each.get(); });
  auto owned = std::move(*at);
  subscriptions_.erase(at);
  part().unsubscribe(std::move(owned));
}

void PlainSession::unsubscribe(const json::Value& message) {
  const std::string channel = text_member(message, "channel");
  const Subscription* const subscription = find(channel);
  if (subscription == nullptr) return refuse("not_found", "not subscribed", channel.substr(0, 200));
  remove(*subscription);
  std::string text;
  json::Writer(text)
      .begin_object()
      .field("type", "unsubscribed")
      .field("channel", channel)
      .end_object();
  send_text(text);
}

std::string PlainSession::missed(const Subscription& subscription, std::uint64_t messages) {
  std::string text;
  json::Writer(text)
      .begin_object()
      .field("type", "missed")
      .field("channel", subscription.channel.name())
      .field("messages", messages)
      .end_object();
  return wrap(text, Wire::plain);
}

void PlainSession::publish(const json::Value& message) {
  const RealtimeOptions& options = part().options();
  const std::string channel = text_member(message, "channel");
  const std::string event = text_member(message, "event");
  const std::string_view named = std::string_view(channel).substr(0, 200);
  const bool own = channel == kBroadcast || channel.starts_with("user:") ||
                   channel.starts_with("group:") || channel.starts_with("location:");
  if (!options.client_publish || !caller_.known() || own)
    return refuse("unauthorized", "clients do not publish here (realtime.client_publish)", named);
  if (find(channel) == nullptr)
    return refuse("unauthorized", "who publishes is in the channel", named);
  if (event.empty() || event.size() > 200 || std::ranges::find(kOwnTypes, event) != kOwnTypes.end())
    return refuse("invalid", "event is a name of 1 to 200 bytes, none of the hub's own", named);
  const limit::Budget budget =
      limit::Budget::gcra(options.client_publish_rate, options.client_publish_rate.count);
  if (!sent_) {
    sent_ = std::make_unique<std::byte[]>(budget.state_bytes());
    budget.begin(sent_.get());
  }
  const TimePoint now = Clock::now();
  if (!budget.check(sent_.get(), now, 1).allowed)
    return refuse("overloaded", "too many messages", named);
  budget.take(sent_.get(), now, 1);
  const auto data = message.find("data");
  Publication what{.app = options.plain_app,
                   .channel = channel,
                   .event = event,
                   .user_id = caller_.name,
                   .except = outlet().id()};
  what.data = data ? data->text() : "null";
  if (what.data.size() > options.event_limit.count)
    return refuse("invalid", "the data is too large (realtime.event_limit)", named);
  part().publish(std::move(what));
  std::string text;
  json::Writer(text)
      .begin_object()
      .field("type", "published")
      .field("channel", channel)
      .end_object();
  send_text(text);
}

}  // namespace headroom::realtime
