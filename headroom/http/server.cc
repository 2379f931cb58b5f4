#include "headroom/http/server.h"

#include "headroom/base/log.h"
#include "headroom/http/proxy_protocol.h"
#include "headroom/http/writer.h"

namespace headroom::http {
namespace {

constexpr Duration kHoldMemory =
    1s;  // how long an idle connection keeps memory for its next request
constexpr Duration kLinger =
    10s;  // how long a sender that was answered early is read, so that it sees the answer
constexpr Duration kLingerIdle = 2s;  // and how long when it is silent
constexpr std::uint64_t kDrainBytes = 64U << 10U;

}  // namespace

// One connection while it speaks HTTP: linked into its server. Its task owns it.
class ServerConnection {
 public:
  ServerConnection(Server& server, int fd, int family, Peer peer)
      : server_(server),
        options_(server.options_),
        stream_(std::make_unique<net::Stream>(server.group_, fd, family)),
        in_(server.group_.worker().buffers()),
        exchange_(server.group_, *stream_, in_, std::move(peer), server.date_),
        next_(server.connections_) {
    if (next_ != nullptr) next_->previous_ = this;
    server.connections_ = this;
  }
  ServerConnection(const ServerConnection&) = delete;
  ServerConnection& operator=(const ServerConnection&) = delete;
  ~ServerConnection() {
    (previous_ != nullptr ? previous_->next_ : server_.connections_) = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
  }

  [[nodiscard]] net::Task<> run();
  // What remains of a connection that has left HTTP.
  [[nodiscard]] bool has_left() const { return exchange_.onward_ != nullptr; }
  struct Left {
    std::unique_ptr<net::Stream> stream;
    std::unique_ptr<Onward> next;
  };
  [[nodiscard]] Left left() { return {std::move(stream_), std::move(exchange_.onward_)}; }
  void drain();
  [[nodiscard]] bool waiting() const { return waiting_; }
  void end() {
    waiting_ = false;
    stream_->abort(Errc::cancelled);
  }
  [[nodiscard]] ServerConnection* next() const { return next_; }

 private:
  enum class Head : std::uint8_t { complete, closed, refused };

  [[nodiscard]] net::Task<bool> open();
  [[nodiscard]] net::Task<Result<>> read_proxy_header();
  [[nodiscard]] net::Task<Head> read_head();
  [[nodiscard]] net::Task<Result<std::size_t>> rest();
  [[nodiscard]] net::Task<bool> answer();
  [[nodiscard]] net::Task<> refuse(unsigned status, std::string_view reason);
  [[nodiscard]] net::Task<bool> drain_body();
  [[nodiscard]] net::Task<> linger();

  Server& server_;
  std::shared_ptr<const ServerOptions> options_;  // of the current request
  std::unique_ptr<net::Stream> stream_;
  net::Buffer in_;
  Exchange exchange_;
  ScanState scan_;
  std::uint64_t answered_ = 0;
  bool idle_ = false;
  bool waiting_ = true;  // for a whole head
  ServerConnection* previous_ = nullptr;
  ServerConnection* next_;
};

net::Task<> ServerConnection::run() {
  if (!co_await open()) co_return;
  for (;;) {
    const Head head = co_await read_head();
    if (head != Head::complete) {
      if (head == Head::refused) co_await linger();
      co_return;
    }
    const bool go_on = co_await answer();
    if (!go_on) co_return;
  }
}

net::Task<bool> ServerConnection::open() {
  if (exchange_.peer().inner) co_return true;
  if (options_->accept_proxy_protocol) {
    auto header = co_await read_proxy_header();
    if (!header) {
      log::debug("http", "{}: {}", exchange_.peer().address.to_string(), header.error().message);
      co_return false;
    }
  }
  if (SSL_CTX* context = server_.tls_ ? server_.tls_() : nullptr; context != nullptr) {
    stream_->expire_at(Clock::now() + options_->header_timeout);
    const std::string_view received =
        in_.data();  // the handshake's first bytes may have come with the PROXY header
    auto shaken = co_await stream_->accept_tls(context, received);
    in_.clear();
    if (!shaken) {
      log::debug("http", "{}: {}", exchange_.peer().address.to_string(), shaken.error().message);
      co_return false;
    }
    exchange_.peer_.tls = true;
  }
  co_return true;
}

net::Task<Result<>> ServerConnection::read_proxy_header() {
  stream_->expire_at(Clock::now() + options_->header_timeout);
  for (;;) {
    ProxyAddresses addresses;
    const Parsed parsed = parse_proxy_header(in_.data(), addresses);
    if (parsed.state == Parsed::State::refused)
      co_return fail(Errc::protocol, parsed.refusal.reason);
    if (parsed.state == Parsed::State::complete) {
      const bool believed = contains_any(options_->trusted_proxies, exchange_.peer_.address.ip());
      exchange_.peer_.known = addresses.known || !believed;
      if (addresses.known && believed) {
        exchange_.peer_.address = net::Endpoint(addresses.source, addresses.source_port);
        exchange_.peer_.told_local = std::make_unique<const net::Endpoint>(
            addresses.destination, addresses.destination_port);
      }
      in_.consume(parsed.size);
      co_return Result<>{};
    }
    auto bytes = co_await stream_->read_into(in_);
    if (!bytes) co_return pass(bytes);
    if (*bytes == 0) co_return fail(Errc::protocol, "closed before the PROXY header");
  }
}

// Nothing has come for a while: waits for the next request without holding memory.
net::Task<Result<std::size_t>> ServerConnection::rest() {
  exchange_.release();
  stream_->expire_at(Clock::now() + options_->keep_alive_timeout);
  co_return co_await stream_->read_into(in_);
}

net::Task<ServerConnection::Head> ServerConnection::read_head() {
  options_ = server_.options_;
  scan_ = {};
  waiting_ = true;
  bool first = true;
  for (;;) {
    if (!in_.empty()) {
      const Parsed parsed =
          parse_request_head(in_.data(), options_->head, scan_, exchange_.request_);
      if (parsed.state == Parsed::State::complete) {
        // The bytes stay where they are until the next read: Exchange::read() moves the head away before it.
        exchange_.head_bytes_ = in_.data().substr(0, parsed.size);
        in_.consume(parsed.size);
        waiting_ = false;
        co_return Head::complete;
      }
      if (parsed.state == Parsed::State::refused) {
        co_await refuse(parsed.refusal.status, parsed.refusal.reason);
        co_return Head::refused;
      }
      if (first) {
        first = false;
        stream_->expire_at(rough_now() + options_->header_timeout);
      }
    }
    if (in_.empty()) {
      if (server_.draining_ && answered_ > 0 && stream_->idle_and_open()) co_return Head::closed;
      idle_ = true;
      stream_->expire_at(rough_now() + kHoldMemory);
    }
    Result<std::size_t> bytes = co_await stream_->read_into(in_);
    if (!bytes && idle_ && bytes.error().code == Errc::timeout && !server_.draining_)
      bytes = co_await rest();
    idle_ = false;
    if (bytes && *bytes > 0) continue;
    if (!in_.empty() && !bytes && bytes.error().code == Errc::timeout) {
      co_await refuse(408, "the request's head took too long");
      co_return Head::refused;
    }
    co_return Head::closed;
  }
}

net::Task<bool> ServerConnection::answer() {
  stream_->expire_at(kNever);  // from here on the service's own waits have deadlines
  exchange_.reset(*options_, Clock::now());
  ++answered_;
  if (server_.draining_ ||
      (options_->requests_per_connection != 0 && answered_ >= options_->requests_per_connection)) {
    exchange_.close_after();
  }
  co_await server_.service_.serve(exchange_);
  if (exchange_.hijacked_) co_return false;
  if (!exchange_.started_) {
    const Reply reply{
        500,
        "application/json",
        R"({"error":{"code":"internal","message":"the request was left without an answer"}})",
        {}};
    exchange_.close_after();
    (void)co_await exchange_.reply(reply);
  }
  if (!exchange_.finished_ && exchange_.ends_with_connection()) stream_->reset();
  if (!exchange_.finished_ || stream_->native() < 0) co_return false;
  if (exchange_.close_after_ || !exchange_.request_.keep_alive) {
    co_await linger();
    co_return false;
  }
  if (!exchange_.body_.done()) {
    const bool drained = co_await drain_body();
    if (!drained) {
      co_await linger();
      co_return false;
    }
  }
  co_return true;
}

// What the service left of a small body; a large one costs the connection.
net::Task<bool> ServerConnection::drain_body() {
  BodySource& body = exchange_.body_;
  if (body.left() > kDrainBytes) co_return false;
  const std::uint64_t most = body.received() + kDrainBytes;
  while (!body.done()) {
    auto piece = co_await body.next();
    if (!piece || body.received() > most) co_return false;
  }
  co_return true;
}

net::Task<> ServerConnection::refuse(unsigned status, std::string_view reason) {
  exchange_.request_.reset();
  exchange_.request_.minor_version = 1;
  exchange_.reset(*options_, Clock::now());
  exchange_.close_after();
  server_.service_.refused(exchange_, status, reason);
  Reply reply{status, "text/plain; charset=utf-8", {}, {}};
  reply.body = std::to_string(status) + " " +
               std::string(reason_of(static_cast<std::uint16_t>(status))) + ": " +
               std::string(reason) + "\n";
  stream_->expire_at(Clock::now() + kLinger);
  (void)co_await exchange_.reply(reply);
}

// Reads on for a while: closing with bytes unread would reset the connection and could cost the peer our answer.
net::Task<> ServerConnection::linger() {
  stream_->finish_writing();
  const TimePoint last = Clock::now() + kLinger;
  for (TimePoint now = Clock::now(); now < last; now = Clock::now()) {
    stream_->expire_at(std::min(now + kLingerIdle, last));
    in_.clear();
    auto bytes = co_await stream_->read_into(in_);
    if (!bytes || *bytes == 0) co_return;
  }
}

void ServerConnection::drain() {
  if (!idle_) {
    if (!exchange_.started_) exchange_.close_after();
  } else if (answered_ == 0) {
    stream_->expire_at(Clock::now() + kHoldMemory);  // its first request is under way
  } else if (stream_->idle_and_open()) {
    stream_->abort(Errc::cancelled);
  }  // else its next request is here already: it is answered, the last one
}

void Onward::go_on(std::unique_ptr<Onward> self, Rest rest) {
  Onward& next = *self.release();
  next.rest_ = std::move(rest);
  next.begin();
}

void Onward::finish() {
  Rest rest = std::move(rest_);
  delete this;
  rest.stream.reset();
  if (rest.ended) rest.ended();
}

Server::Server(net::TaskGroup& group, Service& service,
               std::shared_ptr<const ServerOptions> options, std::function<SSL_CTX*()> tls)
    : group_(group), service_(service), options_(std::move(options)), tls_(std::move(tls)) {}

Server::~Server() = default;

void Server::take(net::Listener::Accepted accepted, std::move_only_function<void()> ended) {
  const int family = accepted.peer.family();
  spawn(accepted.fd, family, Peer{accepted.peer, nullptr, false, true}, std::move(ended));
}

void Server::take_inner(int fd, Peer peer, std::move_only_function<void()> ended) {
  peer.inner = true;
  spawn(fd, AF_UNIX, std::move(peer), std::move(ended));
}

void Server::spawn(int fd, int family, Peer peer, std::move_only_function<void()> ended) {
  auto connection = std::make_unique<ServerConnection>(*this, fd, family, std::move(peer));
  auto task = [this, connection = std::move(connection),
               ended = std::move(ended)]() mutable -> net::Task<> {
    // Values of the callable live as long as the task (TaskGroup::spawn).
    Onward::Open open(open_);
    co_await connection->run();
    if (connection->has_left()) {
      ServerConnection::Left left = connection->left();
      connection.reset();
      Onward::go_on(std::move(left.next), {net::TaskGroup::Hold(group_), std::move(open),
                                           std::move(ended), std::move(left.stream)});
      co_return;
    }
    connection.reset();
    if (ended) ended();
  };
  (void)group_.spawn(std::move(task));
}

void Server::end_oldest_waiting() {
  ServerConnection* oldest = nullptr;
  for (ServerConnection* c = connections_; c != nullptr; c = c->next()) {
    if (c->waiting()) oldest = c;  // new ones come first
  }
  if (oldest != nullptr) oldest->end();
}

void Server::drain() {
  draining_ = true;
  for (ServerConnection* c = connections_; c != nullptr; c = c->next()) c->drain();
}

}  // namespace headroom::http
