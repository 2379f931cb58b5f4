#include "headroom/edge/edge.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/edge/cdn.h"
#include "headroom/edge/checker.h"
#include "headroom/edge/doors.h"
#include "headroom/edge/loaded.h"
#include "headroom/edge/metrics.h"
#include "headroom/edge/part.h"
#include "headroom/edge/view_status.h"
#include "headroom/limit/connections.h"

namespace headroom::edge {
namespace {

constexpr Duration kFirstLookups =
    2s;  // how long a start or a reload waits for new names to be looked up
constexpr Duration kRotateTickets = net::TlsTicketKeys::kLifetime / 2;
constexpr std::string_view kPlainDoor = "edge";
constexpr std::string_view kTlsDoor = "edge.tls";

}  // namespace

class Edge::Body {
 public:
  Body(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
       cache::Cache* cache)
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
                                  [this] { return static_cast<double>(log_.dropped()); })),
        cdn_(workers, resolver, registry) {
    if (cache_ != nullptr) cache_->watch(&cdn_);
  }
  ~Body() {
    if (cache_ != nullptr) cache_->watch(nullptr);
  }
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

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
  WarmBoard warm_board_;
  metrics::GaugeHandle open_gauge_;
  metrics::GaugeHandle log_gauge_;
  Cdn cdn_;
  std::vector<metrics::GaugeHandle> group_gauges_;
  Hosting hosting_;
  std::optional<Encodings> encodings_;        // where there is a cache
  std::vector<std::unique_ptr<Part>> parts_;  // made, used and ended on their workers
  std::unique_ptr<Checker> checker_;          // on worker 0
  std::vector<std::unique_ptr<OpenDoor>> doors_;
  std::shared_ptr<const net::TlsTicketKeys> keys_;
  TimePoint rotate_at_ = Clock::now() + kRotateTickets;
  std::mutex change_;         // one reload, rotation or stop at a time
  mutable std::mutex mutex_;  // the view and the doors change at a reload; others read them
  std::shared_ptr<const View> view_;
  bool accepting_ = false;  // under change_

  [[nodiscard]] std::shared_ptr<const View> view() const {
    const std::scoped_lock lock(mutex_);
    return view_;
  }
  [[nodiscard]] std::vector<WarmRequest> warm_requests_of(const EdgeOptions& options) const;
  // On the worker that warms; nothing happens when there is none.
  void on_warmer(const std::function<void(Warmer&)>& work) const;
  [[nodiscard]] Result<> open_doors(const EdgeOptions& options, std::vector<Door>& inherited);
  [[nodiscard]] OpenDoor* door(std::string_view name) const;
  void serve_at(std::unique_ptr<OpenDoor> door);
  void close_door(OpenDoor& door, Doors what);
  [[nodiscard]] OpenDoor* tls_door_to_close(const TlsOptions& wanted) const;
  void make_parts(const EdgeOptions& options, const std::shared_ptr<const net::TlsServer>& tls);
  void admit(Part& part, http::Server& server, net::Listener::Accepted accepted);
  void use(const std::shared_ptr<const View>& view,
           const std::shared_ptr<const net::TlsServer>& tls);
  void watch(const std::shared_ptr<const View>& view);
  void retire(const View& old, const View& now);
  void end_checker();
  void each_part(const std::function<void(Part&)>& work);
};

std::vector<WarmRequest> Edge::Body::warm_requests_of(const EdgeOptions& options) const {
  std::vector<WarmRequest> all;
  if (cache_ == nullptr) return all;
  for (const WarmOptions& each : options.warm) {
    auto made = warm_requests(each);
    HR_ASSERT(made);  // checked with the settings
    all.insert(all.end(), std::make_move_iterator(made->begin()),
               std::make_move_iterator(made->end()));
  }
  return all;
}

void Edge::Body::on_warmer(const std::function<void(Warmer&)>& work) const {
  if (parts_.empty() || !parts_[0]) return;
  workers_[0].run_and_wait([&] { work(parts_[0]->warmer); });
}

Result<> Edge::Body::open_doors(const EdgeOptions& options, std::vector<Door>& inherited) {
  auto plain = OpenDoor::open(kPlainDoor, options.listen, workers_.size(), inherited);
  if (!plain) return pass(plain);
  doors_.push_back(std::move(*plain));
  if (options.tls.enabled()) {
    auto secure = OpenDoor::open(kTlsDoor, options.tls.listen, workers_.size(), inherited);
    if (!secure) return pass(secure);
    doors_.push_back(std::move(*secure));
  }
  for (Door& unused : inherited) {
    for (const int fd : unused.sockets) ::close(fd);
  }
  return {};
}

OpenDoor* Edge::Body::door(std::string_view name) const {
  const auto at = std::ranges::find(doors_, name, [](const auto& door) { return door->name(); });
  return at == doors_.end() ? nullptr : at->get();
}

void Edge::Body::each_part(const std::function<void(Part&)>& work) {
  workers_.each([&](net::Worker& worker) {
    if (worker.index() < parts_.size() && parts_[worker.index()]) work(*parts_[worker.index()]);
  });
}

void Edge::Body::make_parts(const EdgeOptions& options,
                            const std::shared_ptr<const net::TlsServer>& tls) {
  if (cache_ != nullptr) encodings_.emplace(*cache_, registry_, options.compress);
  const Part::Shared shared{hosting_,    log_,     cache_, encodings_ ? &*encodings_ : nullptr,
                            warm_board_, registry_};
  parts_.resize(workers_.size());
  workers_.each([&](net::Worker& worker) {
    parts_[worker.index()] = std::make_unique<Part>(worker, shared, options, tls);
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

// The open TLS door, when it is wanted elsewhere or no more.
OpenDoor* Edge::Body::tls_door_to_close(const TlsOptions& wanted) const {
  OpenDoor* const open = door(kTlsDoor);
  const bool stays = open != nullptr && wanted.enabled() && open->address() == wanted.listen;
  return stays ? nullptr : open;
}

// From now on clients are let in there.
void Edge::Body::serve_at(std::unique_ptr<OpenDoor> door) {
  door->serve(workers_, [this, plain = door->name() == kPlainDoor](
                            net::Worker& worker, net::Listener::Accepted accepted) {
    Part& part = *parts_[worker.index()];
    admit(part, plain ? part.plain : part.secure, accepted);
  });
  const std::scoped_lock lock(mutex_);
  doors_.push_back(std::move(door));
}

void Edge::Body::close_door(OpenDoor& door, Doors what) {
  door.close(what);
  const std::scoped_lock lock(mutex_);
  std::erase_if(doors_, [&](const auto& each) { return each.get() == &door; });
}

void Edge::Body::use(const std::shared_ptr<const View>& view,
                     const std::shared_ptr<const net::TlsServer>& tls) {
  const EdgeOptions& options = *view->options;
  limits_.set_limits(options.max_connections, options.max_connections_per_address);
  const auto http_options = server_options(options);
  each_part([&](Part& part) {
    part.begin(view);
    if (tls) part.tls = tls;
    part.plain.set_options(http_options);
    part.secure.set_options(http_options);
  });
  const auto warm = warm_requests_of(options);
  const http::HeadLimits limits{options.head_limit.count * 2, options.line_limit.count,
                                options.field_limit + 32};
  on_warmer([&](Warmer& warmer) { warmer.configure(warm, options.warming, limits); });
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
  checker_->wait_for_names(kFirstLookups);
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

Edge::Edge(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
           cache::Cache* cache)
    : body_(std::make_unique<Body>(workers, resolver, registry, cache)) {}

Edge::~Edge() { stop(); }

void Edge::host(std::string prefix, http::Service& service) {
  body_->hosting_.services.push_back({std::move(prefix), &service});
}

void Edge::tie_to(link::Link& link) { body_->hosting_.link = &link; }

void Edge::keep_sessions(auth::Signer signer, std::string cookie) {
  Hosting& hosting = body_->hosting_;
  hosting.sessions.emplace(std::move(signer), std::move(cookie), hosting.link->positions);
}

void Edge::explain_to(MayAsk may_ask) { body_->hosting_.may_ask = std::move(may_ask); }

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
  auto loaded = load({options, std::move(limits), b.cache_, b.workers_.size(), b.keys_}, nullptr,
                     b.registry_);
  if (!loaded) return pass(loaded);
  const auto& [view, tls, cdn] = *loaded;
  if (auto opened = b.open_doors(*options, inherited.doors); !opened) return opened;
  b.make_parts(*options, tls);
  place_literals(*view);
  b.use(view, tls);
  b.cdn_.use(cdn);
  {
    const std::scoped_lock lock(b.mutex_);
    b.view_ = view;
  }
  b.watch(view);
  for (auto& door : std::exchange(b.doors_, {})) b.serve_at(std::move(door));
  b.cdn_.start();
  b.accepting_ = true;
  b.on_warmer([](Warmer& warmer) { warmer.start_first(); });
  return {};
}

Result<> Edge::reload(std::shared_ptr<const EdgeOptions> options,
                      std::shared_ptr<const limit::Rules> limits) {
  Body& b = *body_;
  const std::scoped_lock change(b.change_);
  if (!b.accepting_) return fail(Errc::unavailable, "the server is going down");
  const auto before = b.view();
  auto loaded = load({options, std::move(limits), b.cache_, b.workers_.size(), b.keys_},
                     before.get(), b.registry_);
  if (!loaded) return pass(loaded);
  const auto& [view, tls, cdn] = *loaded;
  OpenDoor* const closing = b.tls_door_to_close(options->tls);
  std::unique_ptr<OpenDoor> opening;
  if (tls && (closing != nullptr || b.door(kTlsDoor) == nullptr)) {
    std::vector<Door> none;
    auto opened = OpenDoor::open(kTlsDoor, options->tls.listen, b.workers_.size(), none);
    if (!opened) return pass(opened);
    opening = std::move(*opened);
  }
  place_literals(*view);
  b.watch(view);
  b.use(view, tls);
  b.cdn_.use(cdn);
  {
    const std::scoped_lock lock(b.mutex_);
    b.view_ = view;
  }
  if (closing != nullptr) {
    log::info("edge", "edge.tls listens no longer on {}", closing->shown().address);
    b.close_door(*closing, Doors::closed);
  }
  if (opening) b.serve_at(std::move(opening));
  b.retire(*before, *view);
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
  auto tls = make_tls(view->options->tls, b.workers_.size(), b.keys_);
  if (tls) return b.use(view, *tls);
  b.keys_ = before;
  log::warn("edge", "ticket keys are not rotated: {}", tls.error().message);
}

std::vector<Door> Edge::doors() const {
  const std::scoped_lock lock(body_->mutex_);
  std::vector<Door> doors;
  for (const auto& door : body_->doors_) doors.push_back(door->shown());
  return doors;
}

std::string Edge::tls_ticket_keys() const {
  return body_->keys_ ? body_->keys_->bytes() : std::string();
}

void Edge::stop_accepting(Doors doors) {
  Body& b = *body_;
  const std::scoped_lock change(b.change_);
  b.accepting_ = false;
  while (!b.doors_.empty()) b.close_door(*b.doors_.back(), doors);
}

void Edge::drain() {
  body_->each_part([](Part& part) {
    part.refresher.drain();
    part.warmer.drain();
    part.plain.drain();
    part.secure.drain();
  });
}

std::size_t Edge::open() const { return body_->limits_.open(); }

void Edge::stop() {
  Body& b = *body_;
  stop_accepting();
  b.end_checker();
  b.cdn_.stop();
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
  const auto view = body_->view();
  if (!view) return {};
  auto reports = health_of(*view);
  if (auto cdn = body_->cdn_.health()) reports.push_back(std::move(*cdn));
  return reports;
}

std::vector<GroupStatus> Edge::upstreams() const {
  const auto view = body_->view();
  return view ? groups_of(*view) : std::vector<GroupStatus>{};
}

std::vector<RouteStatus> Edge::routes() const {
  const auto view = body_->view();
  return view ? routes_of(*view) : std::vector<RouteStatus>{};
}

Summary Edge::summary() const {
  const Body& b = *body_;
  Summary summary;
  summary.requests = b.ended_.total();
  summary.errors = b.errors_.total();
  summary.connections = b.limits_.open();
  summary.in_flight = std::max(b.begun_.total(), summary.requests) - summary.requests;
  if (const auto view = b.view()) summary.total = total_of(*view);
  return summary;
}

std::string Edge::not_ready() const { return body_->warm_board_.not_ready(Clock::now()); }

Result<bool> Edge::warm() {
  const std::scoped_lock change(body_->change_);
  if (!body_->accepting_) return fail(Errc::unavailable, "nothing is served");
  Result<bool> begun = fail(Errc::unavailable, "nothing is served");
  body_->on_warmer([&](Warmer& warmer) { begun = warmer.start(); });
  return begun;
}

CdnStatus Edge::cdn_status() const { return body_->cdn_.status(); }

WarmStatus Edge::warm_status() const { return body_->warm_board_.status(); }

std::shared_ptr<const limit::Rules> Edge::limits() const {
  const auto view = body_->view();
  return view ? view->limits : nullptr;
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
