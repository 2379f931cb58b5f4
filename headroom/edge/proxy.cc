#include "headroom/edge/proxy.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "headroom/base/hash.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/base/assert.h"
#include "headroom/edge/error_page.h"
#include "headroom/edge/tunnel.h"
#include "headroom/http/forwarded.h"
#include "headroom/http/path.h"
#include "headroom/http/proxy_protocol.h"
#include "headroom/http/server.h"
#include "headroom/http/writer.h"

namespace headroom::edge {

using http::Exchange;
using http::Name;

namespace {

constexpr std::string_view kPseudonym = "headroom";
constexpr Duration kLookAtClient = 1s;      // how often a waiting request's client is looked at
constexpr unsigned kMostInterim = 32;       // 1xx answers passed on before the real one
constexpr unsigned kClientGone = 499;       // as nginx counts it; never sent

// Whether a client that should be waiting has gone: reset, or closed with nothing more to read, as nginx judges it. One whose body is on
// its way has gone only when it was reset: what it has sent may be all.
enum class Sending : bool { no, yes };
bool client_gone(net::Stream& stream, Sending sending) {
  pollfd look{stream.native(), POLLRDHUP, 0};
  if (::poll(&look, 1, 0) != 1) return false;
  if ((look.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return true;
  if (sending == Sending::yes) return false;
  char byte = 0;
  return stream.tls() != nullptr || ::recv(stream.native(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

}  // namespace

// One request on its way. Lives in serve()'s frame.
struct Proxy::Request {
  Exchange& x;
  const View& view;
  const Route* route = nullptr;
  RouteCells* cells = nullptr;
  TimePoint began;
  TimePoint chosen{};      // a server was chosen
  TimePoint connected{};   // the connection was there
  TimePoint first_byte{};  // the answer's head was there
  IpAddress client;
  bool trusted = false;  // the peer is a trusted proxy
  std::string id;
  std::string target;  // what is forwarded
  std::uint64_t hash = 0;
  Tried tried;
  std::string body;  // read before a server was taken
  bool body_stored = false;
  bool body_begun = false;  // part of it went to a server straight from the client
  bool pumping = false;     // and more is on its way
  unsigned body_error = 0;  // the status for a client's broken body
  unsigned status = 0;      // for counting, when it is not the exchange's
  std::uint64_t bytes_in = 0;
  const Server* server = nullptr;
  http::Refusal refusal;  // a method that is never forwarded
  bool reached = false;  // by at least one attempt, a server
  bool timed_out = false;

  Request(Exchange& exchange, const View& seen) : x(exchange), view(seen), began(exchange.began()) {}
  [[nodiscard]] const http::RequestHead& head() const { return x.request(); }
  [[nodiscard]] Group& group() const { return route->pool->group; }
  // Whether the client speaks TLS, to us or to a trusted proxy before us.
  [[nodiscard]] bool secure() const {
    return x.peer().tls || (trusted && text::equal_ignoring_case(head().value_of(Name::x_forwarded_proto), "https"));
  }
  [[nodiscard]] bool streams_body() const { return !body_stored && x.has_body(); }
};

// A server that has been entered, and the connection to it.
class Proxy::Lease {
 public:
  Lease(Server& server, Pool& pool, const net::Worker& worker) : server_(server), pool_(pool), slot_(server.slot(worker)) {}
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    give_back();
    server_.leave();
    pool_.places->free();
  }

  std::unique_ptr<http::ClientConnection> connection;
  bool reused = false;

  [[nodiscard]] Server& server() const { return server_; }
  [[nodiscard]] Server::Slot& slot() const { return slot_; }
  [[nodiscard]] const UpstreamOptions& options() const { return pool_.group.options(); }

  // A kept connection that still looks open, the last used first.
  void take_idle(TimePoint now, http::Method method) {
    while (!slot_.idle.empty()) {
      auto candidate = std::move(slot_.idle.back());
      slot_.idle.pop_back();
      server_.idle_connections.fetch_sub(1, std::memory_order_relaxed);
      const Duration rested = elapsed(candidate->idle_since, now);
      if (rested > options().keep_alive_timeout) continue;
      // What a server sent behind its last answer must not be taken for the next one. A request that could not be sent again looks closer.
      net::Stream& stream = candidate->stream();
      if (!(http::is_idempotent(method) ? stream.silent() : stream.idle_and_open())) continue;
      connection = std::move(candidate);
      reused = true;
      return;
    }
  }

 private:
  void give_back() {
    const bool keep = connection && connection->reusable() && !server_.retired() && options().keep_alive > 0 &&
                      slot_.idle.size() < Server::kMostIdle &&
                      options().proxy_protocol == ProxyHeader::off;
    if (!keep) return;
    connection->rest();
    connection->stream().expire_at(kNever);
    connection->idle_since = Clock::now();
    slot_.idle.push_back(std::move(connection));
    server_.idle_connections.fetch_add(1, std::memory_order_relaxed);
  }

  Server& server_;
  Pool& pool_;
  Server::Slot& slot_;
};

enum class Proxy::Attempt : std::uint8_t {
  answered,     // an answer was written, or the client is beyond help
  not_sent,     // nothing of the request reached the server
  unanswered,   // it was sent, no byte of an answer came
  stale,        // as unanswered, on a connection that had been kept: the server may have closed it before
  broken,       // an answer began and was malformed
};

Proxy::Proxy(net::TaskGroup& group, const std::vector<Hosted>& hosted, AccessLog& log, ProxyCells cells)
    : group_(group), hosted_(hosted), log_(log), cells_(std::move(cells)), ids_(group.worker().random()) {}

void Proxy::set_view(const std::shared_ptr<const View>& view) {
  // A control block of its own: the workers' requests do not count on one shared cache line.
  auto holder = std::make_shared<std::shared_ptr<const View>>(view);
  const View* raw = holder->get();
  view_ = std::shared_ptr<const View>(std::move(holder), raw);
}

void Proxy::trim() {
  const TimePoint now = Clock::now();
  for (const auto& pool : view_->pools) {
    for (const auto& server : pool->group.servers()) server->trim(group_.worker(), now, pool->group.options());
  }
}

net::Task<> Proxy::serve(Exchange& exchange) {
  const std::shared_ptr<const View> view = view_;
  Request request(exchange, *view);
  cells_.begun->add();
  if (auto known = identify(request); !known) {
    exchange.close_after();
    co_await fail_with(request, 400, "bad_request", known.error().message);
  } else if (goes_to_server(request)) {
    co_await forward(request);
  } else {
    co_await answer_here(request);
  }
  account(request);
}

void Proxy::refused(Exchange& /*exchange*/, unsigned status, std::string_view /*reason*/) {
  const auto at = cells_.bad_requests.find(status);
  (at == cells_.bad_requests.end() ? cells_.bad_requests.at(0) : at->second)->add();
}

const Hosted* Proxy::hosted(std::string_view path) const {
  for (const Hosted& hosted : hosted_) {
    if (path.starts_with(hosted.prefix) &&
        (path.size() == hosted.prefix.size() || hosted.prefix.back() == '/' || path[hosted.prefix.size()] == '/')) {
      return &hosted;
    }
  }
  return nullptr;
}

// Who asks, for what, by which route.
Result<> Proxy::identify(Request& r) {
  const EdgeOptions& options = *r.view.options;
  const IpAddress peer = r.x.peer().address.ip();
  r.trusted = r.x.peer().known && !options.trusted_proxies.empty() && contains_any(options.trusted_proxies, peer);
  r.client = r.trusted ? http::client_address(peer, r.head(), options.trusted_proxies) : peer;
  r.id = ids_.take(r.trusted ? r.head().value_of(Name::x_request_id) : std::string_view{});
  r.refusal = http::refusal_by_policy(r.head());
  auto path = http::normalised_path(r.head().path, scratch_path_);
  if (!path) return pass(path);
  r.route = r.view.routes.match(without_port(r.head().authority), *path);
  if (r.route != nullptr) {
    r.cells = &r.route->metrics->cells[group_.worker().index()];
    r.cells->begun->add();
  }
  return {};
}

// The common case, decided without a coroutine: nothing but a server of the route's group can answer.
bool Proxy::goes_to_server(const Request& r) const {
  return r.route != nullptr && r.route->pool && !r.route->policy.active() && !r.refusal && !body_too_large(r) &&
         (hosted_.empty() || hosted(r.head().path) == nullptr);
}

bool Proxy::body_too_large(const Request& r) {
  return r.head().body == http::Body::length && r.route->body_limit != 0 && r.head().content_length > r.route->body_limit;
}

net::Task<> Proxy::answer_here(Request& r) {
  if (r.refusal) co_return co_await fail_with(r, r.refusal.status, "method_not_allowed", r.refusal.reason);
  if (const Hosted* service = hosted_.empty() ? nullptr : hosted(r.head().path)) {
    co_return co_await service->service->serve(r.x);
  }
  if (r.route == nullptr) co_return co_await fail_with(r, 404, "no_route", "no route matches this host and path");
  const auto early = r.route->policy.early_reply(r.head(), {r.secure(), r.view.options->tls.listen.port});
  if (early) {
    if (r.streams_body()) r.x.close_after();
    (void)co_await r.x.reply(*early);
    co_return;
  }
  if (body_too_large(r)) {
    r.x.close_after();
    co_return co_await fail_with(r, 413, "body_too_large", "the request's body is larger than this route accepts");
  }
  co_await forward(r);
}

net::Task<> Proxy::forward(Request& r) {
  if (r.x.has_body()) {
    r.x.limit_body(r.route->body_limit);
    const bool stored = co_await store_body(r);
    if (!stored) co_return;
  }
  limit::Concurrency& concurrency = r.group().concurrency();
  const bool queued = r.route->pool->admission->ahead(r.route->priority);
  if (queued || !concurrency.enter(static_cast<limit::Priority>(r.route->priority))) {
    const bool admitted = co_await wait_for_place(r);
    if (!admitted) co_return;
  }
  co_await try_servers(r);
  const TimePoint now = Clock::now();
  const bool answered = r.first_byte != TimePoint{};
  // What was turned away here says nothing of the servers.
  const bool overloaded = r.timed_out || (answered && (r.x.status() == 503 || r.x.status() == 504));
  const auto outcome = overloaded ? limit::Concurrency::Outcome::overloaded
                       : answered ? limit::Concurrency::Outcome::answered
                                  : limit::Concurrency::Outcome::ignored;
  concurrency.leave(answered ? elapsed(r.chosen, r.first_byte) : elapsed(r.began, now), outcome, now);
  r.route->pool->admission->free();
}

// A small body is read whole before a server is taken: a slow client then holds none, and the request can be sent again.
net::Task<bool> Proxy::store_body(Request& r) {
  const std::uint64_t most = r.view.options->body_buffer.count;
  if (r.head().body != http::Body::length || r.head().content_length > most) co_return true;
  r.body.reserve(static_cast<std::size_t>(r.head().content_length));
  for (;;) {
    auto piece = co_await r.x.read();
    if (!piece) {
      co_await fail_with(r, piece.error().code == Errc::timeout ? 408 : 400, "bad_body", piece.error().message);
      co_return false;
    }
    if (piece->empty()) break;
    r.body += *piece;
  }
  r.bytes_in = r.body.size();
  r.body_stored = true;
  co_return true;
}

// Over the group's in-flight limit, or others wait already: a place may come free.
net::Task<bool> Proxy::wait_for_place(Request& r) {
  Pool& pool = *r.route->pool;
  limit::Concurrency& concurrency = pool.group.concurrency();
  const Waiting::Turn turn{r.route->priority, Waiting::Turn::Needs::any, Clock::now() + pool.group.options().queue_timeout};
  const std::function<bool()> take = [&] { return concurrency.enter(static_cast<limit::Priority>(r.route->priority)); };
  auto admitted = co_await pool.admission->wait(group_, turn, take);
  if (admitted && !gone_meanwhile(r)) co_return true;
  if (admitted) {
    concurrency.leave({}, limit::Concurrency::Outcome::ignored, Clock::now());
    pool.admission->free();
    co_return false;
  }
  r.cells->shed_limit->add();
  co_await fail_with(r, 503, "overloaded", "too many requests at once; try again soon", 1s);
  co_return false;
}

// Every server is full, or others wait already.
net::Task<Result<Server*>> Proxy::wait_for_server(Request& r) {
  Pool& pool = *r.route->pool;
  const auto needs = r.tried.empty() ? Waiting::Turn::Needs::any : Waiting::Turn::Needs::some;
  const Waiting::Turn turn{r.route->priority, needs, Clock::now() + pool.group.options().queue_timeout};
  Group::Pick pick;
  const std::function<bool()> take = [&] {
    r.chosen = Clock::now();
    pick = pool.group.pick(r.chosen, r.tried, r.hash, group_.worker().random());
    return pick.server != nullptr || !pick.all_full;
  };
  auto waited = co_await pool.places->wait(group_, turn, take);
  if (!waited) {
    r.cells->shed_queue->add();
    co_return pass(waited);
  }
  if (pick.server != nullptr && gone_meanwhile(r)) {
    pick.server->leave();
    pool.places->free();
    co_return fail(Errc::cancelled, "the client has gone");
  }
  co_return pick.server;
}

// Nobody is there any more to hear an answer: the place is for others.
bool Proxy::gone_meanwhile(Request& r) {
  if (!client_gone(r.x.stream(), r.pumping ? Sending::yes : Sending::no)) return false;
  r.status = kClientGone;
  r.x.hijack();
  return true;
}

net::Task<> Proxy::try_servers(Request& r) {
  Pool& pool = *r.route->pool;
  const Group& group = pool.group;
  group.earn_retry();
  if (group.options().balance == Balance::hash) r.hash = group.hash_of(r.head(), r.client);
  for (;;) {
    Group::Pick pick{nullptr, true};
    if (!pool.places->ahead(r.route->priority)) {
      r.chosen = Clock::now();
      pick = group.pick(r.chosen, r.tried, r.hash, group_.worker().random());
    }
    if (pick.server == nullptr && pick.all_full) {
      auto found = co_await wait_for_server(r);
      if (r.status == kClientGone) co_return;
      if (found) pick.server = *found;
    }
    if (pick.server == nullptr) break;
    if (r.server != nullptr) r.cells->retries->add();
    r.server = pick.server;
    const Attempt outcome = co_await attempt(r, *pick.server);
    if (outcome == Attempt::answered) co_return;
    r.reached = r.reached || outcome != Attempt::not_sent;
    if (!may_retry(r, outcome)) break;
  }
  co_await give_up(r);
}

// Every way to an answer has failed.
net::Task<> Proxy::give_up(Request& r) {
  if (r.timed_out) {
    co_await fail_with(r, 504, "upstream_timeout", "the application did not answer in time", 1s);
  } else if (r.reached) {
    co_await fail_with(r, 502, "bad_gateway", "the application broke off or answered what is no HTTP", 1s);
  } else {
    co_await fail_with(r, 503, "unavailable", "no server of the application can take this request now", 1s);
  }
}

bool Proxy::may_retry(Request& r, Attempt outcome) {
  const Group& group = r.group();
  // A kept connection that had been closed says nothing about its server: try once more, perhaps there.
  if (outcome != Attempt::stale) r.tried.push_back(r.server);
  if (r.body_begun || outcome == Attempt::broken) return false;
  if (outcome == Attempt::not_sent) return r.tried.size() <= r.route->retries;
  if (!http::is_idempotent(r.head().method)) return false;
  return r.tried.size() <= r.route->retries && group.spend_retry();
}

net::Task<Proxy::Attempt> Proxy::attempt(Request& r, Server& server) {
  Lease lease(server, *r.route->pool, group_.worker());
  lease.slot().requests->add();
  lease.take_idle(r.chosen, r.head().method);
  r.connected = r.chosen;
  if (!lease.connection) {
    auto connected = co_await connect(r, lease);
    if (!connected) {
      r.timed_out = connected.error().code == Errc::timeout;
      log::debug("edge", "{}: {}", server.spec().text, connected.error().message);
      // Without descriptors, or stopped: not the server's fault.
      const Errc why = connected.error().code;
      if (why != Errc::overloaded && why != Errc::cancelled) r.group().note_failure(server, Clock::now());
      co_return Attempt::not_sent;
    }
    r.connected = Clock::now();
  }
  const Attempt outcome = co_await exchange(r, lease);
  if (outcome == Attempt::unanswered || outcome == Attempt::broken) r.group().note_failure(server, Clock::now());
  if (outcome == Attempt::answered && r.first_byte != TimePoint{}) server.answered();
  co_return outcome;
}

net::Task<Result<>> Proxy::connect(Request& r, Lease& lease) {
  const auto endpoints = lease.server().endpoints();
  if (!endpoints || endpoints->empty()) co_return fail(Errc::unavailable, "its name has no address");
  const TimePoint deadline = Clock::now() + lease.options().connect_timeout;
  const std::size_t first = group_.worker().random().below(endpoints->size());
  Result<std::unique_ptr<net::Stream>> stream = fail(Errc::unavailable, "no address");
  for (std::size_t i = 0; i < std::min<std::size_t>(endpoints->size(), 3) && !stream; ++i) {
    const net::Endpoint& to = (*endpoints)[(first + i) % endpoints->size()];
    stream = co_await net::Stream::connect(group_, to, deadline);
  }
  if (!stream) co_return pass(stream);
  lease.slot().connects->add();
  const ProxyHeader header = lease.options().proxy_protocol;
  if (header != ProxyHeader::off) {
    const net::Endpoint local = r.x.local();
    const http::ProxyAddresses addresses{true, r.client, local.ip(), r.x.peer().address.port(), local.port()};
    std::string line;
    header == ProxyHeader::v1 ? append_proxy_v1(line, addresses) : append_proxy_v2(line, addresses);
    auto sent = co_await (*stream)->write(line);
    if (!sent) co_return sent;
  }
  if (lease.server().spec().tls) {
    (*stream)->expire_at(deadline);
    const std::string& name = lease.options().tls.server_name.empty() ? lease.server().spec().host : lease.options().tls.server_name;
    auto shaken = co_await (*stream)->connect_tls(r.group().tls()->context(group_.worker().index()), name);
    if (!shaken) co_return shaken;
  }
  lease.slot().connect.record(elapsed(r.chosen, Clock::now()));
  lease.connection = std::make_unique<http::ClientConnection>(group_, std::move(*stream));
  co_return Result<>{};
}

namespace {

// What a client may not tell the application about itself, or what is written anew here.
bool written_here(Name name) {
  switch (name) {
    case Name::host:
    case Name::via:
    case Name::forwarded:
    case Name::expect:
    case Name::x_forwarded_for:
    case Name::x_forwarded_host:
    case Name::x_forwarded_port:
    case Name::x_forwarded_proto:
    case Name::x_real_ip:
    case Name::x_request_id: return true;
    default: return false;
  }
}

void append_line(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

void Proxy::write_head(Request& r, const Server& server, std::string& out) {
  const http::RequestHead& head = r.head();
  const UpstreamOptions& options = r.group().options();
  const RoutePolicy& policy = r.route->policy;
  const http::Head* received = r.trusted ? &head : nullptr;
  const std::string_view scheme = r.x.peer().tls ? "https" : "http";
  const std::string client = to_string(r.client);

  http::HeadWriter writer(out);
  if (policy.active()) {
    r.target = policy.target(head);
    writer.request_line(head.method_text, r.target);
  } else {
    writer.request_line(head.method_text, head.path_and_query);
  }
  const std::string_view host = options.host == "preserve" && !head.authority.empty() ? head.authority
                                : options.host == "preserve" || options.host == "upstream"
                                    ? std::string_view(server.spec().authority)
                                    : std::string_view(options.host);
  append_line(out, "Host", host);
  if (policy.active()) {
    writer.forward(head.fields, [&](const http::Field& f) { return !written_here(f.id) && policy.keeps_request_field(f); });
  } else {
    writer.forward(head.fields, [](const http::Field& f) { return !written_here(f.id); });
  }
  if (!head.upgrade.empty()) {
    out.append("Connection: Upgrade\r\n");
    append_line(out, "Upgrade", head.upgrade);
  }
  out.append("X-Forwarded-For: ");
  http::append_x_forwarded_for(out, received, r.trusted ? r.x.peer().address.ip() : r.client);
  out.append("\r\n");
  const std::string_view told_proto = r.trusted ? head.value_of(Name::x_forwarded_proto) : std::string_view{};
  const std::string_view told_host = r.trusted ? head.value_of(Name::x_forwarded_host) : std::string_view{};
  append_line(out, "X-Forwarded-Proto", told_proto.empty() ? scheme : told_proto);
  append_line(out, "X-Forwarded-Host", told_host.empty() ? head.authority : told_host);
  out.append("Forwarded: ");
  http::append_forwarded(out, received, {r.trusted ? r.x.peer().address.ip() : r.client, head.authority, scheme});
  out.append("\r\nX-Real-IP: ").append(client);
  out.append("\r\nX-Request-Id: ").append(r.id);
  out.append("\r\nVia: ");
  http::append_via(out, head, kPseudonym);
  out.append("\r\n");
  if (policy.active()) policy.append_request_lines(out, {client, r.id, head.authority, r.secure() ? "https" : "http"});
  if (r.body_stored) {
    writer.framing(http::Body::length, r.body.size());
  } else {
    writer.framing(head.body, head.content_length);
  }
  out.append("\r\n");
}

// What did not fit into the socket at once.
net::Task<Result<>> Proxy::send_rest(Request& r, net::Stream& stream, net::Gather& data) {
  stream.expire_writes_at(Clock::now() + r.route->idle_timeout);
  co_return co_await stream.write(data);
}

// Carries the body from the client to the server, piece by piece.
net::Task<> Proxy::pump(Request& r, http::ClientConnection& connection) {
  const bool chunked = r.head().body == http::Body::chunked;
  while (r.pumping) {
    auto piece = co_await r.x.read();
    if (!r.pumping) break;
    if (!piece) {
      const Errc code = piece.error().code;
      r.body_error = code == Errc::overloaded ? 413 : code == Errc::protocol ? 400 : code == Errc::timeout ? 408 : kClientGone;
      connection.spoil();
      connection.stream().abort(Errc::cancelled);
      break;
    }
    r.bytes_in += piece->size();
    net::Gather data;
    std::string last;
    std::optional<http::ChunkHeader> chunk;
    if (!chunked) {
      data.add(*piece);
    } else if (piece->empty()) {
      http::append_last_chunk(last, r.x.body().trailers());
      data.add(last);
    } else {
      chunk.emplace(piece->size());
      data.add(chunk->view());
      data.add(*piece);
      data.add(http::kChunkEnd);
    }
    connection.stream().expire_writes_at(Clock::now() + r.route->idle_timeout);
    auto written = co_await connection.stream().write(data);
    if (!written) {
      connection.spoil();
      // A server that takes nothing will not answer either; one that has closed may have said why.
      if (written.error().code == Errc::timeout) connection.stream().abort(Errc::timeout);
      break;
    }
    if (piece->empty()) break;
  }
  r.pumping = false;
}

net::Task<Proxy::Attempt> Proxy::exchange(Request& r, Lease& lease) {
  http::ClientConnection& connection = *lease.connection;
  connection.start(r.head().method);
  net::TaskGroup pumps(group_.worker(), 1);  // never stopped: its streams are stopped by the edge's group
  Result<> sent = Result<>{};
  Result<> read = Result<>{};
  {
    // The head is in memory only for as long as it is being written.
    std::string out;
    out.reserve(1024);
    write_head(r, lease.server(), out);
    net::Gather data;
    data.add(out);
    if (r.body_stored) data.add(r.body);
    auto done = connection.stream().write_now(data);
    if (!done) {
      sent = pass(done);
    } else if (!*done) {
      sent = co_await send_rest(r, connection.stream(), data);
    }
  }
  if (sent) {
    if (r.streams_body()) {
      r.body_begun = r.pumping = true;
      HR_ASSERT(pumps.spawn([this, &r, &connection]() { return pump(r, connection); }));
    }
    read = co_await await_head(r, connection);
  }
  Attempt outcome = Attempt::answered;
  if (!sent || !read) {
    const Error& why = sent ? read.error() : sent.error();
    r.timed_out = why.code == Errc::timeout;
    connection.spoil();
    connection.stream().abort(Errc::cancelled);
    if (why.code == Errc::protocol) {
      outcome = Attempt::broken;
    } else {
      outcome = lease.reused && !connection.answer_began() && !r.timed_out ? Attempt::stale : Attempt::unanswered;
    }
    if (connection.answer_began()) outcome = Attempt::broken;
    log::debug("edge", "{}: {}", lease.server().spec().text, why.message);
  } else if (connection.head().status == 101) {
    co_await tunnel(r, connection);
  } else {
    lease.slot().first_byte.record(elapsed(r.connected, r.first_byte));
    const bool whole = co_await relay(r, connection);
    if (!whole) connection.spoil();
  }
  if (r.pumping) {
    // The answer is over before the request is: nobody wants the rest.
    r.pumping = false;
    connection.spoil();
    connection.stream().abort(Errc::cancelled);
    r.x.close_after();
    r.x.stream().expire_reads_at(Clock::now());
  }
  co_await pumps.join();
  if (r.body_error != 0 && !r.x.started()) {
    if (r.body_error == kClientGone) {
      r.status = kClientGone;
      r.x.hijack();
    } else {
      r.x.close_after();
      co_await fail_with(r, r.body_error, "bad_body", "the request's body is malformed, too large or too slow");
    }
    co_return Attempt::answered;
  }
  if (r.status == kClientGone) co_return Attempt::answered;
  co_return outcome;
}

// Waits for the answer's head, passing 1xx on; gives up at the deadline or when the client has gone.
net::Task<Result<>> Proxy::await_head(Request& r, http::ClientConnection& connection) {
  const http::HeadLimits limits{r.view.options->head_limit.count, r.view.options->line_limit.count,
                                r.view.options->field_limit};
  http::BodyPace pace;
  pace.idle = std::min(r.route->idle_timeout, kLookAtClient);  // relay() adds them up
  TimePoint due = Clock::now() + r.route->first_byte_timeout;
  unsigned interim = 0;
  for (;;) {
    // The time to answer begins when the request is whole. Until then the pump has deadlines, and sees whether the client has gone.
    const TimePoint now = Clock::now();
    if (r.pumping) due = now + r.route->first_byte_timeout;
    connection.stream().expire_reads_at(std::min(due, now + kLookAtClient));
    auto read = co_await connection.read_head(limits, pace);
    if (!read) {
      if (read.error().code != Errc::timeout || Clock::now() >= due) co_return read;
      if (gone_meanwhile(r)) {
        co_return fail(Errc::cancelled, "the client has gone");
      }
      continue;
    }
    const http::ResponseHead& head = connection.head();
    if (head.status == 101 && !text::equal_ignoring_case(head.upgrade, r.head().upgrade)) {
      co_return fail(Errc::protocol, "an upgrade that was not asked for");
    }
    if (head.status >= 200 || head.status == 101) break;
    if (++interim > kMostInterim) co_return fail(Errc::protocol, "too many 1xx answers");
    if (head.status == 100) continue;  // the client has had ours
    std::string lines;
    http::HeadWriter(lines).forward(head.fields);
    auto told = co_await r.x.informational(head.status, lines);
    if (!told) co_return fail(Errc::cancelled, "the client has gone");
  }
  r.first_byte = Clock::now();
  co_return Result<>{};
}

// The server has agreed to another protocol: from here on only bytes pass.
net::Task<> Proxy::tunnel(Request& r, http::ClientConnection& connection) {
  const http::ResponseHead& head = connection.head();
  r.status = 101;
  r.x.hijack();
  std::string out;
  http::HeadWriter writer(out);
  writer.status_line(101, head.reason);
  out.append("Connection: Upgrade\r\n");
  append_line(out, "Upgrade", head.upgrade);
  writer.forward(head.fields);
  out.append("\r\n");
  auto sent = co_await r.x.stream().write(out);
  if (!sent) co_return;
  r.cells->upgrades->add();
  const Duration idle = r.view.options->upgrade_idle_timeout;
  co_await edge::tunnel(group_, {r.x.stream(), r.x.input()}, {connection.stream(), connection.input()}, idle);
  connection.spoil();
}

void Proxy::begin_answer(Request& r, const http::ResponseHead& head) {
  using Kind = Exchange::Length::Kind;
  Exchange::Length length;
  if (head.body == http::Body::length) {
    length = {Kind::known, head.content_length};
  } else if (head.body != http::Body::none) {
    length = {Kind::unknown, 0};
  }
  if (r.streams_body()) r.x.close_after();  // the answer overtakes the request: what follows on this connection is in doubt
  r.x.start(head.status, head.reason, length);
  std::string& out = r.x.head();
  if (head.body == http::Body::none && head.has_content_length && head.status != 204) {
    append_line(out, "Content-Length", http::Digits(head.content_length).view());
  }
  http::HeadWriter writer(out);
  const RoutePolicy& policy = r.route->policy;
  if (policy.active()) {
    writer.forward(head.fields, [&](const http::Field& f) { return f.id != Name::via && policy.keeps_response_field(f); });
    policy.append_response_lines(out, r.head(), r.secure());
  } else {
    writer.forward(head.fields, [](const http::Field& f) { return f.id != Name::via; });
  }
  out.append("Via: ");
  http::append_via(out, head, kPseudonym);
  out.append("\r\n");
  if (!head.has(Name::x_request_id)) append_line(out, "X-Request-Id", r.id);
}

// Writes the answer as it comes; false when it could not be carried to its end.
net::Task<bool> Proxy::relay(Request& r, http::ClientConnection& connection) {
  begin_answer(r, connection.head());
  http::BodySource& body = connection.body();
  body.top_up();
  Result<std::string_view> piece = body.buffered();
  for (;;) {
    if (!piece) co_return false;
    Result<std::string_view> following = std::string_view{};
    if (!body.done()) following = body.buffered();
    const bool last = body.done() && following && following->empty();
    if (last) r.x.trailers(body.trailers());
    auto sent = r.x.send_now(*piece, last ? Exchange::Last::yes : Exchange::Last::no);
    if (sent && !*sent) {
      auto finished = co_await r.x.finish_send();
      if (!finished) sent = pass(finished);
    }
    if (!sent) {
      log::debug("edge", "answer not delivered: {}", sent.error().message);
      co_return false;
    }
    if (last) co_return true;
    for (Duration quiet{}; following && following->empty() && !body.done();) {
      following = co_await body.next();
      if (following || following.error().code != Errc::timeout) break;
      quiet += kLookAtClient;
      if (quiet < r.route->idle_timeout && !gone_meanwhile(r)) following = std::string_view{};
    }
    piece = std::move(following);
  }
}

net::Task<> Proxy::fail_with(Request& r, unsigned status, std::string_view code, std::string_view message,
                             Duration retry_after) {
  if (r.x.started()) co_return;
  if (r.streams_body()) r.x.close_after();
  http::Reply page = error_page(r.head(), {status, code, message, r.id, retry_after});
  if (r.route != nullptr && r.route->policy.active()) r.route->policy.append_response_lines(page.fields, r.head(), r.secure());
  r.x.stream().expire_at(kNever);
  (void)co_await r.x.reply(page);
}

void Proxy::account(Request& r) {
  cells_.ended->add();
  const unsigned status = r.status != 0 ? r.status : r.x.status();
  const bool answered = r.x.finished() || r.status != 0;
  const std::size_t group = answered ? std::min(status / 100, 5U) : 0;
  if (group == 0 || group == 5) cells_.errors->add();
  const TimePoint now = Clock::now();
  if (r.cells != nullptr) {
    r.cells->ended[group]->add();
    if (r.bytes_in > 0) r.cells->bytes_in->add(r.bytes_in);
    r.cells->bytes_out->add(r.x.bytes_sent());
    r.cells->total.record(elapsed(r.began, now));
    if (r.chosen != TimePoint{}) r.cells->queue.record(elapsed(r.began, r.chosen));
    if (r.connected != TimePoint{}) r.cells->connect.record(elapsed(r.chosen, r.connected));
    if (r.first_byte != TimePoint{}) r.cells->first_byte.record(elapsed(r.connected, r.first_byte));
  }
  const std::uint64_t threshold = r.view.log_threshold;
  if (threshold > 0 && is_sampled(r.id, threshold)) write_log(r, answered ? status : 0, now);
}

void Proxy::write_log(const Request& r, unsigned status, TimePoint now) {
  const auto phase = [](TimePoint from, TimePoint to) {
    return to == TimePoint{} ? std::nullopt : std::optional(elapsed(from, to));
  };
  const std::string client = to_string(r.client);
  AccessLine line;
  line.time = std::chrono::system_clock::now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(elapsed(r.began, now));
  line.id = r.id;
  line.client = client;
  line.method = r.head().method_text;
  line.host = r.head().authority;
  line.target = r.head().target;
  line.status = status;
  line.bytes_in = r.bytes_in;
  line.bytes_out = r.x.bytes_sent();
  if (r.route != nullptr) line.route = r.route->name;
  if (r.server != nullptr) line.upstream = r.server->spec().text;
  line.queue = phase(r.began, r.chosen);
  line.connect = phase(r.chosen, r.connected);
  line.first_byte = phase(r.connected, r.first_byte);
  line.total = elapsed(r.began, now);
  log_.write(group_.worker().index(), line);
}

}  // namespace headroom::edge
