#include "headroom/websocket/utf8.h"

#include <cstring>

namespace headroom::websocket {
namespace {

constexpr std::uint64_t kNotAscii = 0x8080808080808080ULL;

// How many bytes at the beginning are ASCII, in steps of eight.
std::size_t ascii_run(std::string_view text) {
  std::size_t at = 0;
  for (; at + sizeof(std::uint64_t) <= text.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof word);
    if ((word & kNotAscii) != 0) break;
  }
  return at;
}

}  // namespace

// The table of RFC 3629, section 4: what may follow the first byte of a character.
bool Utf8::begin(std::uint8_t byte) {
  low_ = 0x80;
  high_ = 0xBF;
  if (byte < 0x80) return true;
  if (byte < 0xC2 || byte > 0xF4) return false;
  left_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  if (byte == 0xE0) low_ = 0xA0;
  if (byte == 0xED) high_ = 0x9F;
  if (byte == 0xF0) low_ = 0x90;
  if (byte == 0xF4) high_ = 0x8F;
  return true;
}

bool Utf8::take(std::string_view piece) {
  for (std::size_t i = 0; i < piece.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(piece[i]);
    if (left_ > 0) {
      if (byte < low_ || byte > high_) return false;
      --left_;
      low_ = 0x80;
      high_ = 0xBF;
      continue;
    }
    if (byte < 0x80) {
      i += ascii_run(piece.substr(i));
      if (i >= piece.size()) return true;
    }
    if (!begin(static_cast<std::uint8_t>(piece[i]))) return false;
  }
  return true;
}

bool is_utf8(std::string_view text) {
  Utf8 check;
  return check.take(text) && check.whole();
}

}  // namespace headroom::websocket
