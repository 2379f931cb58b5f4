#include "headroom/sql/sql.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <future>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/net/listener.h"
#include "headroom/sql/admin.h"
#include "headroom/sql/explain.h"
#include "headroom/sql/metrics.h"
#include "headroom/sql/session.h"
#include "headroom/sql/warmer.h"

namespace headroom::sql {
namespace {

constexpr Duration kOwnAnswer = 5s;
// What becomes of a connection that Headroom has asked something itself.
enum class After : std::uint8_t { given_back, closed };

Result<net::Endpoint> endpoint_of(const config::Address& address) {
  if (address.is_unix()) return net::Endpoint::unix_path(address.unix_path);
  if (address.host.empty()) return net::Endpoint::any(address.port);
  return net::Endpoint::literal(address.host, address.port);
}

// Looks after the pools of its worker, every second.
class Upkeep final : net::WheelEntry {
 public:
  Upkeep(net::Worker& worker, Room& room)
      : WheelEntry(worker.wheel()), worker_(worker), room_(room) {
    set(Clock::now() + kEvery);
  }

 private:
  static constexpr Duration kEvery = 1s;
  void expired() override {
    set(Clock::now() + kEvery);  // first: what follows may throw
    for (Account* account : room_.accounts()) {
      for (std::size_t i = 0; i < account->pools(); ++i) account->pool(i).upkeep(worker_);
    }
  }
  net::Worker& worker_;
  Room& room_;
};

}  // namespace

class Sql::Body {
 public:
  Body(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
       link::Link& link, cache::Cache* cache)
      : room_(workers, resolver, registry, link, cache),
        workers_(workers),
        gauge_(registry.gauge(kClientsOpen, {},
                              [this] { return static_cast<double>(room_.clients.load()); })) {}

  void accept_on(net::Worker& worker);

  // Waits for what `work` brings of a connection of the pool. Not from a worker.
  template <class T, class Work>
  Result<T> with_server(postgres::Pool& pool, After after, Work work);

  Room room_;
  net::Workers& workers_;
  metrics::GaugeHandle gauge_;
  std::optional<net::Listener> listener_;
  std::vector<std::unique_ptr<net::TaskGroup>> acceptors_;
  std::vector<std::unique_ptr<Upkeep>> upkeep_;
  std::unique_ptr<Warmer> warmer_;  // null: there is nothing to warm
  std::atomic<bool> runs_ = false;  // the parts stay: figures are asked for until the end
};

template <class T, class Work>
Result<T> Sql::Body::with_server(postgres::Pool& pool, After after, Work work) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto answer = promise->get_future();
  workers_[0].post([this, its_pool = &pool, after, promise, work = std::move(work)]() mutable {
    net::TaskGroup& group = room_.part(workers_[0]).group;
    auto run = [&group, its_pool, after, promise, work = std::move(work)]() -> net::Task<> {
      net::Event event(group);
      std::function<bool()> wanted = [] { return true; };
      auto server = co_await its_pool->take(group.worker(), event, std::move(wanted), nullptr);
      if (!server) {
        promise->set_value(pass(server));
        co_return;
      }
      Result<T> done = fail(Errc::unavailable, "");
      auto cleared = co_await clear_settings(**server, Clock::now() + kOwnAnswer);
      if (cleared)
        done = co_await work(**server);
      else
        done = pass(cleared);
      if (done && after == After::given_back)
        its_pool->give(group.worker(), std::move(*server));
      else
        its_pool->close(group.worker(), std::move(*server));
      promise->set_value(std::move(done));
    };
    if (!group.spawn(std::move(run)))
      promise->set_value(fail(Errc::unavailable, "the proxy is stopping"));
  });
  if (answer.wait_for(2 * kOwnAnswer) != std::future_status::ready)
    return fail(Errc::timeout, "the database does not answer");
  return answer.get();
}

void Sql::Body::accept_on(net::Worker& worker) {
  Part& part = room_.part(worker);
  net::TaskGroup& acceptors = *acceptors_[worker.index()];
  auto take = [this, &part](net::Listener::Accepted accepted) {
    auto session = std::make_unique<Session>(room_, part, accepted);
    auto run = [held = std::move(session)]() -> net::Task<> { co_await held->run(); };
    if (!part.group.spawn(std::move(run))) log::debug("sql", "a client came while stopping");
  };
  HR_ASSERT(
      acceptors.spawn([this, &acceptors, take] { return listener_->accept(acceptors, take); }));
}

Sql::Sql(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
         link::Link& link, cache::Cache* cache)
    : body_(std::make_unique<Body>(workers, resolver, registry, link, cache)) {}

Sql::~Sql() { stop(); }

void Sql::tag_pages() { body_->room_.tags_pages = true; }

void Sql::mock_with(std::string key) { body_->room_.mock_key = std::move(key); }

void Sql::share_limits(const std::string& path) {
  auto places = postgres::SharedPlaces::open(path);
  if (places)
    body_->room_.share(std::move(*places));
  else
    log::warn("sql", "during a take-over each process has its own pool limit: {}",
              places.error().message);
}

Result<> Sql::start(std::shared_ptr<const SqlOptions> options, std::vector<int> inherited) {
  Body& b = *body_;
  if (auto configured = b.room_.configure(options); !configured) return configured;
  auto endpoint = endpoint_of(options->listen);
  if (!endpoint) return fail(Errc::invalid, "sql.listen: " + endpoint.error().message);
  auto listener = net::Listener::open(*endpoint, b.workers_.size(), std::move(inherited));
  if (!listener) return pass(listener, "sql");
  b.listener_.emplace(std::move(*listener));
  b.room_.parts_.resize(b.workers_.size());
  b.upkeep_.resize(b.workers_.size());
  for (auto& worker : b.workers_) b.acceptors_.push_back(std::make_unique<net::TaskGroup>(*worker));
  b.workers_.each([&](net::Worker& worker) {
    b.room_.parts_[worker.index()] = std::make_unique<Part>(worker, b.room_.registry);
    b.upkeep_[worker.index()] = std::make_unique<Upkeep>(worker, b.room_);
  });
  if (b.room_.results) b.room_.results->start();
  b.room_.start_watching();
  b.workers_.each([&](net::Worker& worker) { b.accept_on(worker); });
  b.runs_ = true;
  if (!options->warm.empty()) {
    b.warmer_ = std::make_unique<Warmer>(b.room_, b.listener_->endpoint());
    b.warmer_->start();
  }
  log::announce("headroom: sql listening on " + b.listener_->endpoint().to_string());
  return {};
}

const SqlOptions& Sql::options() const { return body_->room_.options(); }

std::string Sql::address() const {
  return body_->listener_ ? body_->listener_->endpoint().to_string() : "";
}

std::vector<int> Sql::sockets() const {
  if (!body_->listener_) return {};
  const auto all = body_->listener_->sockets();
  return {all.begin(), all.end()};
}

void Sql::stop_accepting(Sockets sockets) {
  for (auto& acceptor : body_->acceptors_) acceptor->stop_and_join();
  if (sockets == Sockets::handed_over && body_->listener_) body_->listener_->keep_path();
  body_->acceptors_.clear();
  body_->listener_.reset();
}

void Sql::drain() {
  if (!body_->runs_) return;
  if (body_->warmer_) body_->warmer_->stop();
  for (Account* account : body_->room_.accounts()) {
    for (std::size_t i = 0; i < account->pools(); ++i) account->pool(i).drain();
  }
  body_->workers_.each([this](net::Worker& worker) {
    Part& part = body_->room_.part(worker);
    part.draining = true;
    for (auto& [pid, session] : part.sessions) session->drain();
  });
}

std::size_t Sql::open() const { return body_->room_.clients.load(); }

void Sql::stop() {
  Body& b = *body_;
  if (!b.runs_) return;
  b.runs_ = false;
  if (b.warmer_) b.warmer_->stop();
  if (b.listener_) stop_accepting();
  for (auto& part : b.room_.parts_) part->group.stop_and_join();
  if (b.room_.results) b.room_.results->stop();
  b.workers_.each([&](net::Worker& worker) { b.upkeep_[worker.index()].reset(); });
  b.room_.stop_watching();
  for (Account* account : b.room_.accounts()) {
    for (std::size_t i = 0; i < account->pools(); ++i) account->pool(i).stop();
  }
}

std::vector<PoolReport> Sql::pools() const {
  std::vector<PoolReport> all;
  for (Account* account : body_->room_.accounts()) {
    const auto times = account->query_time.values();
    all.push_back({.database = account->database().name,
                   .user = account->user(),
                   .server = account->pool().route().target.address(),
                   .pool = account->pool().status(),
                   .watch = account->pool().watch(),
                   .queries = account->queries.total(),
                   .transactions = account->transactions.total(),
                   .errors = account->errors.total(),
                   .mean_ms = milliseconds(times.mean()),
                   .p50_ms = milliseconds(times.quantile(0.5)),
                   .p95_ms = milliseconds(times.quantile(0.95)),
                   .p99_ms = milliseconds(times.quantile(0.99))});
  }
  return all;
}

std::vector<PinReport> Sql::pins() const {
  std::vector<PinReport> all;
  if (!body_->runs_) return all;
  for (const ClientStatus& each : all_clients(body_->room_)) {
    if (each.pins != 0)
      all.push_back({each.database, each.user, each.address, describe_pins(each.pins),
                     each.server_pid, each.pinned});
  }
  return all;
}

std::vector<std::string> Sql::databases() const {
  std::vector<std::string> all;
  for (const auto& [name, database] : body_->room_.databases()) all.push_back(name);
  return all;
}

Result<postgres::Rows> Sql::ask(const std::string& database, std::string query) const {
  Room& room = body_->room_;
  const Database* there = room.database(database);
  if (there == nullptr || !body_->runs_)
    return fail(Errc::invalid, "no such database: " + database);
  const std::string& owner = there->route.target.user;
  auto account = room.account(*there, owner, *room.secret(there, owner), std::nullopt);
  if (!account) return pass(account);
  auto work =
      [query = std::move(query)](postgres::Server& server) -> net::Task<Result<postgres::Rows>> {
    return postgres::ask(server, query, Clock::now() + kOwnAnswer);
  };
  return body_->with_server<postgres::Rows>((*account)->pool(), After::given_back, std::move(work));
}

Result<Sql::Explained> Sql::explain(std::uint64_t id) const {
  const auto shape = query(id);
  if (!shape) return fail(Errc::not_found, "no such query is remembered");
  const auto accounts = body_->room_.accounts();
  const auto its = std::ranges::find_if(accounts, [&](const Account* each) {
    return each->database().name == shape->database && each->user() == shape->user;
  });
  if (its == accounts.end()) return fail(Errc::not_found, "its database is not known any more");
  const bool whole = body_->room_.options().samples == Samples::values;
  const auto kept = whole ? sample(id) : std::nullopt;
  if (!kept && shape->cut)
    return fail(
        Errc::conflict,
        "its text is too long to be kept as a whole; sql.samples = \"values\" keeps statements");
  auto request = kept ? plan_of(*kept) : plan_of_shape(shape->query);
  if (!request) return pass(request);
  postgres::Pool& pool = (*its)->pool();
  const postgres::PoolStatus now = pool.status();
  if (now.idle == 0 && now.open >= now.limit)
    return fail(Errc::overloaded, "all connections of its pool are in use");
  const bool generic = request->generic;
  auto work =
      [request = std::move(*request)](postgres::Server& server) -> net::Task<Result<std::string>> {
    return sql::explain(server, request);
  };
  auto plan = body_->with_server<std::string>(pool, After::closed, std::move(work));
  if (!plan) return pass(plan);
  return Explained{.plan = std::move(*plan), .generic = generic};
}

std::vector<ReplicaReport> Sql::replicas() const {
  std::vector<ReplicaReport> all;
  for (const auto& [name, database] : body_->room_.databases()) {
    if (database.cluster->alone()) continue;
    for (ServerStatus& server : database.cluster->status())
      all.push_back({name, std::move(server)});
  }
  return all;
}

Result<bool> Sql::warm() const {
  if (!body_->warmer_) return fail(Errc::not_found, "no queries are listed in [[sql.warm]]");
  if (!body_->runs_) return fail(Errc::unavailable, "the proxy is stopping");
  return body_->warmer_->begin();
}

CacheWarmStatus Sql::warm_status() const {
  return body_->warmer_ ? body_->warmer_->status() : CacheWarmStatus{};
}

CacheReport Sql::cache(std::size_t most) const {
  return body_->runs_ ? cache_report(body_->room_, most) : CacheReport{};
}

Sql::Queries Sql::queries(Order order, std::size_t most) const {
  std::unordered_map<std::uint64_t, ShapeReport> shapes;
  Queries found;
  found.limit = Insight::kMostShapes;
  if (body_->runs_) {
    for (const auto& part : body_->room_.parts_) {
      part->insight.snapshot(shapes);
      found.forgotten += part->insight.forgotten();
    }
  }
  found.all = shapes.size();
  for (auto& [id, shape] : shapes) found.first.push_back(std::move(shape));
  const auto rank = [order](const ShapeReport& each) -> double {
    switch (order) {
      case Order::total: return seconds(each.total);
      case Order::mean: return seconds(each.mean());
      case Order::calls: return static_cast<double>(each.calls);
      case Order::errors: return static_cast<double>(each.errors);
      case Order::rows: return static_cast<double>(each.rows);
      case Order::wait: return seconds(each.waited);
    }
    return 0;
  };
  std::ranges::sort(found.first, std::ranges::greater{}, rank);
  if (found.first.size() > most) found.first.resize(most);
  return found;
}

std::optional<ShapeReport> Sql::query(std::uint64_t id) const {
  std::unordered_map<std::uint64_t, ShapeReport> shapes;
  if (!body_->runs_) return std::nullopt;
  for (const auto& part : body_->room_.parts_) part->insight.snapshot(shapes);
  const auto found = shapes.find(id);
  return found == shapes.end() ? std::nullopt : std::optional(std::move(found->second));
}

// The slowest of all workers'.
std::optional<Sample> Sql::sample(std::uint64_t id) const {
  std::optional<Sample> slowest;
  if (!body_->runs_) return slowest;
  for (const auto& part : body_->room_.parts_) {
    auto one = part->insight.sample(id);
    if (one && (!slowest || one->time > slowest->time)) slowest = std::move(one);
  }
  return slowest;
}

std::vector<net::HealthReport> Sql::health() const {
  if (!body_->runs_) return {};
  std::vector<net::HealthReport> reports;
  for (Account* account : body_->room_.accounts()) {
    const postgres::PoolStatus pool = account->pool().status();
    if (pool.last_error.empty()) continue;
    reports.push_back(
        {"database",
         pool.open > 0 ? net::HealthReport::State::degraded : net::HealthReport::State::failed,
         fmt::format("{}/{}: {}", account->database().name, account->user(), pool.last_error)});
  }
  for (const auto& [name, database] : body_->room_.databases()) {
    for (const std::string& address : database.cluster->fenced())
      reports.push_back(
          {"database", net::HealthReport::State::degraded,
           fmt::format("{}: {} runs on as a primary beside another one, and is fenced", name,
                       address)});
  }
  if (reports.empty()) reports.push_back({"database", net::HealthReport::State::ok, ""});
  return reports;
}

Result<> validate(const std::shared_ptr<const SqlOptions>& options) {
  net::Workers workers(1);
  net::Resolver resolver;
  metrics::Registry registry(1);
  link::Link link;
  Room room(workers, resolver, registry, link);
  if (auto at = endpoint_of(options->listen); !at) return pass(at, "sql.listen");
  return room.configure(options);
}

}  // namespace headroom::sql
