#include "headroom/edge/inner_client.h"

#include <sys/socket.h>

#include <array>

#include "headroom/http/writer.h"

namespace headroom::edge {
namespace {

// The end of all the time there is for one request, whatever deadlines its parts have.
class LastMoment final : private net::WheelEntry {
 public:
  LastMoment(net::Wheel& wheel, net::Stream& stream, TimePoint due)
      : WheelEntry(wheel), stream_(stream) {
    set(due);
  }

 private:
  void expired() override { stream_.abort(Errc::timeout); }
  net::Stream& stream_;
};

Result<std::string> written(const InnerRequest& request) {
  std::string out;
  http::HeadWriter head(out);
  head.request_line(request.method, request.target);
  head.field(http::Name::host, request.host);
  for (const auto& [name, value] : request.fields) head.field(name, value);
  const bool framed = !request.body.empty() || request.method == "POST" ||
                      request.method == "PUT" || request.method == "PATCH";
  head.framing(framed ? http::Body::length : http::Body::none, request.body.size());
  if (auto done = head.end(); !done) return pass(done);
  return out;
}

FieldTexts kept_fields(const http::ResponseHead& head) {
  FieldTexts kept;
  for (const http::Field& field : head.fields) {
    if (!field.hop_by_hop && !http::is_framing(field.id))
      kept.emplace_back(field.name, field.value);
  }
  return kept;
}

}  // namespace

Result<int> InnerDoor::open(const InnerPeer& peer) {
  if (open_ >= kMostInner) return fail(Errc::overloaded, "too many requests of our own");
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail(Errc::overloaded, "no descriptor is left");
  ++open_;
  http::Peer seen{peer.address, std::make_unique<const net::Endpoint>(peer.local),
                  peer.tls,     peer.known,
                  true,         peer.own};
  server_->take_inner(ends[1], std::move(seen), [this] { --open_; });
  return ends[0];
}

Result<> InnerClient::connect() {
  if (connection_ && connection_->reusable() && connection_->stream().idle_and_open()) return {};
  connection_.reset();
  auto end = door_.open(peer_);
  if (!end) return pass(end);
  connection_.emplace(group_, std::make_unique<net::Stream>(group_, *end, AF_UNIX));
  return {};
}

net::Task<Result<InnerAnswer>> InnerClient::ask(const InnerRequest& request,
                                                const InnerBounds& bounds) {
  auto head = written(request);
  if (!head) co_return pass(head);
  if (auto connected = connect(); !connected) co_return pass(connected);
  Result<InnerAnswer> answer = fail(Errc::internal, "not asked");
  {
    const LastMoment last(group_.worker().wheel(), connection_->stream(), bounds.deadline);
    answer = co_await exchange(request, bounds, *head);
  }
  if (!answer) connection_.reset();
  co_return answer;
}

net::Task<Result<InnerAnswer>> InnerClient::exchange(const InnerRequest& request,
                                                     const InnerBounds& bounds,
                                                     std::string_view head) {
  http::ClientConnection& connection = *connection_;
  connection.start(http::method_of(request.method));
  connection.stream().expire_at(kNever);  // LastMoment ends it
  net::Gather data;
  data.add(head);
  data.add(request.body);
  // A request refused early is not read to its end: its answer is there all the same.
  if (auto sent = co_await connection.stream().write(data); !sent) connection.spoil();
  http::BodyPace pace;
  pace.idle = std::chrono::hours(1);
  do {
    auto read = co_await connection.read_head(bounds.head, pace);
    if (!read) co_return pass(read);
  } while (connection.head().status < 200);
  InnerAnswer answer{connection.head().status, kept_fields(connection.head()), {}};
  auto body = co_await read_body(bounds);
  if (!body) co_return pass(body);
  answer.body = std::move(*body);
  co_return answer;
}

net::Task<Result<std::string>> InnerClient::read_body(const InnerBounds& bounds) {
  std::string body;
  for (;;) {
    auto piece = co_await connection_->body().next();
    if (!piece) co_return pass(piece);
    if (piece->empty()) co_return body;
    if (bounds.room && !bounds.room(piece->size()))
      co_return fail(Errc::overloaded, "the answer is too large");
    if (bounds.keep_body) body += *piece;
  }
}

}  // namespace headroom::edge
