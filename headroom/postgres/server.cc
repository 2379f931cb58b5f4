#include "headroom/postgres/server.h"

#include <fmt/format.h>

#include "headroom/base/assert.h"
#include "headroom/pgwire/startup.h"

namespace headroom::postgres {
namespace {

constexpr std::size_t kLongestMessage = 64U << 10U;
constexpr std::size_t kMostRows = 10'000;

using net::Task;

// Reads whole messages, one after the other.
class MessageReader {
 public:
  explicit MessageReader(net::Stream& stream, net::BufferPool& buffers)
      : stream_(stream), in_(buffers) {}

  struct Received {
    char type;
    std::string_view body;  // until the next call
  };
  [[nodiscard]] Task<Result<Received>> next() {
    in_.consume(std::exchange(consume_, 0));
    for (;;) {
      pgwire::Frame frame;
      const pgwire::Found found = pgwire::find_frame(in_.data(), frame);
      if (found == pgwire::Found::bad ||
          (found == pgwire::Found::frame && frame.size > kLongestMessage))
        co_return fail(Errc::protocol, "the server sent a message of an impossible length");
      if (found == pgwire::Found::frame && in_.size() >= frame.size) {
        consume_ = frame.size;
        co_return Received{frame.type, in_.data().substr(pgwire::kHeader, frame.body())};
      }
      auto read = co_await stream_.read_into(in_, 4096);
      if (!read) co_return pass(read);
      if (*read == 0) co_return fail(Errc::unavailable, "the server closed the connection");
    }
  }
  [[nodiscard]] bool left_over() const { return in_.size() > consume_; }

 private:
  net::Stream& stream_;
  net::Buffer in_;
  std::size_t consume_ = 0;
};

Task<Result<>> begin_tls(net::Stream& stream, const Route& route, std::size_t worker) {
  std::string request;
  pgwire::append_ssl_request(request);
  auto sent = co_await stream.write(request);
  if (!sent) co_return sent;
  char answer = 0;
  const std::span<char> one(&answer,
                            1);  // not a byte more: what follows belongs to TLS (CVE-2021-23222)
  auto read = co_await stream.read_some(one);
  if (!read) co_return pass(read);
  if (*read == 0) co_return fail(Errc::unavailable, "the server closed the connection");
  if (answer == 'S')
    co_return co_await stream.connect_tls(route.tls->context(worker), route.target.host);
  if (answer == 'N') {
    if (route.target.tls == TlsMode::prefer) co_return Result<>{};
    co_return fail(Errc::unavailable, "the server does not offer TLS, which sslmode asks for");
  }
  co_return fail(Errc::protocol,
                 "the server does not answer the request for TLS as PostgreSQL does");
}

Task<Result<std::vector<net::Endpoint>>> find(const Means& means, const Target& target,
                                              net::Worker& worker) {
  if (target.is_unix()) {
    auto path = net::Endpoint::unix_path(fmt::format("{}/.s.PGSQL.{}", target.host, target.port));
    if (!path) co_return pass(path);
    co_return std::vector{*path};
  }
  if (auto literal = net::Endpoint::literal(target.host, target.port))
    co_return std::vector{*literal};
  auto resolved = co_await means.resolver.resolve(worker, target.host, target.port);
  if (!resolved) co_return pass(resolved);
  co_return std::move(resolved->endpoints);
}

Task<Result<std::unique_ptr<net::Stream>>> reach(net::TaskGroup& group,
                                                 const net::Endpoint& endpoint, const Route& route,
                                                 TimePoint deadline) {
  auto stream = co_await net::Stream::connect(group, endpoint, deadline);
  if (!stream) co_return pass(stream);
  (*stream)->expire_at(deadline);
  if (route.tls && !route.target.is_unix()) {
    auto secured = co_await begin_tls(**stream, route, group.worker().index());
    if (!secured) co_return pass(secured);
  }
  co_return std::move(*stream);
}

std::string words_of(const pgwire::Report& report) {
  return fmt::format("{}: {} ({})", report.severity, report.message, report.sqlstate);
}

Parameters parameters_of(const Route& route, const Credentials& who, const std::string& database) {
  Parameters parameters{
      {"user", who.user}, {"database", database}, {"application_name", "headroom"}};
  if (!route.target.options.empty()) parameters.emplace_back("options", route.target.options);
  return parameters;
}

// From the first message after the start-up packet to ReadyForQuery.
Task<Result<>> converse(Server& server, net::Worker& worker, const Means& means,
                        const Credentials& who, pgwire::Report* refusal) {
  net::Stream& stream = *server.stream;
  const bool safe = stream.tls() != nullptr || server.endpoint.is_unix();
  Login login(who, safe ? Transport::encrypted : Transport::open, channel_binding(stream.tls()));
  MessageReader in(stream, worker.buffers());
  std::string out;
  for (;;) {
    auto received = co_await in.next();
    if (!received) co_return pass(received);
    const auto [type, body] = *received;
    namespace from = pgwire::from_server;
    if (type == from::kError) {
      auto report = pgwire::parse_report(body);
      if (!report) co_return fail(Errc::protocol, "malformed error message");
      const bool password = report->sqlstate.starts_with("28");
      std::string words = words_of(*report);
      if (refusal != nullptr) *refusal = std::move(*report);
      co_return fail(password ? Errc::unauthorized : Errc::invalid, std::move(words));
    }
    if (type == from::kNotice || type == from::kNegotiate) continue;
    if (!login.ok()) {
      if (type != from::kAuthentication)
        co_return fail(Errc::protocol, "the server does not ask for authentication");
      auto taken = login.take(body, out);
      if (!taken) co_return taken;
      if (const auto& challenge = login.needs_keys()) {
        auto derive = [&] {
          return derive_keys(who.password, challenge->salt, challenge->iterations);
        };
        auto keys = co_await means.offload.run(worker, derive);
        if (!keys) co_return pass(keys);
        login.provide(*keys, out);
      }
      if (out.empty()) continue;
      auto sent = co_await stream.write(out);
      if (!sent) co_return sent;
      out.clear();
      continue;
    }
    if (type == from::kParameterStatus) {
      const auto named = pgwire::parse_parameter_status(body);
      if (!named) co_return fail(Errc::protocol, "malformed ParameterStatus");
      server.reported[std::string(named->name)] = named->value;
    } else if (type == from::kBackendKey) {
      const auto key = pgwire::parse_backend_key(body);
      if (!key) co_return fail(Errc::protocol, "malformed BackendKeyData");
      server.pid = key->pid;
      server.key = key->key;
    } else if (type == from::kReady) {
      if (in.left_over())
        co_return fail(Errc::protocol, "the server sent more than it was asked for");
      co_return Result<>{};
    } else {
      co_return fail(Errc::protocol, fmt::format("the server sent '{}' during the login", type));
    }
  }
}

}  // namespace

bool Prepared::use(std::uint64_t id) {
  const auto found = places_.find(id);
  if (found == places_.end()) return false;
  order_.splice(order_.begin(), order_, found->second);
  return true;
}

void Prepared::add(std::uint64_t id) {
  if (use(id)) return;
  order_.push_front(id);
  places_[id] = order_.begin();
}

void Prepared::remove(std::uint64_t id) {
  const auto found = places_.find(id);
  if (found == places_.end()) return;
  order_.erase(found->second);
  places_.erase(found);
}

void Prepared::clear() {
  order_.clear();
  places_.clear();
}

Result<Route> make_route(const Target& target, std::size_t workers) {
  Route route{target, nullptr};
  if (target.tls == TlsMode::disable || target.is_unix()) return route;
  net::TlsClientOptions options;
  options.verify = target.tls == TlsMode::verify_full;
  options.ca = options.verify ? target.root_certificate : std::string();
  options.alpn = {"postgresql"};
  auto made = net::TlsClient::make(options, workers);
  if (!made) return fail(Errc::invalid, made.error().message);
  route.tls = std::move(*made);
  return route;
}

Task<Result<std::unique_ptr<Server>>> log_in(net::TaskGroup& group, const Means& means,
                                             const Route& route, Credentials who,
                                             std::string database, TimePoint deadline,
                                             pgwire::Report* refusal, Parameters further) {
  net::Worker& worker = group.worker();
  auto endpoints = co_await find(means, route.target, worker);
  if (!endpoints) co_return pass(endpoints, route.target.address());
  Result<std::unique_ptr<net::Stream>> stream = fail(Errc::unavailable, "no address");
  auto server = std::make_unique<Server>();
  for (const net::Endpoint& endpoint : *endpoints) {
    server->endpoint = endpoint;
    auto reached = co_await reach(group, endpoint, route, deadline);
    const bool done = reached.has_value();
    // What an address says that answers tells more than that another does not.
    if (done || stream.error().code == Errc::unavailable) stream = std::move(reached);
    if (done) break;
  }
  if (!stream) co_return pass(stream);
  server->stream = std::move(*stream);
  std::string startup;
  Parameters parameters = parameters_of(route, who, database);
  parameters.insert(parameters.end(), further.begin(), further.end());
  pgwire::append_startup(startup, parameters);
  auto sent = co_await server->stream->write(startup);
  if (!sent) co_return pass(sent, route.target.address());
  auto ready = co_await converse(*server, worker, means, who, refusal);
  if (!ready) co_return pass(ready, route.target.address());
  server->stream->expire_at(kNever);
  co_return server;
}

Task<Result<Rows>> ask(Server& server, std::string query, TimePoint deadline, Settings* reported) {
  std::string messages;
  pgwire::append_query(messages, query);
  return exchange(server, std::move(messages), deadline, reported);
}

Task<Result<Rows>> exchange(Server& server, std::string messages, TimePoint deadline,
                            Settings* reported) {
  net::Stream& stream = *server.stream;
  stream.expire_at(deadline);
  auto sent = co_await stream.write(messages);
  if (!sent) co_return pass(sent);
  net::BufferPool buffers;
  MessageReader in(stream, buffers);
  Rows rows;
  std::optional<pgwire::Report> error;
  for (;;) {
    auto received = co_await in.next();
    if (!received) co_return pass(received);
    const auto [type, body] = *received;
    if (type == pgwire::from_server::kDataRow) {
      const auto row = pgwire::parse_row(body);
      if (!row || rows.size() >= kMostRows)
        co_return fail(Errc::protocol, "the server's answer is malformed or too large");
      auto& kept = rows.emplace_back();
      for (const auto& value : *row)
        kept.push_back(value ? std::optional<std::string>(*value) : std::nullopt);
    } else if (type == pgwire::from_server::kError) {
      error = pgwire::parse_report(body);
      if (!error) co_return fail(Errc::protocol, "malformed error message");
    } else if (type == pgwire::from_server::kParameterStatus) {
      const auto named = pgwire::parse_parameter_status(body);
      if (named && reported != nullptr) (*reported)[std::string(named->name)] = named->value;
    } else if (type == pgwire::from_server::kReady) {
      if (in.left_over())
        co_return fail(Errc::protocol, "the server sent more than it was asked for");
      stream.expire_at(kNever);
      if (error) co_return fail(Errc::invalid, words_of(*error));
      co_return rows;
    }
  }
}

Task<Result<>> cancel(net::TaskGroup& group, net::Endpoint endpoint, Route route, std::uint32_t pid,
                      std::string key, TimePoint deadline) {
  auto stream = co_await reach(group, endpoint, route, deadline);
  if (!stream) co_return pass(stream);
  std::string request;
  pgwire::append_cancel(request, pid, key);
  auto sent = co_await (*stream)->write(request);
  if (!sent) co_return sent;
  // The server closes the connection once it has sent the signal.
  char byte = 0;
  const std::span<char> one(&byte, 1);
  (void)co_await (*stream)->read_some(one);
  co_return Result<>{};
}

}  // namespace headroom::postgres
