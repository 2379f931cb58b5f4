// headroom/http/body.h - a message's body as it arrives: pieces of the receive buffer, without a copy.
//
// Borrows: the stream and its receive buffer, which may hold the next message behind the body. Worker: the stream's.
// Invariants: (1) nothing is read beyond what the sender was asked for: back-pressure is the caller not asking; (2) after an error the
//   connection is not reused; (3) a piece holds until the next call.
// Limits: `limit` bytes in all (0 = none), idle time and average rate of arrival (BodyPace), read in pieces of at most 128 KiB.
#pragma once

#include <cstdint>
#include <string_view>

#include "headroom/base/clock.h"
#include "headroom/base/error.h"
#include "headroom/http/chunked.h"
#include "headroom/http/message.h"
#include "headroom/net/buffer.h"
#include "headroom/net/stream.h"

namespace headroom::http {

// How slowly a body may come.
struct BodyPace {
  Duration idle = 60s;                       // between two arrivals
  std::uint64_t least_bytes_per_second = 0;  // on average, after `grace`; 0 = any
  Duration grace = 10s;
  TimePoint until = TimePoint::max();  // all of it must be here by then
};

class BodySource {
 public:
  BodySource(net::Stream& stream, net::Buffer& in) : stream_(stream), in_(in) {}

  // The body that follows the head just taken from the buffer.
  void start(Body kind, std::uint64_t length, std::uint64_t limit, const BodyPace& pace);

  // The whole body has been handed out and consumed.
  [[nodiscard]] bool done() const { return done_; }
  // From the next wait on.
  void set_idle(Duration idle) { pace_.idle = idle; }
  // What of the body is in the buffer already, or "" (done, or more must be read).
  [[nodiscard]] Result<std::string_view> buffered();
  // Before the first piece of a large body is taken: reads what has arrived besides, without waiting, so that it is passed on in fewer and
  // larger writes. Views of the head end here.
  void top_up();
  // The next piece; "" at the end of the body. Errc::protocol (bad framing, closed early), overloaded (over the limit), timeout, cancelled.
  [[nodiscard]] net::Task<Result<std::string_view>> next();

  [[nodiscard]] std::uint64_t received() const { return received_; }
  // Valid once done, until the next message.
  [[nodiscard]] std::span<const Field> trailers() const { return chunks_.trailers(); }
  // Reads on until is_here(), taking nothing; for bodies of announced length. Errc::timeout at `until`: what came is there all the same; else
  // as next().
  [[nodiscard]] net::Task<Result<>> arrive(TimePoint until);
  // The bytes still to come, when the sender said so.
  [[nodiscard]] std::uint64_t left() const { return left_; }
  // Whether all that is to come has arrived, as far as an announced length tells.
  [[nodiscard]] bool is_here() const { return kind_ == Body::length && in_.size() >= left_; }

 private:
  [[nodiscard]] Result<std::string_view> take_counted();
  [[nodiscard]] Result<std::string_view> take_chunked();
  void finish_pending();
  [[nodiscard]] Result<std::string_view> count(std::string_view piece);
  [[nodiscard]] net::Task<Result<std::size_t>> fill();
  [[nodiscard]] TimePoint deadline(TimePoint now) const;

  net::Stream& stream_;
  net::Buffer& in_;
  ChunkedReader chunks_;
  BodyPace pace_;
  TimePoint began_{};
  Body kind_ = Body::none;
  bool done_ = true;
  bool large_reads_ = false;
  std::uint64_t left_ = 0;
  std::uint64_t limit_ = 0;
  std::uint64_t received_ = 0;
  std::size_t pending_ = 0;             // bytes of the buffer handed out by the last call
  bool ends_behind_ = false;            // chunked: what was handed out is the last
  const char* wrong_behind_ = nullptr;  // chunked: why what follows it is refused
};

}  // namespace headroom::http
