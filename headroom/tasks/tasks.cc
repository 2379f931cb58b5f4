#include "headroom/tasks/tasks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/net/tls.h"
#include "headroom/tasks/metrics.h"
#include "headroom/tasks/session.h"
#include "headroom/tasks/sqlite_store.h"

namespace headroom::tasks {

// What the door's connections share; made by start().
struct Tasks::Shared {
  std::shared_ptr<const net::TlsServer> tls;
  LogIns log_ins;
  std::unique_ptr<SessionShared> sessions;
  std::atomic<std::uint32_t> open{0};
  std::atomic<std::uint64_t> commands{0};
};

// What lives on one worker.
class Tasks::Part {
 public:
  Part(net::Worker& worker, Shared& shared, const TasksOptions& options)
      : accepting(worker),
        connections(worker),
        cells(shared.sessions->registry, worker.index()),
        shared_(shared),
        options_(options) {}

  void accept(net::Listener& listener) {
    auto task = [this, &listener] {
      return listener.accept(accepting,
                             [this](net::Listener::Accepted accepted) { take(accepted); });
    };
    HR_ASSERT(accepting.spawn(std::move(task)));
  }

  [[nodiscard]] net::Worker& worker() const { return accepting.worker(); }

  net::TaskGroup accepting;
  net::TaskGroup connections;
  SessionCells cells;

 private:
  void take(net::Listener::Accepted accepted) {
    if (shared_.open.load(std::memory_order_relaxed) >= options_.connections_limit) {
      cells.refused_limit();
      ::close(accepted.fd);
      return;
    }
    auto task = [this, fd = accepted.fd, peer = accepted.peer]() -> net::Task<> {
      shared_.open.fetch_add(1, std::memory_order_relaxed);
      {
        Session session(*shared_.sessions, cells, connections, fd, peer);
        co_await session.run();
      }
      shared_.open.fetch_sub(1, std::memory_order_relaxed);
    };
    if (!connections.spawn(std::move(task))) ::close(accepted.fd);
  }

  Shared& shared_;
  const TasksOptions& options_;
};

std::optional<std::string> warning_of_open_door(const TasksOptions& options,
                                                const net::Endpoint& at) {
  const bool asks = !options.password.empty() || !options.users.empty();
  if (asks || at.ip().is_loopback()) return std::nullopt;
  return fmt::format(
      "anybody who reaches {} may push, work and flush jobs: set tasks.password or tasks.users, or "
      "listen on loopback",
      at.to_string());
}

Tasks::Tasks(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
             const TasksOptions& options)
    : workers_(workers),
      resolver_(resolver),
      registry_(registry),
      options_(options),
      shared_(std::make_unique<Shared>()) {}

Tasks::~Tasks() { stop(); }

Result<> Tasks::open(const net::Endpoint& at, std::vector<int> inherited) {
  if (!options_.tls.cert.empty()) {
    const auto keys = std::make_shared<const net::TlsTicketKeys>(net::TlsTicketKeys::fresh());
    auto tls =
        net::TlsServer::make({.certificates = {{options_.tls.cert, options_.tls.key}}, .alpn = {}},
                             workers_.size(), keys);
    if (!tls) return pass(tls, "tasks.tls");
    shared_->tls = std::move(*tls);
  }
  auto listener = net::Listener::open(at, workers_.size(), std::move(inherited));
  if (!listener) return pass(listener, "tasks");
  listener_ = std::make_unique<net::Listener>(std::move(*listener));
  if (const auto warning = warning_of_open_door(options_, listener_->endpoint()))
    log::warn("tasks", "{}", *warning);
  return {};
}

Result<std::unique_ptr<Engine>> Tasks::open_engine(const std::filesystem::path& path) {
  auto store = SqliteStore::open(path, SqliteStore::Copies::beside);
  if (!store) return pass(store);
  auto engine = std::make_unique<Engine>(workers_, registry_, std::move(*store), options_, spans_);
  if (auto started = engine->start(); !started) return pass(started);
  return engine;
}

Result<> Tasks::start(const std::filesystem::path& path) {
  auto engine = open_engine(path);
  Result<std::unique_ptr<Push>> push;
  if (engine) push = Push::make(**engine, workers_, resolver_, options_.push);
  if (engine && !push) engine = pass(push);
  {
    const std::lock_guard lock(trouble_mutex_);
    start_trouble_.reset();
    if (!engine) start_trouble_ = engine.error().message;
  }
  if (!engine) return pass(engine);
  engine_ = std::move(*engine);
  push_ = std::move(*push);
  shared_->sessions = std::make_unique<SessionShared>(SessionShared{.engine = *engine_,
                                                                    .options = options_,
                                                                    .log_ins = shared_->log_ins,
                                                                    .tls = shared_->tls,
                                                                    .started = wall_now(),
                                                                    .registry = registry_,
                                                                    .commands = shared_->commands});
  make_gauges();
  parts_.resize(workers_.size());
  workers_.each([this](net::Worker& worker) {
    parts_[worker.index()] = std::make_unique<Part>(worker, *shared_, options_);
    parts_[worker.index()]->accept(*listener_);
  });
  push_->start();
  std::vector<Chore> chores = chores_wanted_;
  chores.push_back(check_of_store(path.string()));
  chores_ = std::make_unique<Chores>(*engine_, workers_, std::move(chores));
  if (auto begun = chores_->start(); !begun)
    log::warn("tasks", "maintenance is not done until the next start: {}", begun.error().message);
  serves_ = true;
  return {};
}

std::string Tasks::address() const { return listener_ ? listener_->endpoint().to_string() : ""; }

std::span<const int> Tasks::sockets() const {
  return listener_ ? listener_->sockets() : std::span<const int>{};
}

void Tasks::deliver_no_more() {
  if (push_) push_->fetch_no_more();
}

void Tasks::deliver_again() {
  if (push_) push_->fetch_again();
}

std::size_t Tasks::delivering() const { return push_ ? push_->running() : 0; }

void Tasks::stop(Sockets sockets) {
  for (auto& part : parts_) part->accepting.stop_and_join();
  if (listener_) {
    if (sockets == Sockets::handed_over) listener_->keep_path();
    listener_->close();
  }
  if (engine_) engine_->stop_waiting();
  if (push_) push_->stop();
  if (chores_) chores_->stop();
  shared_->log_ins.end();
  for (auto& part : parts_) part->connections.stop_and_join();
  for (auto& part : parts_) {
    workers_[part->worker().index()].run_and_wait([&part] { part.reset(); });
  }
  parts_.clear();
  gauges_.clear();
  if (engine_) engine_->stop();
}

BoardStatus Tasks::status() const { return serves_ ? engine_->last_status() : BoardStatus{}; }

void Tasks::make_gauges() {
  const auto add = [this](const Family& family, metrics::Labels labels,
                          std::function<double(const BoardStatus&)> value) {
    gauges_.push_back(registry_.gauge(
        family, std::move(labels), [this, value = std::move(value)] { return value(status()); }));
  };
  const auto count = [](std::uint64_t n) { return static_cast<double>(n); };
  add(kJobs, {"waiting"}, [=](const BoardStatus& s) {
    std::uint64_t waiting = 0;
    for (const QueueStatus& queue : s.queues) waiting += queue.waiting;
    return count(waiting);
  });
  add(kJobs, {"running"}, [=](const BoardStatus& s) { return count(s.running); });
  add(kJobs, {"scheduled"}, [=](const BoardStatus& s) { return count(s.scheduled); });
  add(kJobs, {"retrying"}, [=](const BoardStatus& s) { return count(s.retries); });
  add(kJobs, {"dead"}, [=](const BoardStatus& s) { return count(s.dead); });
  add(kWorkers, {}, [=](const BoardStatus& s) { return count(s.workers.size()); });
  add(kHeldBytes, {}, [=](const BoardStatus& s) { return count(s.bytes_held); });
}

std::optional<std::string> Tasks::trouble() const {
  if (serves_) return engine_->trouble();
  const std::lock_guard lock(trouble_mutex_);
  return start_trouble_;
}

std::vector<net::HealthReport> Tasks::health() const {
  using State = net::HealthReport::State;
  const auto wrong = trouble();
  if (!wrong) return {{"tasks", State::ok, ""}};
  return {{"tasks", State::degraded, "the job store: " + *wrong}};
}

}  // namespace headroom::tasks
