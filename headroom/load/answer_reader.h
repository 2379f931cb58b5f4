// headroom/load/answer_reader.h - reads HTTP/1.1 answers fast: where one ends (RFC 9112
// section 6.3), its status, its body's length.
//
// It trusts no framing but its own: an answer with a broken length, chunk or status line is
// broken(). Header fields that do not bear on the framing are skipped unread. Bodies are counted,
// not kept. Limits: a head of 64 KiB, a trailer section of 64 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace headroom::load {

class AnswerReader {
 public:
  // Takes what belongs to this answer and returns how many bytes that was. Fewer than given: done()
  // or broken().
  std::size_t take(std::string_view bytes);
  // The connection ended: whether the answer is whole, since some bodies end so.
  bool take_end();
  // Ready for the next answer. An answer to HEAD has no body.
  enum class Body : std::uint8_t { as_framed, none };
  void reset(Body body);

  [[nodiscard]] bool done() const { return state_ == State::done; }
  [[nodiscard]] bool broken() const { return state_ == State::broken; }
  [[nodiscard]] bool head_done() const { return status_ >= 200; }
  [[nodiscard]] unsigned status() const { return status_; }
  [[nodiscard]] std::uint64_t body_bytes() const { return body_bytes_; }
  [[nodiscard]] bool keeps_alive() const { return keeps_alive_; }

  // How many of the next bytes are body and need no look; the caller may drop them unread and say
  // so.
  [[nodiscard]] std::uint64_t skippable() const { return state_ == State::body ? left_ : 0; }
  void skip(std::uint64_t bytes);

 private:
  enum class State : std::uint8_t {
    head,
    body,
    until_end,
    chunk_size,
    chunk_data,
    chunk_end,
    trailer,
    done,
    broken
  };

  std::size_t take_head(std::string_view bytes);
  std::size_t take_line(std::string_view bytes);  // chunk sizes, ends of chunks, trailers
  void read_head(std::string_view head);
  bool read_status(std::string_view line);
  bool read_field(std::string_view line);
  void read_line(std::string_view line);
  void frame();
  std::size_t fail();

  State state_ = State::head;
  Body body_ = Body::as_framed;
  bool keeps_alive_ = true;
  bool chunked_ = false;
  bool has_length_ = false;
  unsigned status_ = 0;
  std::uint64_t left_ = 0;  // of the body or the chunk
  std::uint64_t body_bytes_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::string partial_;  // a head or a line that is not whole yet
};

}  // namespace headroom::load
