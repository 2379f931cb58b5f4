// headroom/realtime/session.h - one WebSocket connection of the hub: its reading, its heartbeat, its end. What the messages mean is its face's.
//
// Owns: the decoder, the outlet, its subscriptions, its place among its user's connections. Borrows: the exchange (its stream and receive buffer), the Part. Lives in the frame of run()'s caller.
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
#include "headroom/limit/connections.h"
#include "headroom/realtime/outlet.h"
#include "headroom/realtime/part.h"
#include "headroom/websocket/decoder.h"
#include "headroom/websocket/handshake.h"

namespace headroom::realtime {

// The member's text; "" where it is missing or is no text.
[[nodiscard]] std::string text_member(const json::Value& object, std::string_view name);

class Session : public Outlet::Owner {
 public:
  Session(http::Exchange& exchange, Part& part, Wire wire);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // From the answer to the handshake to the end of the connection.
  [[nodiscard]] net::Task<> run(std::string accepted);

  void end(End why) override;

 protected:
  ~Session() = default;

  virtual void begin() = 0;
  virtual void take(std::string_view text) = 0;
  virtual void finish() {}  // the connection is over; its subscriptions are given up after this
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
  [[nodiscard]] bool may_send(const config::Rate& rate);

  [[nodiscard]] Subscription* find(std::string_view channel) const;
  [[nodiscard]] bool has_room() const {
    return subscriptions_.size() < part_.options().max_channels_per_connection;
  }
  void add(const std::string& app, const std::string& channel, Access access,
           std::unique_ptr<Position> since, std::unique_ptr<Member> member);
  void remove(const Subscription& subscription);

  [[nodiscard]] Part& part() const { return part_; }
  [[nodiscard]] Outlet& outlet() { return outlet_; }

 private:
  enum class Stage : std::uint8_t { open, closing, closed };

  [[nodiscard]] net::Task<> read();
  [[nodiscard]] net::Task<> linger();
  void decode();
  void take(const websocket::Step& step);
  void answer_close(websocket::CloseCode code);
  [[nodiscard]] bool wait_ended(const Error& why);

  Part& part_;
  net::Stream& stream_;
  net::Buffer& in_;
  Outlet outlet_;
  websocket::Decoder decoder_;
  std::vector<std::unique_ptr<Subscription>> subscriptions_;
  limit::Connections::Ticket user_;
  std::unique_ptr<std::byte[]> sent_;  // what may_send() counts with, once something was sent
  Stage stage_ = Stage::open;
  bool asked_ = false;  // for a sign of life
};

}  // namespace headroom::realtime
