// headroom/realtime/plain_session.h - one client that speaks plain JSON over a WebSocket: the seeds' endpoints and clients/headroom.
//
//   client                                                             hub
//                                                                      {"type": "welcome", "id": "a.b", "user"?: "...", "channels": [...]}
//   {"type": "auth", "token": "..."}                                   the same again
//   {"type": "subscribe", "channel": "...", "since"?: "epoch-offset"}  {"type": "subscribed", "channel", "position", "recovered"?, "members"?}
//   {"type": "unsubscribe", "channel": "..."}                          {"type": "unsubscribed", "channel"}
//   {"type": "publish", "channel", "event", "data", "ack"?: false}     {"type": "published", "channel"}, unless ack is false
//   {"type": "ping"}                                                   {"type": "pong"}
//   what is refused                                                    {"type": "error", "code", "message", "channel"?}: overloaded, unavailable
//                                                                      and timeout pass (ask again); limit, invalid and unauthorized do not
//   messages                                                           {"type", "channel", "data", "offset", "priority", "user_id"?}
//   for who is slow                                                    {"type": "missed", "channel", "messages", "position"}: it goes on behind that
//                                                                      {"type": "paused", "channel", "position"}: subscribe again, since it
//
// Owns: who it is. Worker: the exchange's, as Session.
// Invariants: (1) until a token has been verified, only public channels are open to it; (2) a session ends when its token does.
// Limits: max_channels_per_connection, subscribe_rate, client_publish_rate; four questions to the app at once; ten seconds for a first message with a token where one is needed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "headroom/json/json.h"
#include "headroom/realtime/asker.h"
#include "headroom/realtime/caller.h"
#include "headroom/realtime/session.h"

namespace headroom::realtime {

class PlainSession final : public Session {
 public:
  // `needs_token`: it is closed when none comes.
  enum class Token : std::uint8_t { needed, not_needed };
  PlainSession(http::Exchange& exchange, Part& part, Wire wire, std::string accepted,
               Gate::Ticket place, Caller caller, Token token, Credentials credentials);

 private:
  class Timer final : public net::WheelEntry {
   public:
    Timer(net::Wheel& wheel, PlainSession& session) : WheelEntry(wheel), session_(session) {}

   private:
    void expired() override { session_.token_ended(); }
    PlainSession& session_;
  };

  // A subscription that the app is asked about.
  struct Asking {
    PlainSession* session;  // null once it is over
    std::string channel;
    std::unique_ptr<Position> since;
    bool begun = false;
  };

  void greet() override;
  void take(std::string_view text) override;
  void farewell() override;
  void opened(Subscription& subscription, const Opened& how) override;
  void not_opened(Subscription& subscription, const Error& why) override;
  [[nodiscard]] std::string missed(const Subscription& subscription,
                                   std::uint64_t messages) override;
  [[nodiscard]] std::string paused(const Subscription& subscription, Position position) override;
  [[nodiscard]] bool is_user(std::string_view app, std::string_view user) const override;
  [[nodiscard]] Closing closing(End why) const override;
  [[nodiscard]] Closing silent() const override { return {4408, "no sign of life"}; }

  void welcome();
  void authenticate(const json::Value& message);
  void subscribe(const json::Value& message);
  void unsubscribe(const json::Value& message);
  void publish(const json::Value& message, std::string_view raw);
  void refuse(std::string_view code, std::string_view why, std::string_view channel = {});
  void enter(const std::string& channel, std::unique_ptr<Position> since,
             std::unique_ptr<Member> member = nullptr);
  void leave_what_is_closed();
  void leave(const std::string& channel);
  void ask(const std::string& channel, std::unique_ptr<Position> since);
  void ask_next();
  [[nodiscard]] static net::Task<> await_answer(Part& part, std::shared_ptr<Asking> asking,
                                                Question question);
  void answered(Asking& asking, const Result<Answer>& answer);
  void token_ended();
  void set_timer();

  Caller caller_;
  const Token token_;
  const Credentials credentials_;  // where the app is asked
  const IpAddress from_;
  std::vector<std::shared_ptr<Asking>> asking_;
  Timer timer_;
};

}  // namespace headroom::realtime
