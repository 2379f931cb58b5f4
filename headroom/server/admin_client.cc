#include "headroom/server/admin_client.h"

#include <future>

#include "headroom/http/client.h"
#include "headroom/http/writer.h"
#include "headroom/net/stream.h"

namespace headroom::server {
namespace {

constexpr Duration kPatience = 5s;
constexpr std::size_t kMostBody = 16U << 20U;

Result<std::string> written(const net::Endpoint& door, const std::string& path,
                            const std::string& token) {
  std::string out;
  http::HeadWriter head(out);
  head.request_line("GET", path);
  head.field(http::Name::host, door.is_unix() ? "localhost" : door.to_string());
  head.field("Accept", "application/json");
  if (!token.empty()) head.field("Authorization", "Bearer " + token);
  head.field("Connection", "close");
  if (auto done = head.end(); !done) return pass(done);
  return out;
}

net::Task<Result<AdminAnswer>> read(http::ClientConnection& connection, TimePoint deadline) {
  const http::HeadLimits limits;
  const http::BodyPace pace{.until = deadline};
  do {
    auto head = co_await connection.read_head(limits, pace);
    if (!head) co_return pass(head);
  } while (connection.head().status < 200);
  AdminAnswer answer{connection.head().status, {}};
  for (;;) {
    auto piece = co_await connection.body().next();
    if (!piece) co_return pass(piece);
    if (piece->empty()) co_return answer;
    answer.body += *piece;
    if (answer.body.size() > kMostBody)
      co_return fail(Errc::protocol, "an answer of more than 16 MiB");
  }
}

}  // namespace

AdminClient::AdminClient(const net::Endpoint& door, std::string token)
    : door_(door), token_(std::move(token)), workers_(1), group_(workers_[0]) {
  workers_.start();
}

AdminClient::~AdminClient() {
  group_.stop_and_join();
  workers_.stop_and_join();
}

net::Task<Result<AdminAnswer>> AdminClient::ask(std::string path) {
  auto bytes = written(door_, path, token_);
  if (!bytes) co_return pass(bytes);
  const TimePoint deadline = Clock::now() + kPatience;
  auto stream = co_await net::Stream::connect(group_, door_, deadline);
  if (!stream) co_return pass(stream);
  (*stream)->expire_at(deadline);
  http::ClientConnection connection(group_, std::move(*stream));
  connection.start(http::Method::get);
  auto sent = co_await connection.stream().write(*bytes);
  if (!sent) co_return pass(sent);
  auto answer = co_await read(connection, deadline);
  co_return answer;
}

Result<AdminAnswer> AdminClient::get(std::string path) {
  std::promise<Result<AdminAnswer>> promise;
  auto future = promise.get_future();
  workers_[0].post([this, &promise, path = std::move(path)] {
    const bool begun = group_.spawn([this, &promise, path]() -> net::Task<> {
      auto answer = co_await ask(path);
      promise.set_value(std::move(answer));
    });
    if (!begun) promise.set_value(fail(Errc::cancelled, "ending"));
  });
  auto answer = future.get();
  if (answer) return answer;
  const std::string door = "the admin door at " + door_.to_string();
  if (answer.error().code == Errc::timeout)
    return fail(Errc::timeout, door + ": no answer within 5 s");
  return pass(answer, door);
}

net::Endpoint door_to_ask(const net::Endpoint& listen) {
  if (listen.is_unix()) return listen;
  const std::string text = listen.to_string();
  const bool everywhere = text.starts_with("0.0.0.0:") || text.starts_with("[::]:");
  return everywhere ? *net::Endpoint::literal("127.0.0.1", listen.port()) : listen;
}

}  // namespace headroom::server
