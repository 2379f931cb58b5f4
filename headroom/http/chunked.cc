#include "headroom/http/chunked.h"

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/http/scan.h"

namespace headroom::http {
namespace {

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr std::uint64_t kLargestChunk = 1ULL << 62U;

// qdtext and what an escape may hold, in ASCII: obs-text and TAB have no place in framing.
constexpr bool is_quoted_byte(char c) { return c >= 0x20 && c < 0x7f; }

constexpr const char* kTrailersTooLarge = "trailers too large";

}  // namespace

ChunkedReader::Step ChunkedReader::step(std::string_view input) {
  std::size_t at = 0;
  for (; at < input.size(); ++at) {
    if (state_ == State::done || state_ == State::failed) break;
    if (state_ == State::data) {
      const std::size_t size = std::min<std::uint64_t>(left_, input.size() - at);
      left_ -= size;
      if (left_ == 0) state_ = State::data_cr;
      return {at + size, input.substr(at, size), false, {}};
    }
    if (const char* reason = take(input[at]); reason != nullptr) {
      const auto status = static_cast<std::uint16_t>(reason == kTrailersTooLarge ? 431 : 400);
      return refused(at, {status, reason});
    }
    if (state_ == State::done) return finish(at + 1);
  }
  return {at, {}, state_ == State::done, {}};
}

const char* ChunkedReader::take(char c) {
  switch (state_) {
    case State::size_first:
    case State::size: return take_size(c);
    case State::size_lf: return end_of_size_line(c);
    case State::data_cr:
      state_ = State::data_lf;
      return c == '\r' ? nullptr : "no line end after a chunk";
    case State::data_lf:
      state_ = State::size_first;
      return c == '\n' ? nullptr : "no line end after a chunk";
    case State::trailer_first:
    case State::trailer:
    case State::trailer_lf: return take_trailer(c);
    case State::end_lf:
      state_ = State::done;
      return c == '\n' ? nullptr : "bad end of the trailers";
    default: return take_extension(c);
  }
}

const char* ChunkedReader::take_size(char c) {
  if (const int digit = hex_value(c); digit >= 0) {
    if (++digits_ > kMaxSizeDigits) return "chunk size too long";
    left_ = (left_ << 4U) | static_cast<std::uint64_t>(digit);
    state_ = State::size;
    return left_ <= kLargestChunk ? nullptr : "chunk too large";
  }
  if (state_ == State::size_first) return "chunk size is not hexadecimal";
  if (c == '\r') {
    state_ = State::size_lf;
  } else if (c == ';') {
    state_ = State::ext_name_first;
    ++extension_bytes_;
  } else {
    return "chunk size is not hexadecimal";
  }
  return nullptr;
}

const char* ChunkedReader::take_extension(char c) {
  if (++extension_bytes_ > kMaxExtensionBytes) return "chunk extensions too long";
  const bool ends_item =
      state_ == State::ext_name || state_ == State::ext_value || state_ == State::ext_quoted_end;
  if (ends_item && (c == '\r' || c == ';')) {
    state_ = c == '\r' ? State::size_lf : State::ext_name_first;
    return nullptr;
  }
  const auto go = [this](bool fine, State next) {
    state_ = next;
    return fine ? nullptr : "bad chunk extension";
  };
  switch (state_) {
    case State::ext_name_first: return go(scan::is_token_byte(c), State::ext_name);
    case State::ext_name:
      return c == '=' ? go(true, State::ext_value_first)
                      : go(scan::is_token_byte(c), State::ext_name);
    case State::ext_value_first:
      return c == '"' ? go(true, State::ext_quoted) : go(scan::is_token_byte(c), State::ext_value);
    case State::ext_value: return go(scan::is_token_byte(c), State::ext_value);
    case State::ext_quoted:
      if (c == '"') return go(true, State::ext_quoted_end);
      return c == '\\' ? go(true, State::ext_escaped) : go(is_quoted_byte(c), State::ext_quoted);
    case State::ext_escaped: return go(is_quoted_byte(c), State::ext_quoted);
    default: return go(false, State::failed);
  }
}

const char* ChunkedReader::end_of_size_line(char c) {
  if (c != '\n') return "chunk size line does not end";
  digits_ = 0;
  state_ = left_ > 0 ? State::data : State::trailer_first;
  return nullptr;
}

const char* ChunkedReader::take_trailer(char c) {
  if (state_ == State::trailer_first && c == '\r') {
    state_ = State::end_lf;
    return nullptr;
  }
  if (section_.size() >= limits_.bytes) return kTrailersTooLarge;
  section_ += c;
  if (state_ == State::trailer_lf) {
    state_ = State::trailer_first;
    return c == '\n' ? nullptr : "bare CR in the trailers";
  }
  if (c == '\r') {
    state_ = State::trailer_lf;
    return nullptr;
  }
  state_ = State::trailer;
  return scan::is_control(c) ? "control character in the trailers" : nullptr;
}

ChunkedReader::Step ChunkedReader::refused(std::size_t consumed, const Refusal& refusal) {
  state_ = State::failed;
  trailers_.clear();
  return {consumed, {}, false, refusal};
}

ChunkedReader::Step ChunkedReader::finish(std::size_t consumed) {
  if (const Refusal refusal = parse_trailers(section_, limits_.fields, trailers_))
    return refused(consumed, refusal);
  return {consumed, {}, true, {}};
}

void ChunkedReader::reset() {
  state_ = State::size_first;
  digits_ = 0;
  left_ = 0;
  extension_bytes_ = 0;
  section_.clear();
  trailers_.clear();
}

ChunkHeader::ChunkHeader(std::uint64_t size) : begin_(bytes_.size() - 2) {
  HR_ASSERT(size > 0U);
  bytes_[begin_] = '\r';
  bytes_[begin_ + 1] = '\n';
  for (; size > 0; size >>= 4U) bytes_[--begin_] = "0123456789abcdef"[size & 15U];
}

void append_last_chunk(std::string& out, std::span<const Field> trailers) {
  out += "0\r\n";
  for (const Field& field : trailers) {
    out += field.name;
    out += ": ";
    out += field.value;
    out += "\r\n";
  }
  out += "\r\n";
}

}  // namespace headroom::http
