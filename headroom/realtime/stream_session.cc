#include "headroom/realtime/stream_session.h"

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/encodings.h"

namespace headroom::realtime {
namespace {

constexpr std::string_view kLastChunk = "0\r\n\r\n";
constexpr Duration kLinger = 1s;
constexpr unsigned kReadsInTurn = 16;  // then others have theirs

}  // namespace

StreamSession::StreamSession(http::Exchange& exchange, Part& part, Places places, Caller caller,
                             StreamAsk ask)
    : part_(part),
      stream_(exchange.stream()),
      in_(part.worker().buffers()),
      places_(std::move(places)),
      caller_(std::move(caller)),
      ask_(std::move(ask)),
      outlet_(part, exchange.stream(), *this, ask_.wire),
      begun_(ask_.channels.size(), Channel::Begun::here) {}

void StreamSession::begin() {
  stream_.tell(
      [](void* whom) {
        auto& self = *static_cast<StreamSession*>(whom);
        self.part_.add_readable(self);
      },
      this);
  stream_.expire_writes_at(kNever);
  if (!polls()) outlet_.send(wrap("retry: 1000\n\n", ask_.wire));
  subscribe();
  if (polls()) poll_ends_ = Clock::now() + part_.options().poll_wait;
  token_ends_ = token_ends();
  expire_reads();
  part_.add_readable(*this);
}

void StreamSession::read() {
  for (unsigned reads = 0; reads < kReadsInTurn; ++reads) {
    const auto bytes = stream_.try_read_into(in_);
    if (bytes && !*bytes) return;
    if (!take_bytes(bytes)) return end_all();
  }
  part_.add_readable(*this);  // others have theirs first
}

void StreamSession::end_all() {
  for (auto& subscription : std::exchange(subscriptions_, {}))
    part_.unsubscribe(std::move(subscription));
  stream_.tell(nullptr, nullptr);
  stream_.abort(Errc::cancelled);
  part_.forget(*this);
  if (!outlet_.is_writing()) return finish();
  // The hub's tasks end after all connections.
  HR_ASSERT(part_.tasks().spawn([this]() -> net::Task<> {
    co_await outlet_.join();
    finish();
  }));
}

TimePoint StreamSession::token_ends() const {
  if (!caller_.expires) return kNever;
  const Duration left = *caller_.expires - auth::wall_now();
  return Clock::now() + std::clamp<Duration>(left, 0s, std::chrono::hours(24));
}

void StreamSession::expire_reads() {
  const TimePoint beat = Clock::now() + part_.options().heartbeat;
  stream_.expire_reads_at(ended_ ? Clock::now() + kLinger
                                 : std::min({beat, token_ends_, poll_ends_}));
}

bool StreamSession::take_bytes(const Result<std::optional<std::size_t>>& bytes) {
  in_.clear();
  if (bytes && **bytes == 0) return false;
  if (!bytes) {
    if (bytes.error().code != Errc::timeout || ended_) return false;
    const TimePoint now = Clock::now();
    if (now >= std::min(token_ends_, poll_ends_)) {
      close();
    } else {
      outlet_.send(wrap(polls() ? "\n" : ":\n\n", ask_.wire));
    }
  }
  expire_reads();
  return true;
}

void StreamSession::subscribe() {
  outlet_.hold();
  opening_ = ask_.channels.size();
  for (std::size_t i = 0; i < ask_.channels.size(); ++i) {
    const std::string& channel = ask_.channels[i];
    std::unique_ptr<Member> member;
    if (is_presence(channel)) member = std::make_unique<Member>(Member{caller_.name, {}});
    subscriptions_.push_back(part_.subscribe(outlet_, part_.options().plain_app, channel,
                                             std::move(ask_.since[i]), std::move(member)));
  }
}

void StreamSession::opened(Subscription& subscription, const Opened& how) {
  const auto at =
      std::ranges::find(subscriptions_, &subscription, [](const auto& each) { return each.get(); });
  begun_[static_cast<std::size_t>(at - subscriptions_.begin())] = how.begun;
  if (--opening_ == 0) tell_opened();
}

void StreamSession::not_opened(Subscription& subscription, const Error& why) {
  std::string text;
  json::Writer(text)
      .begin_object()
      .field("type", "error")
      .field("code", to_string(why.code))
      .field("message", why.message)
      .field("channel", subscription.channel.name())
      .end_object();
  tell(text);
  close();
}

void StreamSession::tell(std::string_view text) {
  std::string whole(polls() ? "" : "data: ");
  whole += text;
  whole += polls() ? "\n" : "\n\n";
  outlet_.send(wrap(whole, ask_.wire));
}

void StreamSession::tell_opened() {
  std::string text;
  json::Writer out(text);
  out.begin_object()
      .field("type", "subscribed")
      .field("channels", ask_.channels)
      .key("positions")
      .begin_array();
  for (const auto& each : subscriptions_) out.value(each->channel.reached(*each).text());
  out.end_array().key("recovered").begin_array();
  for (const Channel::Begun begun : begun_)
    begun == Channel::Begun::here ? out.null() : out.value(begun == Channel::Begun::recovered);
  out.end_array().end_object();
  tell(text);
  if (!polls()) outlet_.send(mark());
  delivered_ = false;
  outlet_.release();
}

std::string StreamSession::missed(const Subscription& subscription, std::uint64_t messages) {
  std::string text(polls() ? "" : "data: ");
  json::Writer(text)
      .begin_object()
      .field("type", "missed")
      .field("channel", subscription.channel.name())
      .field("messages", messages)
      .field("position", subscription.channel.reached(subscription).text())
      .end_object();
  return wrap(text + (polls() ? "\n" : "\n\n"), ask_.wire);
}

std::string StreamSession::paused(const Subscription& subscription, Position position) {
  std::string text(polls() ? "" : "data: ");
  json::Writer(text)
      .begin_object()
      .field("type", "paused")
      .field("channel", subscription.channel.name())
      .field("position", position.text())
      .end_object();
  return wrap(text + (polls() ? "\n" : "\n\n"), ask_.wire);
}

std::string StreamSession::mark() {
  delivered_ = true;
  std::string text;
  if (polls()) {
    json::Writer out(text);
    out.begin_object().field("type", "positions").key("positions").begin_array();
    for (const auto& each : subscriptions_) out.value(each->channel.reached(*each).text());
    out.end_array().end_object();
    return wrap(text + "\n", ask_.wire);
  }
  for (const auto& each : subscriptions_)
    text += (text.empty() ? "id: " : ",") + each->channel.reached(*each).text();
  return wrap(text + "\n\n", ask_.wire);
}

void StreamSession::written() {
  if (polls() && delivered_ && !ended_) {
    ended_ = true;
    outlet_.send_last(std::string(kLastChunk));
    stream_.expire_reads_at(Clock::now() + kLinger);
  }
}

// Without messages: where the client stands, and the end.
void StreamSession::close() {
  if (std::exchange(ended_, true)) return;
  if (polls() && opening_ == 0) outlet_.send(mark());
  outlet_.send_last(std::string(kLastChunk));
  stream_.expire_reads_at(Clock::now() + kLinger);
}

bool StreamSession::is_user(std::string_view app, std::string_view user) const {
  return app == part_.options().plain_app && caller_.known() && user == caller_.name;
}

void StreamSession::end(End why) {
  if (why == End::slow) {
    part_.cells().refuse(Refusal::slow);
    return stream_.abort(Errc::overloaded);
  }
  if (why == End::drain) part_.cells().refuse(Refusal::drain);
  close();
}

}  // namespace headroom::realtime
