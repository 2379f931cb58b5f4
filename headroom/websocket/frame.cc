#include "headroom/websocket/frame.h"

#include <cstring>

#include "headroom/base/assert.h"

namespace headroom::websocket {
namespace {

constexpr std::uint8_t kFin = 0x80;
constexpr std::uint8_t kMasked = 0x80;
constexpr std::uint8_t kLength16 = 126;
constexpr std::uint8_t kLength64 = 127;

void append_big_endian(std::string& out, std::uint64_t value, unsigned bytes) {
  for (unsigned left = bytes; left > 0; --left) out += static_cast<char>(value >> ((left - 1) * 8));
}

void append_start(std::string& out, Opcode opcode, std::uint64_t bytes, Fin fin,
                  std::uint8_t masked) {
  HR_ASSERT((!is_control(opcode) || bytes <= kMaxControlBytes));
  out += static_cast<char>((fin == Fin::yes ? kFin : 0) | static_cast<std::uint8_t>(opcode));
  if (bytes < kLength16) {
    out += static_cast<char>(masked | bytes);
  } else if (bytes <= 0xFFFF) {
    out += static_cast<char>(masked | kLength16);
    append_big_endian(out, bytes, 2);
  } else {
    out += static_cast<char>(masked | kLength64);
    append_big_endian(out, bytes, 8);
  }
}

}  // namespace

bool is_valid_close_code(std::uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

void append_header(std::string& out, Opcode opcode, std::uint64_t payload_bytes, Fin fin) {
  append_start(out, opcode, payload_bytes, fin, 0);
}

void append_deflated_frame(std::string& out, Opcode opcode, std::string_view payload) {
  const std::size_t at = out.size();
  append_frame(out, opcode, payload);
  out[at] = static_cast<char>(static_cast<std::uint8_t>(out[at]) | 0x40U);
}

void append_frame(std::string& out, Opcode opcode, std::string_view payload, Fin fin) {
  append_start(out, opcode, payload.size(), fin, 0);
  out += payload;
}

void append_close(std::string& out, std::uint16_t code, std::string_view reason) {
  HR_ASSERT(is_valid_close_code(code));
  constexpr std::size_t kMost = kMaxControlBytes - 2;
  if (reason.size() > kMost) {
    std::size_t end = kMost;
    while (end > 0 && (static_cast<std::uint8_t>(reason[end]) & 0xC0U) == 0x80U) --end;
    reason = reason.substr(0, end);
  }
  append_start(out, Opcode::close, reason.size() + 2, Fin::yes, 0);
  append_big_endian(out, code, 2);
  out += reason;
}

void append_masked_frame(std::string& out, Opcode opcode, std::string_view payload, Mask mask,
                         Fin fin) {
  append_start(out, opcode, payload.size(), fin, kMasked);
  for (const std::uint8_t byte : mask) out += static_cast<char>(byte);
  const std::size_t begin = out.size();
  out += payload;
  apply_mask(std::span(out).subspan(begin), mask);
}

void apply_mask(std::span<char> bytes, Mask mask) {
  std::uint64_t wide = 0;
  for (std::size_t i = 0; i < sizeof wide; ++i) {
    reinterpret_cast<std::uint8_t*>(&wide)[i] = mask[i % mask.size()];
  }
  std::size_t at = 0;
  for (; at + sizeof wide <= bytes.size(); at += sizeof wide) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    word ^= wide;
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
  for (; at < bytes.size(); ++at) {
    bytes[at] = static_cast<char>(static_cast<std::uint8_t>(bytes[at]) ^ mask[at % mask.size()]);
  }
}

}  // namespace headroom::websocket
