#include "headroom/realtime/session.h"

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/limit/budget.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr Duration kCloseAnswer = 3s;
constexpr Duration kLinger = 1s;
constexpr unsigned kReadsInTurn = 16;  // then others have theirs

}  // namespace

std::string text_member(const json::Value& object, std::string_view name) {
  const auto member = object.find(name);
  return member ? std::string(member->string().value_or("")) : std::string();
}

Session::Session(http::Exchange& exchange, Part& part, Wire wire, Gate::Ticket place,
                 std::string accepted)
    : in_(part.worker().buffers()),
      outlet_(part, exchange.stream(), *this, wire),
      decoder_(
          websocket::Role::server, part.options().message_limit.count,
          face_of(wire) == wire ? websocket::Compression::none : websocket::Compression::deflate),
      place_(std::move(place)) {
  in_.append(exchange.input().data());  // what came behind the request
  outlet_.send(std::move(accepted));
}

void Session::begin() {
  stream().tell(
      [](void* whom) {
        auto& self = *static_cast<Session*>(whom);
        self.part().add_readable(self);
      },
      this);
  greet();
  decode();
  expire_reads();
  part().add_readable(*this);
}

void Session::read() {
  for (unsigned reads = 0; reads < kReadsInTurn; ++reads) {
    if (stage_ == Stage::closed) linger();
    if (stage_ == Stage::lingering) in_.clear();
    const auto bytes = stream().try_read_into(in_);
    if (bytes && !*bytes) return;
    if (stage_ == Stage::lingering) {
      if (!bytes || **bytes == 0) return end_all();
    } else if (!take_bytes(bytes)) {
      stage_ = Stage::closed;
    }
  }
  part().add_readable(*this);  // others have theirs first
}

// Until the peer has closed too: closing with bytes unread would reset the connection, and it might not see why.
void Session::linger() {
  stage_ = Stage::lingering;
  give_up_subscriptions();
  stream().finish_writing();
  stream().expire_reads_at(Clock::now() + kLinger);
}

void Session::end_all() {
  stream().tell(nullptr, nullptr);
  stream().abort(Errc::cancelled);
  part().forget(*this);
  if (!outlet_.is_writing()) return finish();
  // The hub's tasks end after all connections.
  HR_ASSERT(part().tasks().spawn([this]() -> net::Task<> {
    co_await outlet_.join();
    finish();
  }));
}

void Session::give_up_subscriptions() {
  farewell();
  for (auto& [channel, subscription] : std::exchange(subscriptions_, {}))
    part().unsubscribe(std::move(subscription));
  if (outlet_.state() == Outlet::State::ready)
    outlet_.write();  // last words, if the connection takes them
}

void Session::expire_reads() {
  const RealtimeOptions& options = part().options();
  if (stage_ == Stage::open)
    stream().expire_reads_at(Clock::now() + (asked_ ? options.pong_timeout : options.heartbeat));
}

// What has come, an error or a silence; whether the connection goes on.
bool Session::take_bytes(const Result<std::optional<std::size_t>>& bytes) {
  if (!bytes) {
    if (wait_ended(bytes.error())) return false;
  } else if (**bytes == 0) {
    return false;
  } else {
    asked_ = false;
    decode();
  }
  expire_reads();
  return true;
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
  part().cells().refuse(Refusal::silent);
  const Closing how = silent();
  close(how.code, how.reason);
  return true;  // it has been silent for long enough
}

void Session::decode() {
  std::size_t done = 0;
  while (stage_ == Stage::open || stage_ == Stage::closing) {
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
      part().cells().received.add();
      if (stage_ == Stage::open) take(step.payload);
      break;
    case What::binary:
      part().cells().refuse(Refusal::protocol);
      close(static_cast<std::uint16_t>(websocket::CloseCode::unsupported_data),
            "text is spoken here");
      break;
    case What::close: answer_close(step.code); break;
    case What::refused:
      part().cells().refuse(Refusal::protocol);
      close(static_cast<std::uint16_t>(step.code), step.payload);
      stage_ = Stage::closed;
      break;
  }
}

bool Session::claim(const std::string& app, const std::string& user) {
  user_.reset();  // it may have been another's
  Gate::Ticket ticket = part().shards().gate().enter_user(app, user);
  if (ticket) {
    user_ = std::make_unique<Gate::Ticket>(std::move(ticket));
  } else {
    part().cells().refuse(Refusal::limit);
  }
  return user_ != nullptr;
}

bool Session::may(Count Counts::* which, const config::Rate& rate) {
  const limit::Budget budget = limit::Budget::gcra(rate, rate.count);
  if (!counts_) counts_ = std::make_unique<Counts>();
  Count& count = (*counts_).*which;
  if (!count) {
    count = std::make_unique<std::byte[]>(budget.state_bytes());
    budget.begin(count.get());
  }
  const TimePoint now = Clock::now();
  if (!budget.check(count.get(), now, 1).allowed) return false;
  budget.take(count.get(), now, 1);
  return true;
}

std::vector<std::string> Session::channels() const {
  std::vector<std::string> names;
  for (const auto& [channel, subscription] : subscriptions_) names.push_back(channel->name());
  return names;
}

Session::Subscriptions::const_iterator Session::place_of(const Channel* channel) const {
  return std::ranges::lower_bound(subscriptions_, channel, std::less{},
                                  &Subscriptions::value_type::first);
}

Subscription* Session::find(std::string_view channel) const {
  if (subscriptions_.empty()) return nullptr;
  const Channel* const there = part().find(subscriptions_.front().first->app(), channel);
  const auto at = place_of(there);
  return at == subscriptions_.end() || at->first != there ? nullptr : at->second.get();
}

void Session::add(const std::string& app, const std::string& channel, Access access,
                  std::unique_ptr<Position> since, std::unique_ptr<Member> member) {
  part().cells().subscriptions[static_cast<std::size_t>(access)]->add();
  auto subscription = part().subscribe(outlet_, app, channel, std::move(since), std::move(member));
  const Channel* const there = &subscription->channel;
  subscriptions_.emplace(place_of(there), there, std::move(subscription));
}

void Session::remove(const Subscription& subscription) {
  const auto at =
      subscriptions_.begin() + (place_of(&subscription.channel) - subscriptions_.cbegin());
  auto owned = std::move(at->second);
  subscriptions_.erase(at);
  part().unsubscribe(std::move(owned));
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
  stream().expire_reads_at(Clock::now() + kCloseAnswer);
}

void Session::end(End why) {
  if (why == End::slow) {
    // It takes nothing, so it cannot be told.
    part().cells().refuse(Refusal::slow);
    return stream().abort(Errc::overloaded);
  }
  if (why == End::drain) part().cells().refuse(Refusal::drain);
  const Closing how = closing(why);
  close(how.code, how.reason);
}

}  // namespace headroom::realtime
