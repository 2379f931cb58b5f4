// headroom/websocket/utf8.h - whether bytes that come in pieces are UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF).
//
// Owns: nothing; a value of its message. Worker: its connection's.
// Invariants: (1) the answer does not depend on how the bytes are cut; (2) a piece is refused at the first byte that cannot be right,
//   not at the end of the message.
// Limits: none.
#pragma once

#include <cstdint>
#include <string_view>

namespace headroom::websocket {

class Utf8 {
 public:
  // False once what has come cannot be the beginning of UTF-8.
  [[nodiscard]] bool take(std::string_view piece);
  // Whether what has come ends with a whole character.
  [[nodiscard]] bool whole() const { return left_ == 0; }
  void reset() { *this = {}; }

 private:
  [[nodiscard]] bool begin(std::uint8_t byte);

  std::uint8_t left_ = 0;    // bytes of the current character still to come
  std::uint8_t low_ = 0x80;  // what the next of them may be
  std::uint8_t high_ = 0xBF;
};

[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace headroom::websocket
