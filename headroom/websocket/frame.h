// headroom/websocket/frame.h - WebSocket frames as they are written (RFC 6455, section 5.2).
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   +-+-+-+-+-------+-+-------------+-------------------------------+
//   |F|R|R|R| opcode|M| length (7)  |  16 bits if 126, 64 if 127    |
//   |I|S|S|S|  (4)  |A|             |  (the shortest form there is) |
//   |N|V|V|V|       |S|             |                               |
//   | |1|2|3|       |K|             |                               |
//   +-+-+-+-+-------+-+-------------+-------------------------------+
//   | masking key (32 bits), if MASK: always from clients, never from servers |
//   +-----------------------------------------------------------------+
//   | payload, byte i exclusive-or'ed with byte i mod 4 of the key    |
//   +-----------------------------------------------------------------+
//
// Owns: nothing; appends to the caller's string. Worker: any.
// Limits: control frames carry at most 125 bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace headroom::websocket {

enum class Opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};

[[nodiscard]] constexpr bool is_control(Opcode opcode) {
  return static_cast<std::uint8_t>(opcode) >= 8;
}

// RFC 6455, section 7.4.1. Applications add codes from 3000 on.
enum class CloseCode : std::uint16_t {
  normal = 1000,
  going_away = 1001,
  protocol_error = 1002,
  unsupported_data = 1003,
  no_status = 1005,  // never sent: a close frame without a code
  abnormal = 1006,   // never sent: no close frame came
  invalid_payload = 1007,
  policy_violation = 1008,
  message_too_big = 1009,
  internal_error = 1011,
  try_again_later = 1013,
};
// Whether a peer may send it (7.4.2; 1012 to 1014 are registered with IANA).
[[nodiscard]] bool is_valid_close_code(std::uint16_t code);

inline constexpr std::size_t kMaxControlBytes = 125;
inline constexpr std::size_t kMaxHeaderBytes = 14;

enum class Fin : bool { no, yes };

// A server's frame whose payload is deflated (deflate.h): with RSV1.
void append_deflated_frame(std::string& out, Opcode opcode, std::string_view payload);

// A server's frame: not masked.
void append_frame(std::string& out, Opcode opcode, std::string_view payload, Fin fin = Fin::yes);
// Only its header, for a payload that lies elsewhere.
void append_header(std::string& out, Opcode opcode, std::uint64_t payload_bytes,
                   Fin fin = Fin::yes);
// A close frame with a code, which is_valid_close_code(); `reason` is cut to what fits, at a character.
void append_close(std::string& out, std::uint16_t code, std::string_view reason = {});

using Mask = std::array<std::uint8_t, 4>;
// A client's frame. The key must be unpredictable where the payload is somebody else's (section 10.3).
void append_masked_frame(std::string& out, Opcode opcode, std::string_view payload, Mask mask,
                         Fin fin = Fin::yes);
// Masks, or unmasks, in place.
void apply_mask(std::span<char> bytes, Mask mask);

}  // namespace headroom::websocket
