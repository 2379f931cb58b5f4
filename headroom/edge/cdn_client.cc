#include "headroom/edge/cdn_client.h"

#include <algorithm>

#include "headroom/http/client.h"
#include "headroom/http/writer.h"

namespace headroom::edge {
namespace {

constexpr std::size_t kMostBody = 64U << 10U;

Result<std::string> written(const CdnSettings& settings, const CdnRequest& request) {
  std::string out;
  http::HeadWriter head(out);
  head.request_line("POST", request.target);
  head.field(http::Name::host, settings.address.authority);
  for (const auto& [name, value] : request.fields) head.field(name, value);
  head.field("User-Agent", "Headroom");
  head.field("Accept-Encoding", "identity");
  head.field("Connection", "close");
  head.framing(http::Body::length, request.body.size());
  if (auto done = head.end(); !done) return pass(done);
  return out + request.body;
}

net::Task<Result<std::unique_ptr<net::Stream>>> connect(net::TaskGroup& group, net::Resolver& resolver, const CdnSettings& settings, TimePoint deadline) {
  auto found = co_await resolver.resolve(group.worker(), settings.address.host, settings.address.port);
  if (!found) co_return pass(found);
  Result<std::unique_ptr<net::Stream>> stream = fail(Errc::unavailable, "its name has no address");
  for (std::size_t i = 0; i < std::min<std::size_t>(found->endpoints.size(), 3) && !stream; ++i) {
    stream = co_await net::Stream::connect(group, found->endpoints[i], deadline);
  }
  if (!stream) co_return pass(stream);
  (*stream)->expire_at(deadline);
  auto shaken = co_await (*stream)->connect_tls(settings.tls->context(group.worker().index()), settings.address.host);
  if (!shaken) co_return pass(shaken);
  co_return std::move(*stream);
}

net::Task<Result<CdnAnswer>> read(http::ClientConnection& connection) {
  const http::HeadLimits limits;
  const http::BodyPace pace{.idle = std::chrono::hours(1)};  // the stream's deadline ends it
  do {
    auto head = co_await connection.read_head(limits, pace);
    if (!head) co_return pass(head);
  } while (connection.head().status < 200);
  CdnAnswer answer{connection.head().status, {}, {}};
  for (const http::Field& field : connection.head().fields) {
    if (field.id == http::Name::retry_after) answer.retry_after = field.value;
  }
  while (answer.body.size() < kMostBody) {
    auto piece = co_await connection.body().next();
    if (!piece || piece->empty()) break;  // the status says enough
    answer.body += *piece;
  }
  co_return answer;
}

}  // namespace

net::Task<Result<CdnAnswer>> call_cdn(net::TaskGroup& group, net::Resolver& resolver, const CdnSettings& settings, const CdnRequest& request) {
  auto bytes = written(settings, request);
  if (!bytes) co_return pass(bytes);
  const TimePoint deadline = Clock::now() + settings.options.timeout;
  auto stream = co_await connect(group, resolver, settings, deadline);
  if (!stream) co_return pass(stream);
  http::ClientConnection connection(group, std::move(*stream));
  connection.start(http::Method::post);
  auto sent = co_await connection.stream().write(*bytes);
  if (!sent) co_return pass(sent);
  auto answer = co_await read(connection);
  co_return answer;
}

}  // namespace headroom::edge
