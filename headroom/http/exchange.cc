#include "headroom/http/exchange.h"

#include "headroom/base/assert.h"
#include "headroom/http/cookie.h"
#include "headroom/http/server.h"
#include "headroom/http/writer.h"

namespace headroom::http {
namespace {

constexpr std::size_t kReplyPiece = 64U << 10U;  // then the worker's others have a turn

}  // namespace

Exchange::Exchange(net::TaskGroup& group, net::Stream& stream, net::Buffer& in, Peer peer,
                   DateText& date)
    : group_(group),
      stream_(stream),
      in_(in),
      peer_(std::move(peer)),
      date_(date),
      body_(stream, in) {}

void Exchange::reset(const ServerOptions& options, TimePoint now) {
  options_ = &options;
  began_ = now;
  client_.reset();
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

bool Exchange::must_close() const {
  return close_after_ || !request_.keep_alive || continue_wanted_;
}

// The head's bytes lie in the receive buffer, which the body is about to need.
void Exchange::keep_head() {
  if (head_bytes_.data() == kept_head_.data() || body_.done()) return;
  kept_head_.assign(head_bytes_);
  request_.rebase(head_bytes_, kept_head_.data());
  head_bytes_ = kept_head_;
}

// In place: the head's bytes are this connection's own.
std::vector<std::string> Exchange::take_cookie(std::string_view name) {
  std::vector<std::string> taken;
  if (!request_.has(Name::cookie)) return taken;
  bool any = false;
  for (Field& field : request_.fields) {
    if (field.id != Name::cookie) continue;
    if (!field.value.contains(name)) {
      any = any || !field.value.empty();
      continue;
    }
    char* const at = const_cast<char*>(field.value.data());
    field.value = {at, cut_cookie({at, field.value.size()}, name, taken)};
    any = any || !field.value.empty();
  }
  if (taken.empty()) return taken;
  if (!any) request_.remove(Name::cookie);
  std::erase_if(request_.fields,
                [](const Field& f) { return f.id == Name::cookie && f.value.empty(); });
  return taken;
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
  HeadWriter head(out_);
  head.status_line(static_cast<std::uint16_t>(status), reason);
  if (length.kind == Length::Kind::known) {
    head.framing(Body::length, length.bytes);
  } else if (length.kind == Length::Kind::unknown && request_.minor_version > 0 &&
             request_.method != Method::head) {
    head.framing(Body::chunked, 0);
    chunked_ = true;
  }
  if (must_close()) {
    close_after_ = true;
    out_ += "Connection: close\r\n";
  } else if (request_.minor_version == 0) {
    out_ += "Connection: keep-alive\r\n";
  }
}

void Exchange::trailers(std::span<const Field> fields) {
  if (chunked_ && !fields.empty()) append_last_chunk(trailers_, fields);
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
      chunk_ = ChunkHeader(piece.size());
      gather_.add(chunk_.view());
      gather_.add(piece);
      gather_.add(kChunkEnd);
    }
    if (last == Last::yes) {
      gather_.add(trailers_.empty() ? kLastChunk : trailers_);
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
  stream_.expire_writes_at(Clock::now() + options_->write_timeout);
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
  start(reply.status, {}, bodiless ? Length{} : Length{Length::Kind::known, reply.body.size()});
  HeadWriter head(out_);
  if (!bodiless) head.field(Name::content_type, reply.content_type);
  head.field(Name::date, date_.now());
  out_ += reply.fields;
  std::string_view rest = reply.body;
  for (; rest.size() > kReplyPiece; rest.remove_prefix(kReplyPiece)) {
    auto sent = co_await send(rest.substr(0, kReplyPiece), Last::no);
    if (!sent) co_return sent;
    co_await worker().yield();
  }
  co_return co_await send(rest, Last::yes);
}

std::string_view DateText::now() {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (now != second_) {
    second_ = now;
    text_ = HttpDate(now);
  }
  return text_.view();
}

net::Task<Result<>> Exchange::informational(unsigned status, std::string_view lines) {
  if (request_.minor_version == 0) co_return Result<>{};
  std::string text;
  HeadWriter(text).status_line(static_cast<std::uint16_t>(status));
  text += lines;
  text += "\r\n";
  stream_.expire_writes_at(Clock::now() + options_->write_timeout);
  co_return co_await stream_.write(text);
}

}  // namespace headroom::http
