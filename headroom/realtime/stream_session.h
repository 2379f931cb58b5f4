// headroom/realtime/stream_session.h - one client that listens over HTTP: Server-Sent Events, or a long-poll that ends with the first messages.
//
//   events   an event stream (WHATWG): each message an event, after each write an `id` with the positions of all its channels, in the order
//            they were asked for, separated by commas: what a browser's EventSource sends back as Last-Event-ID
//   poll     the same texts, one a line, then {"type": "positions", "positions": [...]}; the answer ends
//   both     begin with {"type": "subscribed", "channels": [...], "positions": [...], "recovered": [true, false or null, ...]}
//
// Owns: its subscriptions. Worker: the exchange's. It goes on where its request has left HTTP.
// Invariants: (1) an id covers only what was written before it, so what comes after a reconnect may repeat, and skips nothing unsaid;
//   (2) the answer is chunked, and ends with its last chunk unless it was cut.
// Limits: max_channels_per_connection; poll_wait.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "headroom/http/exchange.h"
#include "headroom/realtime/caller.h"
#include "headroom/realtime/gate.h"
#include "headroom/realtime/outlet.h"
#include "headroom/realtime/part.h"

namespace headroom::realtime {

struct StreamAsk {
  Wire wire = Wire::events;  // or lines: a poll
  std::vector<std::string> channels;
  std::vector<std::unique_ptr<Position>> since;  // as many; null: from now on
};

class StreamSession final : public http::Onward, public Reader, public Outlet::Owner {
 public:
  struct Places {
    Gate::Ticket in_hub;
    Gate::Ticket of_user;  // where it is known
  };
  // After the head has been written.
  StreamSession(http::Exchange& exchange, Part& part, Places places, Caller caller, StreamAsk ask);
  StreamSession(const StreamSession&) = delete;
  StreamSession& operator=(const StreamSession&) = delete;

 private:
  void opened(Subscription& subscription, const Opened& how) override;
  void not_opened(Subscription& subscription, const Error& why) override;
  [[nodiscard]] std::string missed(const Subscription& subscription,
                                   std::uint64_t messages) override;
  [[nodiscard]] std::string paused(const Subscription& subscription, Position position) override;
  [[nodiscard]] std::string mark() override;
  void written() override;
  [[nodiscard]] bool is_user(std::string_view app, std::string_view user) const override;
  void end(End why) override;

  void begin() override;
  void read() override;
  void give_up() override { stream_.abort(Errc::internal); }
  void end_all();
  void subscribe();
  [[nodiscard]] TimePoint token_ends() const;
  // The client says nothing more: what ends a wait is its going away, a heartbeat, or the end of a poll. Whether the connection goes on.
  [[nodiscard]] bool take_bytes(const Result<std::optional<std::size_t>>& bytes);
  void expire_reads();
  void tell_opened();
  void tell(std::string_view text);
  void close();
  [[nodiscard]] bool polls() const { return ask_.wire == Wire::lines; }

  Part& part_;
  net::Stream& stream_;
  net::Buffer in_;  // what it says is not looked at
  const Places places_;
  const Caller caller_;
  StreamAsk ask_;
  Outlet outlet_;
  std::vector<std::unique_ptr<Subscription>> subscriptions_;  // in the order of ask_.channels
  std::vector<Channel::Begun> begun_;
  std::size_t opening_ = 0;
  TimePoint poll_ends_ = kNever;
  TimePoint token_ends_ = kNever;
  bool delivered_ = false;
  bool ended_ = false;
};

}  // namespace headroom::realtime
