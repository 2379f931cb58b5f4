// headroom/websocket/decoder.h - reads the frames of a WebSocket connection and puts messages together (RFC 6455, sections 5 to 7), compressed
// ones (RFC 7692) where that was agreed on.
//
// Owns: what has come of a message in several pieces. Borrows: the receive buffer during a call, whose payloads it unmasks in place.
// Worker: its connection's.
// Invariants: (1) what is accepted and what is refused does not depend on how the bytes are cut; (2) a message is checked before it is
//   kept: no byte beyond `message_limit` and no piece of text that cannot be UTF-8 is held; (3) after a refusal or a close frame nothing
//   more is read; (4) a message that came whole in the buffer is not copied; between messages the decoder holds no memory.
// Limits: message_limit, of a compressed message before and after; control frames of 125 bytes; a header or control frame that is not whole yet waits in the caller's buffer (139 bytes).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "headroom/websocket/frame.h"
#include "headroom/websocket/utf8.h"

namespace headroom::websocket {

// Which end of the connection we are: a server takes masked frames only, a client none that is masked.
enum class Role : std::uint8_t { server, client };
// Whether messages may come compressed, each by itself.
enum class Compression : std::uint8_t { none, deflate };

// What next() found at the beginning of the bytes.
struct Step {
  enum class What : std::uint8_t {
    more,  // nothing more is whole: call again when more has come
    text,  // a message
    binary,
    ping,  // answer it with its payload
    pong,
    close,    // the peer closes: `code` (no_status: none was given), `payload` its reason
    refused,  // the peer broke the protocol: close with `code`, `payload` says why
  };
  What what = What::more;
  std::size_t consumed = 0;    // of the bytes given; never again to be passed
  std::string_view payload{};  // until the next call, and while the bytes given stay where they are
  CloseCode code = CloseCode::no_status;
};

class Decoder {
 public:
  Decoder(Role role, std::size_t message_limit, Compression compression = Compression::none)
      : message_limit_(message_limit), role_(role), compression_(compression) {}

  [[nodiscard]] Step next(std::span<char> in);
  // Whether a message has begun and not ended.
  [[nodiscard]] bool in_message() const { return in_message_ || in_frame_; }

 private:
  struct Header {
    std::size_t bytes = 0;  // 0: not whole yet
    std::uint64_t payload = 0;
    Mask mask{};
    Opcode opcode = Opcode::continuation;
    bool fin = false;
    bool compressed = false;
  };
  struct Fault {
    CloseCode code;
    std::string_view why;
  };

  [[nodiscard]] static Header parse(std::span<const char> in);
  [[nodiscard]] const char* fault_of(std::span<const char> in) const;
  [[nodiscard]] const char* order_fault(const Header& header) const;
  [[nodiscard]] Step step(std::span<char> in);
  [[nodiscard]] Step control(const Header& header, std::span<char> in);
  [[nodiscard]] Step closing(std::string_view payload, std::size_t consumed);
  [[nodiscard]] Step begin_data(const Header& header, std::span<char> in);
  [[nodiscard]] Step go_on(std::span<char> in);
  [[nodiscard]] Step finished(std::string_view payload, std::size_t consumed);
  [[nodiscard]] Step inflated(std::string_view payload, std::size_t consumed);
  [[nodiscard]] Step refuse(CloseCode code, std::string_view why);
  [[nodiscard]] std::string& pieces() {
    if (!message_) message_ = std::make_unique<std::string>();
    return *message_;
  }

  std::unique_ptr<std::string> message_;  // the pieces so far, once one has come
  std::uint64_t frame_left_ = 0;          // payload of the current frame still to come
  const std::size_t message_limit_;
  Utf8 utf8_;
  Mask mask_{};
  const Role role_;
  const Compression compression_;
  bool in_message_ = false;  // a frame without FIN has come
  bool in_frame_ = false;    // a data frame's payload is not whole yet
  bool fin_ = false;         // of the current frame
  bool text_ = false;
  bool compressed_ = false;
  bool hold_ = false;  // message_ was handed out: empty it at the next call
  bool ended_ = false;
};

}  // namespace headroom::websocket
