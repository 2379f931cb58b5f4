// headroom/realtime/pusher_session.h - one client that speaks the Pusher Channels protocol, version 7.
//
// Owns: who it is signed in as. Borrows: the app. Worker: the exchange's; as Session.
// Invariants: (1) a private or presence channel is entered only with the app's signature for this connection and this channel; (2) a client
//   sends events only to such channels it is in, and what they say of the sender is the hub's, not the client's; (3) every answer follows
//   the order of the requests on its channel.
// Limits: max_channels_per_connection, event_limit, the app's client_event_rate.
//
// Beyond the protocol, for clients that ask: `pusher:subscribe` may carry "resume_after": "<id of the last event seen>"; the answer
// then has "recovered": true or false and "position"; events of channels with history carry "id". "headroom:missed" tells a slow
// subscriber how many messages it was not given; "headroom:paused" the position where it stopped, behind which it may subscribe again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "headroom/json/json.h"
#include "headroom/realtime/counted.h"
#include "headroom/realtime/session.h"

namespace headroom::realtime {

class PusherSession final : public Session {
 public:
  // Its places: in the hub, and among the app's connections.
  PusherSession(http::Exchange& exchange, Part& part, Wire wire, std::string accepted,
                std::shared_ptr<const App> app, Gate::Ticket in_hub, Counted in_app);

  [[nodiscard]] const std::string& app_id() const { return app_->options.id; }
  [[nodiscard]] std::string_view user_id() const {
    return user_ ? std::string_view(user_->id) : std::string_view();
  }

 private:
  void greet() override;
  void farewell() override;
  void watched(const Presences& news) override;
  void take(std::string_view text) override;
  void opened(Subscription& subscription, const Opened& how) override;
  void not_opened(Subscription& subscription, const Error& why) override;
  [[nodiscard]] std::string missed(const Subscription& subscription,
                                   std::uint64_t messages) override;
  [[nodiscard]] std::string paused(const Subscription& subscription, Position position) override;
  [[nodiscard]] bool is_user(std::string_view app, std::string_view user) const override;
  [[nodiscard]] Closing closing(End why) const override;
  [[nodiscard]] Closing silent() const override { return {4201, "no sign of life"}; }

  void subscribe(const json::Value& data);
  [[nodiscard]] Result<std::unique_ptr<Member>> authorise(const std::string& channel,
                                                          const json::Value& data);
  void refuse(const std::string& channel, const Error& why);
  void unsubscribe(const json::Value& data);
  void sign_in(const json::Value& data);
  void sign_out();
  void leave_user_channel();
  void settings_changed() override;
  // `text`: the message's.
  void client_event(std::string_view event, const json::Value& message, std::string_view text);

  std::shared_ptr<const App> app_;  // as the settings have it now
  const Counted in_app_;
  struct User {
    std::string id;
    std::vector<std::string> watchlist;  // users it wants to know of
  };
  std::unique_ptr<User> user_;  // signed in as
};

}  // namespace headroom::realtime
