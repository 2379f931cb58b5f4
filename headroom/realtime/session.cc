#include "headroom/realtime/session.h"

#include <algorithm>

#include "headroom/limit/budget.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr Duration kCloseAnswer = 3s;
constexpr Duration kLinger = 1s;

}  // namespace

std::string text_member(const json::Value& object, std::string_view name) {
  const auto member = object.find(name);
  return member ? std::string(member->string().value_or("")) : std::string();
}

Session::Session(http::Exchange& exchange, Part& part, Wire wire)
    : part_(part),
      stream_(exchange.stream()),
      in_(exchange.input()),
      outlet_(part, exchange.stream(), *this, wire),
      decoder_(
          websocket::Role::server, part.options().message_limit.count,
          face_of(wire) == wire ? websocket::Compression::none : websocket::Compression::deflate) {}

net::Task<> Session::run(std::string accepted) {
  stream_.expire_writes_at(Clock::now() + part_.options().pong_timeout);
  auto sent = co_await stream_.write(accepted);
  stream_.expire_writes_at(kNever);  // from here on the outlet sets it, while it waits
  accepted = {};
  if (sent) {
    begin();
    co_await read();
  }
  finish();
  for (auto& subscription : std::exchange(subscriptions_, {}))
    part_.unsubscribe(std::move(subscription));
  if (outlet_.state() == Outlet::State::ready)
    outlet_.write();  // last words, if the connection takes them
  stream_.finish_writing();
  co_await linger();
  stream_.abort(Errc::cancelled);
  co_await outlet_.join();
}

// Until the peer has closed too: closing with bytes unread would reset the connection, and it might not see why.
net::Task<> Session::linger() {
  stream_.expire_reads_at(Clock::now() + kLinger);
  for (;;) {
    in_.clear();
    auto bytes = co_await stream_.read_into(in_);
    if (!bytes || *bytes == 0) co_return;
  }
}

net::Task<> Session::read() {
  decode();  // what came behind the request
  while (stage_ != Stage::closed) {
    const RealtimeOptions& options = part_.options();
    if (stage_ == Stage::open)
      stream_.expire_reads_at(Clock::now() + (asked_ ? options.pong_timeout : options.heartbeat));
    auto bytes = co_await stream_.read_into(in_);
    if (!bytes) {
      if (wait_ended(bytes.error())) co_return;
      continue;
    }
    if (*bytes == 0) co_return;
    asked_ = false;
    decode();
  }
}

// Whether that is the end, or only a silence.
bool Session::wait_ended(const Error& why) {
  if (why.code != Errc::timeout || stage_ != Stage::open) return true;
  if (!asked_) {
    asked_ = true;
    std::string ping;
    websocket::append_frame(ping, websocket::Opcode::ping, {});
    outlet_.send(std::move(ping));
    return false;
  }
  part_.cells().refuse(Refusal::silent);
  const Closing how = silent();
  close(how.code, how.reason);
  return true;  // it has been silent for long enough
}

void Session::decode() {
  std::size_t done = 0;
  while (stage_ != Stage::closed) {
    const std::span<char> rest(in_.begin() + done, in_.size() - done);
    const websocket::Step step = decoder_.next(rest);
    done += step.consumed;
    if (step.what == websocket::Step::What::more) break;
    take(step);
  }
  in_.consume(stage_ == Stage::closed ? in_.size() : done);
}

void Session::take(const websocket::Step& step) {
  using What = websocket::Step::What;
  switch (step.what) {
    case What::more:
    case What::pong: break;
    case What::ping: {
      std::string pong;
      websocket::append_frame(pong, websocket::Opcode::pong, step.payload);
      if (stage_ == Stage::open) outlet_.send(std::move(pong));
      break;
    }
    case What::text:
      part_.cells().received.add();
      if (stage_ == Stage::open) take(step.payload);
      break;
    case What::binary:
      part_.cells().refuse(Refusal::protocol);
      close(static_cast<std::uint16_t>(websocket::CloseCode::unsupported_data),
            "text is spoken here");
      break;
    case What::close: answer_close(step.code); break;
    case What::refused:
      part_.cells().refuse(Refusal::protocol);
      close(static_cast<std::uint16_t>(step.code), step.payload);
      stage_ = Stage::closed;
      break;
  }
}

bool Session::claim(const std::string& app, const std::string& user) {
  user_ = {};  // it may have been another's
  user_ = part_.shards().gate().enter_user(app, user);
  if (!user_) part_.cells().refuse(Refusal::limit);
  return static_cast<bool>(user_);
}

bool Session::may_send(const config::Rate& rate) {
  const limit::Budget budget = limit::Budget::gcra(rate, rate.count);
  if (!sent_) {
    sent_ = std::make_unique<std::byte[]>(budget.state_bytes());
    budget.begin(sent_.get());
  }
  const TimePoint now = Clock::now();
  if (!budget.check(sent_.get(), now, 1).allowed) return false;
  budget.take(sent_.get(), now, 1);
  return true;
}

Subscription* Session::find(std::string_view channel) const {
  const auto at = std::ranges::find_if(
      subscriptions_, [&](const auto& each) { return each->channel.name() == channel; });
  return at == subscriptions_.end() ? nullptr : at->get();
}

void Session::add(const std::string& app, const std::string& channel, Access access,
                  std::unique_ptr<Position> since, std::unique_ptr<Member> member) {
  part_.cells().subscriptions[static_cast<std::size_t>(access)]->add();
  subscriptions_.push_back(
      part_.subscribe(outlet_, app, channel, std::move(since), std::move(member)));
}

void Session::remove(const Subscription& subscription) {
  const auto at =
      std::ranges::find(subscriptions_, &subscription, [](const auto& each) { return each.get(); });
  auto owned = std::move(*at);
  subscriptions_.erase(at);
  part_.unsubscribe(std::move(owned));
}

void Session::answer_close(websocket::CloseCode code) {
  const bool named = code != websocket::CloseCode::no_status;
  if (stage_ == Stage::open)
    close(static_cast<std::uint16_t>(named ? code : websocket::CloseCode::normal), {});
  stage_ = Stage::closed;
}

void Session::send_text(std::string_view text) {
  if (stage_ != Stage::open) return;
  std::string frame;
  frame.reserve(text.size() + websocket::kMaxHeaderBytes);
  websocket::append_frame(frame, websocket::Opcode::text, text);
  outlet_.send(std::move(frame));
}

void Session::close(std::uint16_t code, std::string_view reason) {
  if (stage_ != Stage::open) return;
  stage_ = Stage::closing;
  std::string frame;
  websocket::append_close(frame, code, reason);
  outlet_.send_last(std::move(frame));
  stream_.expire_reads_at(Clock::now() + kCloseAnswer);
}

void Session::end(End why) {
  if (why == End::slow) {
    // It takes nothing, so it cannot be told.
    part_.cells().refuse(Refusal::slow);
    return stream_.abort(Errc::overloaded);
  }
  if (why == End::drain) part_.cells().refuse(Refusal::drain);
  const Closing how = closing(why);
  close(how.code, how.reason);
}

}  // namespace headroom::realtime
