#include "headroom/http/body.h"

#include <algorithm>
#include <cstring>

namespace headroom::http {
namespace {
constexpr std::size_t kJoinedChunks = 4U << 10U;  // a piece of so much is given as it is
constexpr std::uint64_t kWorthARead = 16U << 10U;
constexpr std::size_t kLargeRead = 64U << 10U;  // at least: a large block of the pool holds 128 KiB
}  // namespace

void BodySource::start(Body kind, std::uint64_t length, std::uint64_t limit, const BodyPace& pace) {
  kind_ = kind;
  left_ = length;
  limit_ = limit;
  pace_ = pace;
  received_ = 0;
  pending_ = 0;
  ends_behind_ = false;
  wrong_behind_ = nullptr;
  began_ = {};
  large_reads_ = length >= kLargeRead;
  done_ = kind == Body::none || (kind == Body::length && length == 0);
  if (kind == Body::chunked) chunks_.reset();
}

Result<std::string_view> BodySource::count(std::string_view piece) {
  received_ += piece.size();
  if (limit_ != 0 && received_ > limit_) return fail(Errc::overloaded, "body too large");
  return piece;
}

Result<std::string_view> BodySource::take_counted() {
  std::string_view piece = in_.data();
  if (kind_ == Body::length) {
    piece = piece.substr(0, std::min<std::uint64_t>(piece.size(), left_));
    left_ -= piece.size();
  }
  pending_ = piece.size();
  return count(piece);
}

// Small chunks that are here already become one piece: each piece costs its receiver a system call.
Result<std::string_view> BodySource::take_chunked() {
  std::size_t consumed = 0;
  std::string_view joined;
  while (consumed < in_.size() && joined.size() < kJoinedChunks && !ends_behind_) {
    const ChunkedReader::Step step = chunks_.step(in_.data().substr(consumed));
    if (step.refusal) {
      wrong_behind_ = step.refusal.reason;
      break;
    }
    if (joined.empty()) {
      joined = step.data;
    } else if (!step.data.empty()) {
      char* const end = in_.begin() + (joined.data() - in_.data().data()) + joined.size();
      std::memmove(end, step.data.data(), step.data.size());
      joined = {joined.data(), joined.size() + step.data.size()};
    }
    consumed += step.consumed;
    ends_behind_ = step.finished;
    if (step.consumed == 0) break;
  }
  pending_ = consumed;
  if (!joined.empty()) return count(joined);
  finish_pending();
  if (wrong_behind_ != nullptr) return fail(Errc::protocol, wrong_behind_);
  return joined;
}

// What was given last has been used.
void BodySource::finish_pending() {
  in_.consume(std::exchange(pending_, 0));
  if (ends_behind_ || (kind_ == Body::length && left_ == 0)) done_ = true;
}

Result<std::string_view> BodySource::buffered() {
  finish_pending();
  if (wrong_behind_ != nullptr) return fail(Errc::protocol, wrong_behind_);
  if (done_ || in_.empty()) return std::string_view{};
  return kind_ == Body::chunked ? take_chunked() : take_counted();
}

void BodySource::top_up() {
  if (kind_ != Body::length || left_ <= in_.size() + kWorthARead) return;
  const std::span<char> room = in_.space(kLargeRead);
  in_.commit(stream_.read_now(room));
}

net::Task<Result<std::string_view>> BodySource::next() {
  for (;;) {
    auto piece = buffered();
    if (!piece || !piece->empty() || done_) co_return piece;
    auto bytes = co_await fill();
    if (!bytes) co_return pass(bytes);
    if (*bytes == 0) {
      if (kind_ != Body::until_close)
        co_return fail(Errc::protocol, "closed in the middle of a body");
      done_ = true;
      co_return std::string_view{};
    }
  }
}

net::Task<Result<std::size_t>> BodySource::fill() {
  const TimePoint now = Clock::now();
  if (began_ == TimePoint{}) began_ = now;
  stream_.expire_reads_at(deadline(now));
  auto bytes = co_await stream_.read_into(in_, large_reads_ ? kLargeRead : 1);
  if (bytes && in_.size() == in_.capacity()) large_reads_ = true;
  co_return bytes;
}

net::Task<Result<>> BodySource::arrive(TimePoint until) {
  while (!is_here()) {
    stream_.expire_reads_at(until);
    auto bytes = co_await stream_.read_into(in_, static_cast<std::size_t>(left_) - in_.size());
    if (!bytes) co_return pass(bytes);
    if (*bytes == 0) co_return fail(Errc::protocol, "closed in the middle of a body");
  }
  co_return Result<>{};
}

TimePoint BodySource::deadline(TimePoint now) const {
  const TimePoint idle = std::min(now + pace_.idle, pace_.until);
  if (pace_.least_bytes_per_second == 0) return idle;
  const double earned =
      static_cast<double>(received_) / static_cast<double>(pace_.least_bytes_per_second);
  const auto allowed = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(earned));
  return std::min(idle, began_ + pace_.grace + allowed);
}

}  // namespace headroom::http
