#include "headroom/postgres/decoding.h"

#include <fmt/format.h>

#include "headroom/base/text.h"

namespace headroom::postgres {
namespace {

namespace from = pgwire::from_server;

constexpr Duration kConfirmEvery = 1s;
constexpr std::size_t kDataHeader = 25;   // 'w', start, end, time
constexpr std::size_t kAliveHeader = 18;  // 'k', end, time, whether an answer is wanted

std::uint64_t read_u64(std::string_view bytes) {
  return std::uint64_t{pgwire::read_u32(bytes.data())} << 32U | pgwire::read_u32(bytes.data() + 4);
}

void append_u64(pgwire::Message& message, std::uint64_t value) {
  message.u32(static_cast<std::uint32_t>(value >> 32U)).u32(static_cast<std::uint32_t>(value));
}

}  // namespace

Decoding::Decoding(net::Worker& worker, std::unique_ptr<Server> server)
    : server_(std::move(server)), in_(worker.buffers()) {}

net::Task<Result<std::unique_ptr<Decoding>>> Decoding::connect(
    net::TaskGroup& group, const Means& means, const Route& route, Credentials who,
    std::string database, TimePoint deadline, pgwire::Report* refusal) {
  Parameters parameters{{"replication", "database"}};
  auto server = co_await log_in(group, means, route, std::move(who), std::move(database), deadline,
                                refusal, std::move(parameters));
  if (!server) co_return pass(server);
  co_return std::unique_ptr<Decoding>(new Decoding(group.worker(), std::move(*server)));
}

// Protocol: "Streaming Replication Protocol" in PostgreSQL's manual; the older words for the options, which every version since 10 takes.
net::Task<Result<>> Decoding::open(TimePoint deadline) {
  const std::string slot = "headroom_" + text::random_hex(8);
  std::string create = fmt::format(
      "CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL test_decoding NOEXPORT_SNAPSHOT", slot);
  auto made = co_await ask(*server_, std::move(create), deadline);
  if (!made) co_return pass(made);
  server_->stream->expire_at(deadline);
  std::string start;
  pgwire::append_query(start, fmt::format("START_REPLICATION SLOT {} LOGICAL 0/0", slot));
  auto sent = co_await server_->stream->write(start);
  if (!sent) co_return sent;
  for (;;) {
    char type = 0;
    auto body = co_await read_frame(type);
    if (!body) co_return pass(body);
    if (type == from::kCopyBoth) break;
    if (type == from::kNotice || type == from::kParameterStatus) continue;
    const auto report = type == from::kError ? pgwire::parse_report(*body) : std::nullopt;
    co_return fail(Errc::invalid, report ? fmt::format("{} ({})", report->message, report->sqlstate)
                                         : "the server does not start to replicate");
  }
  server_->stream->expire_at(kNever);
  co_return Result<>{};
}

// The first kKept bytes of the next frame's body; the rest of it has been read, too.
net::Task<Result<std::string>> Decoding::read_frame(char& type) {
  net::Stream& stream = *server_->stream;
  pgwire::Frame frame;
  for (;;) {
    const pgwire::Found found = pgwire::find_frame(in_.data(), frame);
    if (found == pgwire::Found::bad)
      co_return fail(Errc::protocol, "the server sent a message of an impossible length");
    if (found == pgwire::Found::frame &&
        in_.size() >= std::min<std::uint64_t>(frame.size, pgwire::kHeader + kKept))
      break;
    auto read = co_await stream.read_into(in_, 4096);
    if (!read) co_return pass(read);
    if (*read == 0) co_return fail(Errc::unavailable, "the server closed the connection");
  }
  type = frame.type;
  std::string body(
      in_.data().substr(pgwire::kHeader, std::min<std::uint64_t>(frame.body(), kKept)));
  in_.consume(pgwire::kHeader + body.size());
  for (std::uint64_t left = frame.body() - body.size(); left > 0;) {
    const std::size_t here = std::min<std::uint64_t>(left, in_.size());
    in_.consume(here);
    left -= here;
    if (left == 0) break;
    auto read = co_await stream.read_into(in_, 4096);
    if (!read) co_return pass(read);
    if (*read == 0) co_return fail(Errc::unavailable, "the server closed the connection");
  }
  co_return body;
}

// Standby status update: what was given counts as written, flushed and applied.
net::Task<Result<>> Decoding::confirm() {
  confirmed_ = Clock::now();
  confirm_due_ = false;
  std::string out;
  {
    pgwire::Message message(out, pgwire::from_client::kCopyData);
    message.u8('r');
    for (int i = 0; i < 3; ++i) append_u64(message, position_);
    append_u64(message, 0);
    message.u8(0);
  }
  co_return co_await server_->stream->write(out);
}

net::Task<Result<Decoding::Event>> Decoding::next() {
  if (confirm_due_ || elapsed(confirmed_, Clock::now()) >= kConfirmEvery) {
    auto told = co_await confirm();
    if (!told) co_return pass(told);
  }
  for (;;) {
    char type = 0;
    auto body = co_await read_frame(type);
    if (!body) co_return pass(body);
    if (type == from::kNotice || type == from::kParameterStatus) continue;
    if (type == from::kError) {
      const auto report = pgwire::parse_report(*body);
      co_return fail(Errc::unavailable,
                     report ? fmt::format("{} ({})", report->message, report->sqlstate)
                            : "the server ends the stream");
    }
    if (type != from::kCopyData || body->empty())
      co_return fail(Errc::protocol, "the server ends the stream");
    if (body->front() == 'k' && body->size() == kAliveHeader) {
      position_ = std::max(position_, read_u64(std::string_view(*body).substr(1)));
      confirm_due_ = body->back() != 0;  // it asks; else what is behind goes with the next in time
      co_return Event{.kind = Event::Kind::alive};
    }
    if (body->front() != 'w' || body->size() < kDataHeader)
      co_return fail(Errc::protocol, "a message that is not of the replication protocol");
    Event event{.kind = Event::Kind::line,
                .decoded = parse_decoded(std::string_view(*body).substr(kDataHeader))};
    if (event.decoded.kind == Decoded::Kind::commit)
      position_ = std::max(position_, read_u64(std::string_view(*body).substr(1)));
    co_return event;
  }
}

}  // namespace headroom::postgres
