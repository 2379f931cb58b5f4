#include "headroom/http/client.h"

namespace headroom::http {

ClientConnection::ClientConnection(net::TaskGroup& group, std::unique_ptr<net::Stream> stream)
    : stream_(std::move(stream)), in_(group.worker().buffers()), body_(*stream_, in_) {}

void ClientConnection::start(Method method) {
  method_ = method;
  answer_began_ = false;
  complete_head_ = false;
  spoiled_ = !in_.empty();  // an answer that nobody asked for
  ++uses;
}

net::Task<Result<>> ClientConnection::read_head(const HeadLimits& limits, const BodyPace& pace) {
  ScanState scan;
  for (;;) {
    if (!in_.empty()) {
      answer_began_ = true;
      const Parsed parsed = parse_response_head(in_.data(), limits, scan, method_, head_);
      if (parsed.state == Parsed::State::refused) {
        spoiled_ = true;
        co_return fail(Errc::protocol, parsed.refusal.reason);
      }
      if (parsed.state == Parsed::State::complete) {
        head_bytes_ = in_.data().substr(0, parsed.size);
        in_.consume(parsed.size);
        complete_head_ = head_.status >= 200;
        if (complete_head_) body_.start(head_.body, head_.content_length, 0, pace);
        co_return Result<>{};
      }
    }
    auto bytes = co_await stream_->read_into(in_);
    if (!bytes) {
      if (bytes.error().code != Errc::timeout)
        spoiled_ = true;  // after a time-out the caller may wait on
      co_return pass(bytes);
    }
    if (*bytes == 0) {
      spoiled_ = true;
      co_return fail(Errc::unavailable, "closed before its answer");
    }
  }
}

void ClientConnection::keep_head() {
  if (head_bytes_.data() == kept_head_.data()) return;
  kept_head_.assign(head_bytes_);
  head_.rebase(head_bytes_, kept_head_.data());
  head_bytes_ = kept_head_;
}

bool ClientConnection::reusable() const {
  return !spoiled_ && complete_head_ && head_.keep_alive && body_.done() && in_.empty();
}

void ClientConnection::rest() {
  in_.release();
  kept_head_ = {};
}

}  // namespace headroom::http
