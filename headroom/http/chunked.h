// headroom/http/chunked.h - the chunked transfer coding (RFC 9112 7.1): a strict reader without copies, and the writers.
//
//   chunk       = 1*HEXDIG [ ext ] CRLF data CRLF
//   last-chunk  = 1*"0" [ ext ] CRLF *( trailer CRLF ) CRLF
//   ext         = *( ";" token [ "=" ( token / quoted-string ) ] )      no white space outside quotes (RFC 9112 allows it as "bad")
//
// Owns: the bytes of the trailer section, when there is one; its Fields point into them.
// Worker: a value of its connection.
// Invariants: (1) `data` is a part of the input just given; (2) the outcome does not depend on how the input is split; (3) after an error
//   or the end nothing more is consumed: what follows the body is the next message's.
// Limits: kMaxSizeDigits digits of size, kMaxExtensionBytes of extensions in one message (each costs the sender nothing and us a look),
//   and those of TrailerLimits. Beyond them the message is refused.
//
// Trailers: Content-Length, Transfer-Encoding and Host are refused (no honest sender writes them there). The other names that frame,
// route, guard or describe the message (Authorization, Cookie, Set-Cookie, Content-*, X-Forwarded-*, every well-known name but ETag,
// Server-Timing and Cache-Status) are dropped, as RFC 9110 6.5.1 lets a recipient do; unknown ones (grpc-status) are kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/http/message.h"
#include "headroom/http/parser.h"

namespace headroom::http {

struct TrailerLimits {
  std::size_t bytes = 8 * 1024;
  std::size_t fields = 32;
};

class ChunkedReader {
 public:
  static constexpr std::size_t kMaxSizeDigits = 16;
  static constexpr std::size_t kMaxExtensionBytes = 4 * 1024;

  struct Step {
    std::size_t consumed = 0;
    std::string_view data;  // payload within the consumed bytes; at most one piece a step
    bool finished = false;  // the body and its trailers are over
    Refusal refusal;        // the body is malformed (400, 431): close the connection
  };

  explicit ChunkedReader(TrailerLimits limits = {}) : limits_(limits) {}

  // Consumes framing and at most one piece of data. Call again with the rest while something was consumed and it is not finished;
  // otherwise more input is needed.
  [[nodiscard]] Step step(std::string_view input);

  // Ready for the next body; keeps the memory.
  void reset();

  // After `finished`; the views hold until reset().
  [[nodiscard]] const std::vector<Field>& trailers() const { return trailers_; }
  // Bytes of data that the current chunk still holds: a hint for reading.
  [[nodiscard]] std::uint64_t chunk_left() const { return left_; }

 private:
  enum class State : std::uint8_t {
    size_first,
    size,
    ext_name_first,
    ext_name,
    ext_value_first,
    ext_value,
    ext_quoted,
    ext_escaped,
    ext_quoted_end,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_first,
    trailer,
    trailer_lf,
    end_lf,
    done,
    failed,
  };

  // One byte of framing; the reason when it must not be there, else nullptr.
  const char* take(char c);
  const char* take_size(char c);
  const char* take_extension(char c);
  const char* take_trailer(char c);
  const char* end_of_size_line(char c);
  Step refused(std::size_t consumed, const Refusal& refusal);
  Step finish(std::size_t consumed);

  TrailerLimits limits_;
  State state_ = State::size_first;
  std::uint8_t digits_ = 0;
  std::uint64_t left_ = 0;  // the size while it is read, then what is left of the chunk
  std::size_t extension_bytes_ = 0;
  std::string section_;  // the trailer section as received
  std::vector<Field> trailers_;
};

// "<hex>\r\n" for a chunk of `size` bytes (not 0); the data and "\r\n" follow.
class ChunkHeader {
 public:
  explicit ChunkHeader(std::uint64_t size);
  [[nodiscard]] std::string_view view() const {
    return std::string_view(bytes_.data(), bytes_.size()).substr(begin_);
  }

 private:
  std::array<char, 18> bytes_;
  std::size_t begin_;
};

inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// "0\r\n", the trailers, "\r\n". The fields must be well formed (a parser's, or checked by is_token and is_field_value).
void append_last_chunk(std::string& out, std::span<const Field> trailers);

}  // namespace headroom::http
