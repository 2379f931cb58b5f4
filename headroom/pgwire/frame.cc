#include "headroom/pgwire/frame.h"

#include "headroom/base/assert.h"

namespace headroom::pgwire {

std::uint32_t read_u32(const char* at) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8U | static_cast<unsigned char>(at[i]);
  return value;
}

Found find_frame(std::string_view bytes, Frame& frame) {
  if (bytes.size() < kHeader) return Found::need_more;
  const std::uint32_t length = read_u32(bytes.data() + 1);
  if (length < 4 || length > kLongest) return Found::bad;
  frame = {bytes[0], std::uint64_t{length} + 1};
  return Found::frame;
}

std::string_view Reader::bytes(std::size_t count) {
  if (failed_ || count > left_.size()) {
    failed_ = true;
    left_ = {};
    return {};
  }
  const std::string_view taken = left_.substr(0, count);
  left_.remove_prefix(count);
  return taken;
}

std::uint8_t Reader::u8() {
  const std::string_view byte = bytes(1);
  return byte.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(byte[0]);
}

std::uint16_t Reader::u16() {
  const std::string_view two = bytes(2);
  if (two.empty()) return 0;
  return static_cast<std::uint16_t>(static_cast<unsigned char>(two[0]) << 8U |
                                    static_cast<unsigned char>(two[1]));
}

std::uint32_t Reader::u32() {
  const std::string_view four = bytes(4);
  return four.empty() ? 0 : read_u32(four.data());
}

std::string_view Reader::text() {
  const std::size_t end = left_.find('\0');
  if (end == std::string_view::npos) {
    failed_ = true;
    left_ = {};
    return {};
  }
  const std::string_view value = bytes(end);
  left_.remove_prefix(1);
  return value;
}

std::string_view Reader::rest() { return bytes(left_.size()); }

Message::~Message() {
  const std::size_t length = out_.size() - start_;
  HR_ASSERT(length <= kLongest);
  for (std::size_t i = 0; i < 4; ++i) out_[start_ + i] = static_cast<char>(length >> (24 - 8 * i));
}

Message& Message::u8(std::uint8_t value) {
  out_.push_back(static_cast<char>(value));
  return *this;
}

Message& Message::u16(std::uint16_t value) {
  out_.push_back(static_cast<char>(value >> 8U));
  out_.push_back(static_cast<char>(value & 0xffU));
  return *this;
}

Message& Message::u32(std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out_.push_back(static_cast<char>(value >> shift));
  return *this;
}

Message& Message::text(std::string_view value) {
  out_.append(value.substr(0, value.find('\0')));
  out_.push_back('\0');
  return *this;
}

Message& Message::bytes(std::string_view value) {
  out_.append(value);
  return *this;
}

}  // namespace headroom::pgwire
