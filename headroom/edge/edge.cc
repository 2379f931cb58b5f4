#include "headroom/edge/edge.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/edge/checker.h"
#include "headroom/edge/metrics.h"
#include "headroom/edge/proxy.h"
#include "headroom/http/server.h"
#include "headroom/limit/connections.h"
#include "headroom/net/listener.h"
#include "headroom/net/tls.h"

namespace headroom::edge {
namespace {

constexpr Duration kFirstLookups =
    2s;  // how long a start or a reload waits for new names to be looked up
constexpr Duration kRotateTickets = net::TlsTicketKeys::kLifetime / 2;
constexpr std::array<unsigned, 7> kRefusals{400, 408, 413, 414, 431, 501, 505};

Result<net::Endpoint> endpoint_of(const config::Address& address) {
  if (address.is_unix()) return net::Endpoint::unix_path(address.unix_path);
  return net::Endpoint::literal(address.host.empty() ? "0.0.0.0" : address.host, address.port);
}

std::shared_ptr<const http::ServerOptions> server_options(const EdgeOptions& options) {
  http::ServerOptions made;
  made.head = {options.head_limit.count, options.line_limit.count, options.field_limit};
  made.header_timeout = options.header_timeout;
  made.keep_alive_timeout = options.keep_alive_timeout;
  made.write_timeout = options.write_timeout;
  made.body_limit = 0;  // the route's
  made.body = {options.body_timeout, options.body_rate.count, options.header_timeout};
  made.accept_proxy_protocol = options.proxy_protocol;
  made.trusted_proxies = options.trusted_proxies;
  return std::make_shared<const http::ServerOptions>(made);
}

net::TlsServerOptions tls_options(const TlsOptions& options) {
  net::TlsServerOptions made;
  if (!options.cert.empty()) made.certificates.push_back({options.cert, options.key});
  for (const CertificateOptions& more : options.certificates)
    made.certificates.push_back({more.cert, more.key});
  made.min_version = options.min_version == "1.3" ? net::TlsVersion::v1_3 : net::TlsVersion::v1_2;
  made.client_certificates = static_cast<net::TlsClientCertificates>(options.client_certificates);
  made.client_ca = options.client_ca;
  return made;
}

Quantiles quantiles_of(const metrics::HistogramValues& values) {
  return {milliseconds(values.mean()), milliseconds(values.quantile(0.5)),
          milliseconds(values.quantile(0.9)), milliseconds(values.quantile(0.95)),
          milliseconds(values.quantile(0.99))};
}

}  // namespace

// Closes what idles for too long, every second.
class Trimmer final : net::WheelEntry {
 public:
  Trimmer(net::Wheel& wheel, Proxy& proxy) : WheelEntry(wheel), proxy_(proxy) {
    set(Clock::now() + kTrim);
  }

 private:
  static constexpr Duration kTrim = 1s;
  void expired() override {
    proxy_.trim();
    set(Clock::now() + kTrim);
  }
  Proxy& proxy_;
};

// One worker's part.
struct Part {
  Part(net::Worker& worker, const std::vector<Hosted>& hosted, AccessLog& log, cache::Cache* cache, ProxyCells cells)
      : acceptors(worker), group(worker), proxy(group, hosted, log, cache, std::move(cells)) {}
  void begin(const std::shared_ptr<const View>& view) {
    proxy.set_view(view);
    if (!trimmer) trimmer.emplace(group.worker().wheel(), proxy);
  }

  net::TaskGroup acceptors;  // stopped first
  net::TaskGroup group;      // connections, upstream connections and what serves them
  Proxy proxy;
  std::optional<Trimmer> trimmer;
  std::shared_ptr<const net::TlsServer> tls;
  std::unique_ptr<http::Server> plain;
  std::unique_ptr<http::Server> secure;
};

class Edge::Body {
 public:
  Body(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry, cache::Cache* cache)
      : cache_(cache),
        workers_(workers),
        resolver_(resolver),
        registry_(registry),
        begun_(registry.counter(kAllBegun)),
        ended_(registry.counter(kAllEnded)),
        errors_(registry.counter(kAllErrors)),
        connections_(registry.counter(kConnections)),
        over_limit_(registry.counter(kConnectionsRefused, {"limit"})),
        open_gauge_(registry.gauge(kConnectionsOpen, {},
                                   [this] { return static_cast<double>(limits_.open()); })),
        log_gauge_(registry.gauge(kLogDropped, {},
                                  [this] { return static_cast<double>(log_.dropped()); })) {}

  cache::Cache* cache_;
  net::Workers& workers_;
  net::Resolver& resolver_;
  metrics::Registry& registry_;
  metrics::Counter& begun_;
  metrics::Counter& ended_;
  metrics::Counter& errors_;
  metrics::Counter& connections_;
  metrics::Counter& over_limit_;
  limit::Connections limits_;
  AccessLog log_;
  metrics::GaugeHandle open_gauge_;
  metrics::GaugeHandle log_gauge_;
  std::vector<metrics::GaugeHandle> group_gauges_;
  std::vector<Hosted> hosted_;
  std::vector<std::unique_ptr<Part>> parts_;  // made, used and ended on their workers
  std::unique_ptr<Checker> checker_;          // on worker 0
  std::vector<std::pair<std::string, net::Listener>> doors_;
  std::shared_ptr<const net::TlsTicketKeys> keys_;
  TimePoint rotate_at_ = Clock::now() + kRotateTickets;
  std::mutex change_;  // one reload or rotation at a time
  mutable std::mutex
      mutex_;  // the view and the checker change at a reload, which any thread but a worker may ask for
  std::shared_ptr<const View> view_;
  bool accepting_ = false;

  [[nodiscard]] std::shared_ptr<const View> view() const {
    const std::scoped_lock lock(mutex_);
    return view_;
  }
  [[nodiscard]] ProxyCells cells_of(std::size_t worker);
  [[nodiscard]] Result<> open_door(const std::string& name, const config::Address& address,
                                   std::vector<Door>& inherited);
  [[nodiscard]] Result<std::shared_ptr<const net::TlsServer>> make_tls(
      const TlsOptions& options) const;
  void make_parts(const EdgeOptions& options, const std::shared_ptr<const net::TlsServer>& tls);
  void accept_on(net::Worker& worker);
  void admit(Part& part, http::Server& server, net::Listener::Accepted accepted);
  void use(const std::shared_ptr<const View>& view,
           const std::shared_ptr<const net::TlsServer>& tls);
  void watch(const std::shared_ptr<const View>& view);
  void wait_for_names(const View& view) const;
  void retire(const View& old, const View& now);
  void end_checker();
  void each_part(const std::function<void(Part&)>& work);
};

ProxyCells Edge::Body::cells_of(std::size_t worker) {
  ProxyCells cells{&begun_.at(worker), &ended_.at(worker), &errors_.at(worker), {}};
  cells.bad_requests[0] = &registry_.counter(kBadRequests, {"other"}).at(worker);
  for (const unsigned status : kRefusals) {
    cells.bad_requests[status] =
        &registry_.counter(kBadRequests, {std::to_string(status)}).at(worker);
  }
  return cells;
}

Result<> Edge::Body::open_door(const std::string& name, const config::Address& address,
                               std::vector<Door>& inherited) {
  auto endpoint = endpoint_of(address);
  if (!endpoint) return pass(endpoint, name + ".listen");
  const auto from = std::ranges::find(inherited, name, &Door::name);
  std::vector<int> sockets =
      from == inherited.end() ? std::vector<int>{} : std::exchange(from->sockets, {});
  auto listener = net::Listener::open(*endpoint, workers_.size(), std::move(sockets));
  if (!listener) return pass(listener, name);
  doors_.emplace_back(name, std::move(*listener));
  return {};
}

Result<std::shared_ptr<const net::TlsServer>> Edge::Body::make_tls(
    const TlsOptions& options) const {
  if (!options.enabled()) return std::shared_ptr<const net::TlsServer>();
  auto made = net::TlsServer::make(tls_options(options), workers_.size(), keys_);
  if (!made) return pass(made, "edge.tls");
  return made;
}

void Edge::Body::each_part(const std::function<void(Part&)>& work) {
  workers_.each([&](net::Worker& worker) {
    if (worker.index() < parts_.size() && parts_[worker.index()]) work(*parts_[worker.index()]);
  });
}

void Edge::Body::make_parts(const EdgeOptions& options,
                            const std::shared_ptr<const net::TlsServer>& tls) {
  const auto http_options = server_options(options);
  parts_.resize(workers_.size());
  workers_.each([&](net::Worker& worker) {
    auto part = std::make_unique<Part>(worker, hosted_, log_, cache_, cells_of(worker.index()));
    Part& made = *part;
    made.tls = tls;
    made.plain = std::make_unique<http::Server>(made.group, made.proxy, http_options);
    made.secure = std::make_unique<http::Server>(
        made.group, made.proxy, http_options,
        [&made, index = worker.index()] { return made.tls->context(index); });
    parts_[worker.index()] = std::move(part);
  });
}

void Edge::Body::admit(Part& part, http::Server& server, net::Listener::Accepted accepted) {
  auto ticket = limits_.admit(accepted.peer.ip());
  if (!ticket) {
    over_limit_.at(part.group.worker().index()).add();
    ::close(accepted.fd);
    return;
  }
  connections_.at(part.group.worker().index()).add();
  server.take(accepted, [held = std::move(ticket)]() mutable { held = {}; });
}

void Edge::Body::accept_on(net::Worker& worker) {
  Part& part = *parts_[worker.index()];
  for (auto& [name, listener] : doors_) {
    http::Server& server = name == "edge" ? *part.plain : *part.secure;
    auto take = [this, &part, &server](net::Listener::Accepted accepted) {
      admit(part, server, accepted);
    };
    HR_ASSERT(part.acceptors.spawn(
        [&listener, &part, take] { return listener.accept(part.acceptors, take); }));
  }
}

void Edge::Body::use(const std::shared_ptr<const View>& view,
                     const std::shared_ptr<const net::TlsServer>& tls) {
  const EdgeOptions& options = *view->options;
  limits_.set_limits(options.max_connections, options.max_connections_per_address);
  const auto http_options = server_options(options);
  each_part([&](Part& part) {
    part.begin(view);
    if (tls) part.tls = tls;
    part.plain->set_options(http_options);
    part.secure->set_options(http_options);
  });
  std::vector<metrics::GaugeHandle> gauges;
  for (const auto& pool : view->pools) {
    pool->admission->renew(pool->group.options().queue);
    pool->places->renew(pool->group.options().queue);
    gauges.push_back(registry_.gauge(kInFlightLimit, {pool->group.options().name}, [pool] {
      return static_cast<double>(pool->group.concurrency().limit());
    }));
  }
  group_gauges_ = std::move(gauges);
}

void Edge::Body::end_checker() {
  if (!checker_) return;
  checker_->stop_and_join();
  workers_[0].run_and_wait([&] { checker_.reset(); });
}

void Edge::Body::watch(const std::shared_ptr<const View>& view) {
  end_checker();
  workers_[0].run_and_wait([&] {
    checker_ = std::make_unique<Checker>(workers_[0], resolver_);
    checker_->watch(view);
  });
}

// Who serves before knowing where the application is would answer 503 for no reason.
void Edge::Body::wait_for_names(const View& view) const {
  const TimePoint deadline = Clock::now() + kFirstLookups;
  while (!all_placed(view) && Clock::now() < deadline) {
    std::this_thread::sleep_for(1ms);
  }
}

// Ends the idle connections of servers that are gone, each on its worker.
void Edge::Body::retire(const View& old, const View& now) {
  std::vector<Server*> kept;
  for (const auto& pool : now.pools) {
    for (const auto& server : pool->group.servers()) kept.push_back(server.get());
  }
  std::vector<Server*> gone;
  for (const auto& pool : old.pools) {
    for (const auto& server : pool->group.servers()) {
      if (std::ranges::find(kept, server.get()) == kept.end()) gone.push_back(server.get());
    }
  }
  for (Server* server : gone) server->retire();
  workers_.each([&](net::Worker& worker) {
    for (Server* server : gone) server->forget(worker);
  });
}

Edge::Edge(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry, cache::Cache* cache)
    : body_(std::make_unique<Body>(workers, resolver, registry, cache)) {}

Edge::~Edge() { stop(); }

void Edge::host(std::string prefix, http::Service& service) {
  body_->hosted_.push_back({std::move(prefix), &service});
}

Result<> Edge::start(std::shared_ptr<const EdgeOptions> options,
                     std::shared_ptr<const limit::Rules> limits, Inherited inherited) {
  Body& b = *body_;
  if (inherited.tls_ticket_keys.empty()) {
    b.keys_ = std::make_shared<const net::TlsTicketKeys>(net::TlsTicketKeys::fresh());
  } else {
    auto keys = net::TlsTicketKeys::parse(inherited.tls_ticket_keys);
    if (!keys) return pass(keys, "edge.tls: ticket keys of the running server");
    b.keys_ = std::make_shared<const net::TlsTicketKeys>(*keys);
  }
  auto view = make_view(options, std::move(limits), b.cache_, nullptr, b.workers_.size(), b.registry_);
  if (!view) return pass(view);
  auto tls = b.make_tls(options->tls);
  if (!tls) return pass(tls);
  if (auto opened = b.open_door("edge", options->listen, inherited.doors); !opened) return opened;
  if (*tls) {
    if (auto opened = b.open_door("edge.tls", options->tls.listen, inherited.doors); !opened)
      return opened;
  }
  for (Door& unused : inherited.doors) {
    for (const int fd : unused.sockets) ::close(fd);
  }
  b.make_parts(*options, *tls);
  place_literals(**view);
  b.use(*view, *tls);
  {
    const std::scoped_lock lock(b.mutex_);
    b.view_ = *view;
  }
  b.watch(*view);
  b.wait_for_names(**view);
  b.workers_.each([&](net::Worker& worker) { b.accept_on(worker); });
  b.accepting_ = true;
  for (const auto& [name, listener] : b.doors_) {
    log::announce("headroom: " + name + " listening on " + listener.endpoint().to_string());
  }
  return {};
}

Result<> Edge::reload(std::shared_ptr<const EdgeOptions> options,
                      std::shared_ptr<const limit::Rules> limits) {
  Body& b = *body_;
  const std::scoped_lock change(b.change_);
  const auto before = b.view();
  auto view = make_view(options, std::move(limits), b.cache_, before.get(), b.workers_.size(), b.registry_);
  if (!view) return pass(view);
  auto tls = b.make_tls(options->tls);
  if (!tls) return pass(tls);
  place_literals(**view);
  b.watch(*view);
  b.wait_for_names(**view);
  b.use(*view, *tls);
  {
    const std::scoped_lock lock(b.mutex_);
    b.view_ = *view;
  }
  b.retire(*before, **view);
  return {};
}

void Edge::upkeep(TimePoint now) {
  Body& b = *body_;
  const auto view = b.view();
  if (!view || now < b.rotate_at_) return;
  const std::scoped_lock change(b.change_);
  b.rotate_at_ = now + kRotateTickets;
  const auto before =
      std::exchange(b.keys_, std::make_shared<const net::TlsTicketKeys>(b.keys_->rotated()));
  auto tls = b.make_tls(view->options->tls);
  if (tls) return b.use(view, *tls);
  b.keys_ = before;
  log::warn("edge", "ticket keys are not rotated: {}", tls.error().message);
}

std::vector<Door> Edge::doors() const {
  std::vector<Door> doors;
  for (const auto& [name, listener] : body_->doors_) {
    doors.push_back({name,
                     listener.endpoint().to_string(),
                     {listener.sockets().begin(), listener.sockets().end()}});
  }
  return doors;
}

std::string Edge::tls_ticket_keys() const {
  return body_->keys_ ? body_->keys_->bytes() : std::string();
}

void Edge::stop_accepting(Doors doors) {
  Body& b = *body_;
  if (!std::exchange(b.accepting_, false)) return;
  for (auto& part : b.parts_) part->acceptors.stop_and_join();  // their tasks use the listeners
  if (doors == Doors::handed_over) {
    for (auto& [name, listener] : b.doors_) listener.keep_path();
  }
  b.doors_.clear();
}

void Edge::drain() {
  body_->each_part([](Part& part) {
    part.plain->drain();
    part.secure->drain();
  });
}

std::size_t Edge::open() const { return body_->limits_.open(); }

void Edge::stop() {
  Body& b = *body_;
  stop_accepting();
  b.end_checker();
  const auto view = b.view();
  for (auto& part : b.parts_) {
    if (!part) continue;
    part->group.stop_and_join();
    net::Worker& worker = part->group.worker();
    worker.run_and_wait([&] {
      for (const auto& pool : view->pools) {
        for (const auto& server : pool->group.servers()) server->forget(worker);
      }
      part.reset();
    });
  }
  b.parts_.clear();
}

std::vector<net::HealthReport> Edge::health() const {
  using State = net::HealthReport::State;
  std::vector<net::HealthReport> reports;
  const auto view = body_->view();
  if (!view) return reports;
  const TimePoint now = Clock::now();
  for (const auto& pool : view->pools) {
    const auto& servers = pool->group.servers();
    const auto up =
        std::ranges::count_if(servers, [&](const auto& server) { return server->usable(now); });
    net::HealthReport report{"edge.upstreams." + pool->group.options().name, State::ok, {}};
    if (up == 0) {
      report.state = State::failed;
    } else if (static_cast<std::size_t>(up) < servers.size()) {
      report.state = State::degraded;
    }
    if (report.state != State::ok)
      report.reason =
          std::to_string(up) + " of " + std::to_string(servers.size()) + " servers can be used";
    reports.push_back(std::move(report));
  }
  return reports;
}

std::vector<GroupStatus> Edge::upstreams() const {
  std::vector<GroupStatus> groups;
  const auto view = body_->view();
  if (!view) return groups;
  const TimePoint now = Clock::now();
  for (const auto& pool : view->pools) {
    GroupStatus group{pool->group.options().name,
                      pool->group.concurrency().in_flight(),
                      pool->group.concurrency().limit(),
                      pool->admission->size() + pool->places->size(),
                      {}};
    for (const auto& server : pool->group.servers()) {
      const Quantiles first = quantiles_of(server->first_byte().values());
      group.servers.push_back(
          {server->spec().text, server->state(now), server->reason(), server->spec().weight,
           server->in_flight(),
           static_cast<std::uint64_t>(std::max<std::int64_t>(0, server->idle_connections.load())),
           server->requests().total(), server->failures().total(), first.p50, first.p90, first.p95,
           first.p99});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<RouteStatus> Edge::routes() const {
  std::vector<RouteStatus> routes;
  const auto view = body_->view();
  if (!view) return routes;
  for (const Route& route : view->routes.all()) {
    const RouteMetrics& m = *route.metrics;
    RouteStatus status;
    status.name = route.name;
    std::uint64_t ended = 0;
    for (std::size_t i = 0; i < m.ended.size(); ++i)
      ended += status.by_class[i] = m.ended[i]->total();
    status.requests = ended;
    status.in_flight = std::max(m.begun.total(), ended) - ended;
    status.bytes_in = m.bytes_in.total();
    status.bytes_out = m.bytes_out.total();
    status.queue = quantiles_of(m.queue.values());
    status.connect = quantiles_of(m.connect.values());
    status.first_byte = quantiles_of(m.first_byte.values());
    status.total = quantiles_of(m.total.values());
    routes.push_back(std::move(status));
  }
  return routes;
}

Summary Edge::summary() const {
  const Body& b = *body_;
  Summary summary;
  summary.requests = b.ended_.total();
  summary.errors = b.errors_.total();
  summary.connections = b.limits_.open();
  summary.in_flight = std::max(b.begun_.total(), summary.requests) - summary.requests;
  metrics::HistogramValues all;
  if (const auto view = b.view()) {
    for (const Route& route : view->routes.all()) all.merge(route.metrics->total.values());
  }
  summary.total = quantiles_of(all);
  return summary;
}

Result<> Edge::set_draining(std::string_view group, std::string_view server, bool draining) {
  const auto view = body_->view();
  for (const auto& pool : view ? view->pools : std::vector<std::shared_ptr<Pool>>{}) {
    if (pool->group.options().name != group) continue;
    for (const auto& each : pool->group.servers()) {
      if (each->spec().text != server) continue;
      each->set_draining(draining);
      return {};
    }
  }
  return fail(Errc::not_found,
              "no server '" + std::string(server) + "' in a group '" + std::string(group) + "'");
}

}  // namespace headroom::edge
