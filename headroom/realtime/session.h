// headroom/realtime/session.h - one WebSocket connection of the hub: its reading, its heartbeat, its end. What the messages mean is its face's.
//
// Owns: the decoder and the outlet. Borrows: the exchange (its stream and receive buffer), the Part. Lives in the frame of run()'s caller.
// Worker: the exchange's.
// Invariants: (1) every read has a deadline: a peer silent for `heartbeat` is pinged, and closed when `pong_timeout` passes too; any byte
//   counts as a sign of life; (2) a close frame is answered once and is the last frame; (3) an idle session holds no buffer.
// Limits: message_limit; three seconds for a peer to answer our close.
#pragma once

#include <string>
#include <string_view>

#include "headroom/http/exchange.h"
#include "headroom/realtime/outlet.h"
#include "headroom/realtime/part.h"
#include "headroom/websocket/decoder.h"
#include "headroom/websocket/handshake.h"

namespace headroom::realtime {

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
  virtual void finish() = 0;  // gives up what it holds of the hub
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
  Stage stage_ = Stage::open;
  bool asked_ = false;  // for a sign of life
};

}  // namespace headroom::realtime
