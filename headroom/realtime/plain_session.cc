#include "headroom/realtime/plain_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "headroom/json/raw.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/encodings.h"
#include "headroom/realtime/pusher.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr Duration kTokenWait = 10s;
constexpr std::string_view kTooMany = "this user has all the connections it may";
constexpr std::array<std::string_view, 12> kOwnTypes{
    "welcome", "subscribed", "unsubscribed",    "published",     "pong", "error",
    "missed",  "paused",     "presence_joined", "presence_left", "lost", "positions"};

bool is_own_event(std::string_view event) {
  return std::ranges::find(kOwnTypes, event) != kOwnTypes.end() || event.starts_with("pusher:") ||
         event.starts_with("pusher_internal:") || event.starts_with("headroom:");
}

}  // namespace

PlainSession::PlainSession(http::Exchange& exchange, Part& part, Wire wire, std::string accepted,
                           Gate::Ticket place, Caller caller, Token token, Credentials credentials)
    : Session(exchange, part, wire, std::move(place), std::move(accepted)),
      caller_(std::move(caller)),
      token_(token),
      credentials_(std::move(credentials)),
      from_(exchange.client().address),
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

void PlainSession::greet() {
  if (caller_.known() && !claim(part().options().plain_app, caller_.name))
    return close(4429, kTooMany);
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
    if (find(channel) == nullptr) enter(channel, nullptr);
  }
}

void PlainSession::farewell() {
  timer_.clear();
  for (const auto& each : asking_) each->session = nullptr;
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
  if (type == "publish") return publish(message, text);
  refuse("invalid", "type is auth, subscribe, unsubscribe, publish or ping");
}

void PlainSession::authenticate(const json::Value& message) {
  auto caller = caller_of(*part().settings(), text_member(message, "token"), auth::wall_now());
  if (!caller || part().revocations().is_revoked(*caller))
    return close(4401, "the token is not valid");
  if (caller_.known() && caller->name != caller_.name)
    return close(4401, "the token is another user's");
  if (!caller_.known() && !claim(part().options().plain_app, caller->name))
    return close(4429, kTooMany);
  caller_ = std::move(*caller);
  set_timer();
  leave_what_is_closed();
  welcome();
}

// A newer token may say less.
void PlainSession::leave_what_is_closed() {
  const auto names = channels();
  for (const std::string& channel : names) {
    if (may_listen(part().options(), caller_, channel) == Listening::no) leave(channel);
  }
}

void PlainSession::leave(const std::string& channel) {
  remove(*find(channel));
  std::string text;
  json::Writer(text)
      .begin_object()
      .field("type", "unsubscribed")
      .field("channel", channel)
      .end_object();
  send_text(text);
}

void PlainSession::enter(const std::string& channel, std::unique_ptr<Position> since,
                         std::unique_ptr<Member> member) {
  const Access access = is_presence(channel)                  ? Access::presence
                        : part().options().is_public(channel) ? Access::open
                                                              : Access::restricted;
  if (access == Access::presence && !member && caller_.known())
    member = std::make_unique<Member>(Member{caller_.name, {}});
  add(part().options().plain_app, channel, access, std::move(since), std::move(member));
}

void PlainSession::subscribe(const json::Value& message) {
  const std::string channel = text_member(message, "channel");
  if (!is_plain_channel(channel))
    return refuse("invalid", "not a channel's name", channel.substr(0, 200));
  const Listening may = may_listen(part().options(), caller_, channel);
  const bool presence_of_nobody = is_presence(channel) && !caller_.known() && may != Listening::ask;
  if (presence_of_nobody || may == Listening::no)
    return refuse("unauthorized", "this channel is not open to you", channel);
  if (!may_subscribe())
    return refuse("overloaded", "too many subscriptions in a short time", channel);
  if (!has_room() || asking_.size() >= part().options().max_channels_per_connection)
    return refuse("limit", "too many channels on one connection", channel);
  std::unique_ptr<Position> since;
  if (const std::string text = text_member(message, "since"); !text.empty())
    since = std::make_unique<Position>(Position::parse(text).value_or(Position{}));
  if (Subscription* const there = find(channel)) {
    if (!since && !there->channel.is_paused(*there))
      return opened(*there, {.position = there->channel.reached(*there)});
    remove(*there);  // it is in it without asking, or paused, and now says from where
  }
  if (may == Listening::ask) return ask(channel, std::move(since));
  enter(channel, std::move(since));
}

void PlainSession::ask(const std::string& channel, std::unique_ptr<Position> since) {
  asking_.push_back(std::make_shared<Asking>(this, channel, std::move(since)));
  ask_next();
}

// Few of a connection at once: the others wait.
void PlainSession::ask_next() {
  for (std::size_t i = 0; i < std::min(asking_.size(), Asker::kAskedAtOnce); ++i) {
    const std::shared_ptr<Asking> asking = asking_[i];
    if (std::exchange(asking->begun, true)) continue;
    Question question{credentials_, show_socket(outlet().id()), asking->channel, caller_.name,
                      from_};
    if (part().tasks().spawn(
            [&part = part(), asking, question] { return await_answer(part, asking, question); }))
      continue;
    refuse("unavailable", "the server stops", asking->channel);
    asking_.erase(asking_.begin() + static_cast<std::ptrdiff_t>(i--));
  }
}

net::Task<> PlainSession::await_answer(Part& part, std::shared_ptr<Asking> asking,
                                       Question question) {
  const auto settings = part.settings();
  auto answer = co_await Asker::ask(part.shards(), part.tasks(), settings, question);
  if (asking->session != nullptr) asking->session->answered(*asking, answer);
}

void PlainSession::answered(Asking& asking, const Result<Answer>& answer) {
  std::erase_if(asking_, [&](const auto& each) { return each.get() == &asking; });
  ask_next();
  if (!answer) {
    const bool asked = answer.error().code != Errc::overloaded;
    return refuse(to_string(answer.error().code),
                  asked ? "the app does not say who may listen" : answer.error().message,
                  asking.channel);
  }
  std::unique_ptr<Member> member;
  bool known = caller_.known() || !is_presence(asking.channel);
  if (is_presence(asking.channel) && !answer->channel_data.empty()) {
    auto told = pusher::member_of(answer->channel_data, part().options());
    if (told) member = std::make_unique<Member>(std::move(*told));
    known = told.has_value();
  }
  if (!answer->allowed || !known)
    return refuse("unauthorized", "this channel is not open to you", asking.channel);
  if (find(asking.channel) != nullptr || !has_room()) return;
  enter(asking.channel, std::move(asking.since), std::move(member));
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
  refuse("limit", why.message, subscription.channel.name());
  remove(subscription);
}

void PlainSession::unsubscribe(const json::Value& message) {
  const std::string channel = text_member(message, "channel");
  if (find(channel) == nullptr)
    return refuse("not_found", "not subscribed", channel.substr(0, 200));
  leave(channel);
}

std::string PlainSession::missed(const Subscription& subscription, std::uint64_t messages) {
  std::string text;
  json::Writer(text)
      .begin_object()
      .field("type", "missed")
      .field("channel", subscription.channel.name())
      .field("messages", messages)
      .field("position", subscription.channel.reached(subscription).text())
      .end_object();
  return wrap(text, Wire::plain);
}

std::string PlainSession::paused(const Subscription& subscription, Position position) {
  std::string text;
  json::Writer(text)
      .begin_object()
      .field("type", "paused")
      .field("channel", subscription.channel.name())
      .field("position", position.text())
      .end_object();
  return wrap(text, Wire::plain);
}

void PlainSession::publish(const json::Value& message, std::string_view raw) {
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
  if (event.empty() || event.size() > 200 || is_own_event(event))
    return refuse("invalid", "event is a name of 1 to 200 bytes, none of the hub's own", named);
  if (shares_app(options) && !event.starts_with("client-"))
    return refuse("invalid", "in an app of the Pusher protocol clients' events begin with client-",
                  named);
  if (!may_send(options.client_publish_rate))
    return refuse("overloaded", "too many messages", named);
  const auto data = message.find("data");
  Publication what{.app = options.plain_app,
                   .channel = channel,
                   .event = event,
                   .user_id = caller_.name,
                   .except = outlet().id()};
  what.data = data ? json::compacted(json::raw_member(raw, "data")) : "null";
  if (what.data.size() > options.event_limit.count)
    return refuse("invalid", "the data is too large (realtime.event_limit)", named);
  if (auto good = part().settings()->check_data(event, what.data); !good) {
    part().cells().refused_data.add();
    return refuse("invalid", good.error().message, named);
  }
  part().publish(std::move(what));
  if (const auto ack = message.find("ack"); ack && ack->boolean() == false) return;
  std::string text;
  json::Writer(text)
      .begin_object()
      .field("type", "published")
      .field("channel", channel)
      .end_object();
  send_text(text);
}

}  // namespace headroom::realtime
