#include "headroom/websocket/decoder.h"

#include <algorithm>

#include "headroom/websocket/deflate.h"

namespace headroom::websocket {
namespace {

constexpr std::uint8_t kFin = 0x80;
constexpr std::uint8_t kReserved = 0x70;
constexpr std::uint8_t kCompressed = 0x40;
constexpr std::uint8_t kOpcode = 0x0F;
constexpr std::uint8_t kMasked = 0x80;
constexpr std::uint8_t kLength = 0x7F;

std::uint8_t byte_at(std::span<const char> in, std::size_t i) {
  return static_cast<std::uint8_t>(in[i]);
}

bool is_known(std::uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

std::size_t length_bytes(std::uint8_t length) { return length == 126 ? 2 : length == 127 ? 8 : 0; }

}  // namespace

Decoder::Header Decoder::parse(std::span<const char> in) {
  Header header;
  if (in.size() < 2) return header;
  const std::uint8_t length = byte_at(in, 1) & kLength;
  const bool masked = (byte_at(in, 1) & kMasked) != 0;
  const std::size_t bytes = 2 + length_bytes(length) + (masked ? 4U : 0U);
  if (in.size() < bytes) return header;
  header.compressed = (byte_at(in, 0) & kCompressed) != 0;
  header.fin = (byte_at(in, 0) & kFin) != 0;
  header.opcode = static_cast<Opcode>(byte_at(in, 0) & kOpcode);
  header.payload = length;
  if (const std::size_t wide = length_bytes(length); wide > 0) {
    header.payload = 0;
    for (std::size_t i = 0; i < wide; ++i)
      header.payload = header.payload << 8U | byte_at(in, 2 + i);
  }
  if (masked) {
    for (std::size_t i = 0; i < 4; ++i) header.mask[i] = byte_at(in, bytes - 4 + i);
  }
  header.bytes = bytes;
  return header;
}

// What the first bytes of a frame show already, so that nobody has to wait for the rest of what is wrong.
const char* Decoder::fault_of(std::span<const char> in) const {
  const std::uint8_t first = byte_at(in, 0);
  const std::uint8_t opcode = first & kOpcode;
  const bool may_compress = compression_ == Compression::deflate && (opcode == 1 || opcode == 2);
  if ((first & kReserved & ~(may_compress ? kCompressed : 0)) != 0) return "a reserved bit is set";
  if (!is_known(opcode)) return "an unknown opcode";
  const bool control = opcode >= 8;
  if (control && (first & kFin) == 0) return "a control frame in pieces";
  if (in.size() < 2) return nullptr;
  const std::uint8_t second = byte_at(in, 1);
  const bool masked = (second & kMasked) != 0;
  if (masked != (role_ == Role::server))
    return role_ == Role::server ? "a client's frame without a mask"
                                 : "a server's frame with a mask";
  if (control && (second & kLength) > kMaxControlBytes)
    return "a control frame of more than 125 bytes";
  return nullptr;
}

const char* Decoder::order_fault(const Header& header) const {
  const std::uint64_t shortest =
      header.bytes - (role_ == Role::server ? 4U : 0U) == 4 ? 126 : 0x10000;
  const bool wide = header.bytes - (role_ == Role::server ? 4U : 0U) > 2;
  if (wide && header.payload < shortest) return "a length that is not in its shortest form";
  if ((header.payload >> 63U) != 0) return "a length with its highest bit set";
  if (is_control(header.opcode)) return nullptr;
  if (header.opcode == Opcode::continuation && !in_message_) return "a continuation of nothing";
  if (header.opcode != Opcode::continuation && in_message_) return "a new message within a message";
  return nullptr;
}

Step Decoder::refuse(CloseCode code, std::string_view why) {
  ended_ = true;
  message_.reset();
  return {.what = Step::What::refused, .payload = why, .code = code};
}

Step Decoder::next(std::span<char> in) {
  if (hold_) {
    hold_ = false;
    message_.reset();
  }
  if (ended_) return {.consumed = in.size()};
  for (std::size_t before = 0;;) {
    Step one = step(in.subspan(before));
    const bool pieces_follow = one.what == Step::What::more && one.consumed > 0;
    one.consumed += before;
    if (!pieces_follow) return one;
    before = one.consumed;
  }
}

// One frame, or what there is of it.
Step Decoder::step(std::span<char> in) {
  if (in_frame_) return go_on(in);
  if (in.empty()) return {};
  if (const char* why = fault_of(in); why != nullptr) return refuse(CloseCode::protocol_error, why);
  const Header header = parse(in);
  if (header.bytes == 0) return {};
  if (const char* why = order_fault(header); why != nullptr)
    return refuse(CloseCode::protocol_error, why);
  return is_control(header.opcode) ? control(header, in) : begin_data(header, in);
}

Step Decoder::control(const Header& header, std::span<char> in) {
  const auto size = static_cast<std::size_t>(header.payload);
  if (in.size() < header.bytes + size) return {};
  const std::span<char> bytes = in.subspan(header.bytes, size);
  if (role_ == Role::server) apply_mask(bytes, header.mask);
  const std::string_view payload(bytes.data(), bytes.size());
  const std::size_t consumed = header.bytes + size;
  if (header.opcode == Opcode::close) return closing(payload, consumed);
  return {.what = header.opcode == Opcode::ping ? Step::What::ping : Step::What::pong,
          .consumed = consumed,
          .payload = payload};
}

Step Decoder::closing(std::string_view payload, std::size_t consumed) {
  if (payload.size() == 1) return refuse(CloseCode::protocol_error, "half a close code");
  ended_ = true;
  message_.reset();
  if (payload.empty()) return {.what = Step::What::close, .consumed = consumed};
  const auto code = static_cast<std::uint16_t>(static_cast<std::uint8_t>(payload[0]) << 8U |
                                               static_cast<std::uint8_t>(payload[1]));
  if (!is_valid_close_code(code))
    return refuse(CloseCode::protocol_error, "a close code that must not be sent");
  if (!is_utf8(payload.substr(2)))
    return refuse(CloseCode::invalid_payload, "a close reason that is not UTF-8");
  return {.what = Step::What::close,
          .consumed = consumed,
          .payload = payload.substr(2),
          .code = static_cast<CloseCode>(code)};
}

Step Decoder::begin_data(const Header& header, std::span<char> in) {
  if (header.payload > message_limit_ ||
      (message_ && message_->size() + header.payload > message_limit_))
    return refuse(CloseCode::message_too_big, "a message over the limit");
  if (header.opcode != Opcode::continuation) {
    text_ = header.opcode == Opcode::text;
    compressed_ = header.compressed;
    utf8_.reset();
  }
  const auto size = static_cast<std::size_t>(header.payload);
  if (header.fin && !in_message_ && in.size() - header.bytes >= size) {
    const std::span<char> bytes = in.subspan(header.bytes, size);
    if (role_ == Role::server) apply_mask(bytes, header.mask);
    const std::string_view payload(bytes.data(), bytes.size());
    if (text_ && !compressed_ && !utf8_.take(payload))
      return refuse(CloseCode::invalid_payload, "text that is not UTF-8");
    return finished(payload, header.bytes + size);
  }
  frame_left_ = header.payload;
  mask_ = header.mask;
  fin_ = header.fin;
  in_frame_ = true;
  Step step = go_on(in.subspan(header.bytes));
  if (step.what != Step::What::refused) step.consumed += header.bytes;
  return step;
}

// More of the current frame's payload.
Step Decoder::go_on(std::span<char> in) {
  const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(frame_left_, in.size()));
  const std::span<char> bytes = in.first(take);
  if (role_ == Role::server) {
    apply_mask(bytes, mask_);
    std::rotate(mask_.begin(), mask_.begin() + take % mask_.size(), mask_.end());
  }
  const std::string_view piece(bytes.data(), bytes.size());
  if (text_ && !compressed_ && !utf8_.take(piece))
    return refuse(CloseCode::invalid_payload, "text that is not UTF-8");
  pieces() += piece;
  frame_left_ -= take;
  if (frame_left_ > 0) return {.consumed = take};
  in_frame_ = false;
  in_message_ = !fin_;
  if (in_message_) return {.consumed = take};
  hold_ = true;
  return finished(*message_, take);
}

Step Decoder::inflated(std::string_view payload, std::size_t consumed) {
  auto whole = inflate_message(payload, message_limit_);
  if (!whole) {
    const bool large = whole.error().code == Errc::overloaded;
    return refuse(large ? CloseCode::message_too_big : CloseCode::invalid_payload,
                  large ? "a message over the limit" : "a message that cannot be inflated");
  }
  pieces() = std::move(*whole);
  hold_ = true;
  compressed_ = false;
  if (text_ && !utf8_.take(*message_))
    return refuse(CloseCode::invalid_payload, "text that is not UTF-8");
  return finished(*message_, consumed);
}

Step Decoder::finished(std::string_view payload, std::size_t consumed) {
  if (compressed_) return inflated(payload, consumed);
  if (text_ && !utf8_.whole())
    return refuse(CloseCode::invalid_payload, "text that ends within a character");
  return {.what = text_ ? Step::What::text : Step::What::binary,
          .consumed = consumed,
          .payload = payload};
}

}  // namespace headroom::websocket
