// headroom/realtime/session.h - one WebSocket connection of the hub: its reading, its heartbeat, its end. What the messages mean is its face's.
//
// Owns: the decoder, the outlet, its subscriptions, its places in the hub and among its user's connections. Borrows: the stream, the Part. It goes on
// where its request has left HTTP (http::Onward): of that nothing is kept.
// Worker: the exchange's.
// Invariants: (1) every read has a deadline: a peer silent for `heartbeat` is pinged, and closed when `pong_timeout` passes too; any byte
//   counts as a sign of life; (2) a close frame is answered once and is the last frame; (3) an idle session holds no buffer.
// Limits: message_limit; max_connections_per_user; three seconds for a peer to answer our close.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/http/exchange.h"
#include "headroom/json/json.h"
#include "headroom/realtime/gate.h"
#include "headroom/realtime/outlet.h"
#include "headroom/realtime/part.h"
#include "headroom/websocket/decoder.h"
#include "headroom/websocket/handshake.h"

namespace headroom::realtime {

// The member's text; "" where it is missing or is no text.
[[nodiscard]] std::string text_member(const json::Value& object, std::string_view name);

class Session : public http::Onward, public Reader, public Outlet::Owner {
 public:
  // `accepted`: the answer to the handshake, the first that is written.
  Session(http::Exchange& exchange, Part& part, Wire wire, Gate::Ticket place,
          std::string accepted);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void end(End why) override;

 protected:
  virtual void greet() = 0;
  virtual void take(std::string_view text) = 0;
  virtual void farewell() {}  // the connection is over; its subscriptions are given up after this
  // The codes and reasons this face closes with.
  struct Closing {
    std::uint16_t code;
    std::string_view reason;
  };
  [[nodiscard]] virtual Closing closing(End why) const = 0;
  [[nodiscard]] virtual Closing silent() const = 0;

  void send_text(std::string_view text);
  // Nothing is taken any more; the connection ends.
  void close(std::uint16_t code, std::string_view reason);

  // Counted as one of the user's connections from now on; false: it has as many as it may.
  [[nodiscard]] bool claim(const std::string& app, const std::string& user);
  // Whether it may send one more now.
  [[nodiscard]] bool may_send(const config::Rate& rate) { return may(&Counts::sent, rate); }
  // Whether it may ask to be let into one more channel now.
  [[nodiscard]] bool may_subscribe() {
    return may(&Counts::asked_in, part().options().subscribe_rate);
  }

  [[nodiscard]] Subscription* find(std::string_view channel) const;
  [[nodiscard]] bool has_room() const {
    return subscriptions_.size() < part().options().max_channels_per_connection;
  }
  [[nodiscard]] std::vector<std::string> channels() const;
  void add(const std::string& app, const std::string& channel, Access access,
           std::unique_ptr<Position> since, std::unique_ptr<Member> member);
  void remove(const Subscription& subscription);

  [[nodiscard]] Part& part() const { return outlet_.part(); }
  [[nodiscard]] Outlet& outlet() { return outlet_; }

 private:
  // By their channels' addresses, so that one of thousands is found soon.
  using Subscriptions = std::vector<std::pair<const Channel*, std::unique_ptr<Subscription>>>;
  // Where that channel's is, or would be.
  [[nodiscard]] Subscriptions::const_iterator place_of(const Channel* channel) const;
  // lingering: nothing more is taken or written, until the peer has closed too.
  enum class Stage : std::uint8_t { open, closing, closed, lingering };

  [[nodiscard]] net::Stream& stream() const { return outlet_.stream(); }
  void begin() final;
  void read() final;
  void give_up() final { stream().abort(Errc::internal); }
  void linger();
  void end_all();

  void expire_reads();
  [[nodiscard]] bool take_bytes(const Result<std::optional<std::size_t>>& bytes);
  void give_up_subscriptions();
  void decode();
  void take(const websocket::Step& step);
  void answer_close(websocket::CloseCode code);
  [[nodiscard]] bool wait_ended(const Error& why);

  net::Buffer in_;
  Outlet outlet_;
  websocket::Decoder decoder_;
  Subscriptions subscriptions_;
  const Gate::Ticket place_;
  std::unique_ptr<Gate::Ticket> user_;  // of one that is known
  // What may_send() and may_subscribe() count with, once they do.
  using Count = std::unique_ptr<std::byte[]>;
  struct Counts {
    Count sent;
    Count asked_in;
  };
  [[nodiscard]] bool may(Count Counts::* which, const config::Rate& rate);
  std::unique_ptr<Counts> counts_;
  Stage stage_ = Stage::open;
  bool asked_ = false;  // for a sign of life
};

}  // namespace headroom::realtime
