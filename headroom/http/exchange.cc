#include "headroom/http/exchange.h"

#include <fmt/format.h>

#include "headroom/base/assert.h"
#include "headroom/http/server.h"
#include "headroom/http/writer.h"

namespace headroom::http {

Exchange::Exchange(net::TaskGroup& group, net::Stream& stream, net::Buffer& in, Peer peer, DateText& date)
    : group_(group), stream_(stream), in_(in), peer_(std::move(peer)), date_(date), body_(stream, in) {}

void Exchange::reset(const ServerOptions& options, TimePoint now) {
  options_ = &options;
  began_ = now;
  body_.start(request_.body, request_.content_length, options.body_limit, options.body);
  out_.clear();
  trailers_.clear();
  gather_ = {};
  length_ = {};
  status_ = 0;
  bytes_sent_ = 0;
  chunked_ = head_written_ = started_ = finished_ = close_after_ = hijacked_ = false;
  continue_wanted_ = request_.expect_continue;
}

void Exchange::release() {
  out_ = {};
  trailers_ = {};
  kept_head_ = {};
  request_.fields = {};
}

void Exchange::limit_body(std::uint64_t bytes) {
  body_.start(request_.body, request_.content_length, bytes, options_->body);
}

bool Exchange::must_close() const { return close_after_ || !request_.keep_alive || continue_wanted_; }

// The head's bytes lie in the receive buffer, which the body is about to need.
void Exchange::keep_head() {
  if (head_bytes_.data() == kept_head_.data() || body_.done()) return;
  kept_head_.assign(head_bytes_);
  request_.rebase(head_bytes_, kept_head_.data());
  head_bytes_ = kept_head_;
}

net::Task<Result<std::string_view>> Exchange::read() {
  keep_head();
  if (continue_wanted_) {
    continue_wanted_ = false;
    if (!started_ && !body_.done()) {
      auto sent = co_await informational(100, {});
      if (!sent) co_return pass(sent);
    }
  }
  co_return co_await body_.next();
}

void Exchange::start(unsigned status, std::string_view reason, Length length) {
  HR_ASSERT(!started_);
  started_ = true;
  status_ = status;
  length_ = length;
  if (length.kind == Length::Kind::unknown && request_.minor_version == 0) close_after_ = true;
  append_status_line(out_, status, reason);
  if (length.kind == Length::Kind::known) {
    append_content_length(out_, length.bytes);
  } else if (length.kind == Length::Kind::unknown && request_.minor_version > 0 &&
             request_.method != Method::head) {
    out_ += "Transfer-Encoding: chunked\r\n";
    chunked_ = true;
  }
  if (must_close()) {
    close_after_ = true;
    out_ += "Connection: close\r\n";
  } else if (request_.minor_version == 0) {
    out_ += "Connection: keep-alive\r\n";
  }
}

void Exchange::trailer(std::string_view name, std::string_view value) {
  if (chunked_) append_field(trailers_, name, value);
}

void Exchange::frame_piece(std::string_view piece, Last last) {
  if (!head_written_) {
    out_ += "\r\n";
    head_written_ = true;
    gather_.add(out_);
  }
  if (request_.method == Method::head || length_.kind == Length::Kind::none) piece = {};
  bytes_sent_ += piece.size();
  if (!chunked_) {
    gather_.add(piece);
  } else {
    if (!piece.empty()) {
      const std::size_t size = write_chunk_size(chunk_, piece.size());
      gather_.add({chunk_.data(), size});
      gather_.add(piece);
      gather_.add("\r\n");
    }
    if (last == Last::yes) {
      gather_.add("0\r\n");
      gather_.add(trailers_);
      gather_.add("\r\n");
    }
  }
  if (last == Last::yes) finished_ = true;
}

Result<bool> Exchange::send_now(std::string_view piece, Last last) {
  HR_ASSERT(started_);
  const bool counted = length_.kind == Length::Kind::known && request_.method != Method::head;
  const std::uint64_t total = bytes_sent_ + piece.size();
  if (counted && (total > length_.bytes || (last == Last::yes && total < length_.bytes))) {
    close_after_ = true;
    return fail(Errc::protocol, "an answer of another length than announced");
  }
  gather_ = {};
  frame_piece(piece, last);
  return stream_.write_now(gather_);
}

net::Task<Result<>> Exchange::finish_send() {
  stream_.expire_at(Clock::now() + options_->write_timeout);
  co_return co_await stream_.write(gather_);
}

net::Task<Result<>> Exchange::send(std::string_view piece, Last last) {
  auto done = send_now(piece, last);
  if (!done) co_return pass(done);
  if (*done) co_return Result<>{};
  co_return co_await finish_send();
}

net::Task<Result<>> Exchange::reply(const Reply& reply) {
  const bool bodiless = reply.status == 204 || reply.status == 304;
  start(reply.status, reason_of(reply.status),
        bodiless ? Length{} : Length{Length::Kind::known, reply.body.size()});
  if (!bodiless) append_field(out_, "Content-Type", reply.content_type);
  append_field(out_, "Date", date_.now());
  out_ += reply.fields;
  co_return co_await send(reply.body, Last::yes);
}

std::string_view DateText::now() {
  const std::time_t now = std::time(nullptr);
  if (now != second_) {
    second_ = now;
    text_ = http_date(now);
  }
  return text_;
}

net::Task<Result<>> Exchange::informational(unsigned status, std::string_view lines) {
  if (request_.minor_version == 0) co_return Result<>{};
  std::string text;
  append_status_line(text, status, reason_of(status));
  text += lines;
  text += "\r\n";
  stream_.expire_at(Clock::now() + options_->write_timeout);
  co_return co_await stream_.write(text);
}

}  // namespace headroom::http
