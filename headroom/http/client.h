// headroom/http/client.h - the client side of HTTP/1.1: one connection that carries requests to an upstream, one after the other.
//
// Owns: its stream and receive buffer. Worker: the stream's.
// Invariants: (1) after an error, an early end or bytes behind the answer the connection is not reusable; (2) the head's views hold until the
//   body is read.
// Limits: HeadLimits for the answer's head; deadlines by the caller; pieces of 64 KiB.
#pragma once

#include <memory>
#include <string>

#include "headroom/http/body.h"
#include "headroom/http/parser.h"
#include "headroom/net/stream.h"

namespace headroom::http {

class ClientConnection {
 public:
  ClientConnection(net::TaskGroup& group, std::unique_ptr<net::Stream> stream);

  [[nodiscard]] net::Stream& stream() { return *stream_; }
  [[nodiscard]] net::Buffer& input() { return in_; }

  // Begins a request: forgets the last answer.
  void start(Method method);
  // Reads the next head of the answer (1xx heads come one by one) and makes its body ready. Errc::protocol (malformed), unavailable (closed
  // before the head was whole), timeout, cancelled.
  [[nodiscard]] net::Task<Result<>> read_head(const HeadLimits& limits, const BodyPace& pace);
  [[nodiscard]] const ResponseHead& head() const { return head_; }
  // Its views hold from now on until the next head, also while the body is read. Costs a copy.
  void keep_head();
  // Whether any byte of an answer has arrived since start().
  [[nodiscard]] bool answer_began() const { return answer_began_; }
  [[nodiscard]] BodySource& body() { return body_; }

  // The answer is over, nothing follows it and both sides want to go on.
  [[nodiscard]] bool reusable() const;
  // What was sent of the request is not whole: the connection cannot carry another.
  void spoil() { spoiled_ = true; }
  // Gives buffers back while the connection waits for use.
  void rest();

  std::uint64_t uses = 0;  // requests carried
  TimePoint idle_since{};  // while it rests

 private:
  std::unique_ptr<net::Stream> stream_;
  net::Buffer in_;
  BodySource body_;
  ResponseHead head_;
  std::string_view head_bytes_;  // what head_ views
  std::string kept_head_;
  Method method_ = Method::get;
  bool answer_began_ = false;
  bool complete_head_ = false;
  bool spoiled_ = false;
};

}  // namespace headroom::http
