#include "headroom/http/call.h"

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/http/client.h"
#include "headroom/http/writer.h"

namespace headroom::http {
namespace {

constexpr std::size_t kMostBody = 64U << 10U;
constexpr std::size_t kMostAddresses = 3;

Result<std::string> written(const Call& what) {
  std::string out;
  HeadWriter head(out);
  head.request_line(to_string(what.method), what.to.target);
  head.field(Name::host, what.to.authority);
  for (const auto& [name, value] : what.fields) head.field(name, value);
  head.field("User-Agent", "Headroom");
  head.field("Accept-Encoding", "identity");
  head.field("Connection", "close");
  head.framing(Body::length, what.body.size());
  if (auto done = head.end(); !done) return pass(done);
  return out + what.body;
}

using Connected = Result<std::unique_ptr<net::Stream>>;

net::Task<Connected> connect(net::TaskGroup& group, net::Resolver& resolver,
                             const net::TlsClient* tls, const CallAddress& to, TimePoint deadline) {
  auto found = co_await resolver.resolve(group.worker(), to.host, to.port);
  if (!found) co_return pass(found);
  Connected stream = fail(Errc::unavailable, "its name has no address");
  for (std::size_t i = 0; i < std::min(found->endpoints.size(), kMostAddresses) && !stream; ++i) {
    stream = co_await net::Stream::connect(group, found->endpoints[i], deadline);
  }
  if (!stream) co_return pass(stream);
  (*stream)->expire_at(deadline);
  if (!to.tls) co_return std::move(*stream);
  HR_ASSERT(tls != nullptr);
  auto shaken = co_await (*stream)->connect_tls(tls->context(group.worker().index()), to.host);
  if (!shaken) co_return pass(shaken);
  co_return std::move(*stream);
}

net::Task<Result<CallAnswer>> read(ClientConnection& connection, TimePoint deadline) {
  const HeadLimits limits;
  const BodyPace pace{.until = deadline};
  do {
    auto head = co_await connection.read_head(limits, pace);
    if (!head) co_return pass(head);
  } while (connection.head().status < 200);
  CallAnswer answer{.status = connection.head().status, .retry_after = {}, .body = {}};
  for (const Field& field : connection.head().fields) {
    if (field.id == Name::retry_after) answer.retry_after = field.value;
  }
  for (;;) {
    auto piece = co_await connection.body().next();
    if (piece && piece->empty()) co_return answer;
    answer.whole = piece && answer.body.size() + piece->size() <= kMostBody;
    if (!answer.whole) co_return answer;
    answer.body += *piece;
  }
}

}  // namespace

Result<CallAddress> call_address(std::string_view url) {
  const auto wrong = [&] {
    return fail(Errc::invalid,
                "'" + std::string(url.substr(0, 200)) + "' is no http:// or https:// URL");
  };
  CallAddress made;
  made.tls = url.starts_with("https://");
  if (!made.tls && !url.starts_with("http://")) return wrong();
  const std::string_view rest = url.substr(made.tls ? 8 : 7);
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  made.authority = rest.substr(0, end);
  made.target = rest.substr(end);
  if (!made.target.starts_with('/')) made.target.insert(0, "/");
  made.port = made.tls ? 443 : 80;
  std::string_view host = made.authority;
  if (const auto colon = host.rfind(':');
      colon != std::string_view::npos && !host.substr(colon).contains(']')) {
    const auto port = text::to_u64(host.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return wrong();
    made.port = static_cast<std::uint16_t>(*port);
    host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  made.host = host;
  const bool plain = std::ranges::all_of(
      url, [](char c) { return c > ' ' && c < 0x7f && c != '#' && c != '\\' && c != '"'; });
  if (!plain || made.host.empty() || made.authority.contains('@')) return wrong();
  return made;
}

net::Task<Result<CallAnswer>> call(net::TaskGroup& group, net::Resolver& resolver,
                                   const net::TlsClient* tls, const Call& what) {
  auto bytes = written(what);
  if (!bytes) co_return pass(bytes);
  const TimePoint deadline = Clock::now() + what.timeout;
  auto stream = co_await connect(group, resolver, tls, what.to, deadline);
  if (!stream) co_return pass(stream);
  ClientConnection connection(group, std::move(*stream));
  connection.start(what.method);
  auto sent = co_await connection.stream().write(*bytes);
  if (!sent) co_return pass(sent);
  auto answer = co_await read(connection, deadline);
  co_return answer;
}

}  // namespace headroom::http
