#include "headroom/server/serve.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <latch>
#include <mutex>
#include <thread>

#include "headroom/base/log.h"
#include "headroom/edge/edge.h"
#include "headroom/link/link.h"
#include "headroom/monitor/options.h"
#include "headroom/monitor/process.h"
#include "headroom/monitor/rates.h"
#include "headroom/monitor/system.h"
#include "headroom/monitor/trends.h"
#include "headroom/monitor/vitals.h"
#include "headroom/net/offload.h"
#include "headroom/net/resolver.h"
#include "headroom/net/worker.h"
#include "headroom/realtime/hub.h"
#include "headroom/server/admin.h"
#include "headroom/server/admin_door.h"
#include "headroom/server/alerts_api.h"
#include "headroom/server/ceilings.h"
#include "headroom/server/api.h"
#include "headroom/server/cache_api.h"
#include "headroom/server/cache_entries.h"
#include "headroom/server/cdn_api.h"
#include "headroom/server/code_pages.h"
#include "headroom/server/live.h"
#include "headroom/server/options.h"
#include "headroom/server/realtime_api.h"
#include "headroom/server/seeds.h"
#include "headroom/server/sources.h"
#include "headroom/server/sql_api.h"
#include "headroom/server/state_dir.h"
#include "headroom/server/supervisor.h"
#include "headroom/server/takeover.h"
#include "headroom/server/tasks_api.h"
#include "headroom/server/tokens.h"
#include "headroom/server/trends_api.h"
#include "headroom/server/warm_api.h"
#include "headroom/sql/sql.h"
#include "headroom/tasks/tasks.h"

namespace headroom::server {
namespace {

constexpr std::string_view kTicketKeys = "edge.tls.ticket_keys";
constexpr std::string_view kRelay = "realtime.relay";
constexpr Duration kTick = 1s;
constexpr Duration kLook = 20ms;  // how often a drain looks whether all is done

using SettingsPointer = std::shared_ptr<const config::Settings>;

bool has_app(const edge::EdgeOptions& options) {
  return !options.app.empty() || !options.upstreams.empty();
}

template <class Options>
std::shared_ptr<const Options> part_of(const SettingsPointer& settings) {
  return {settings, &settings->get<Options>()};
}

std::size_t worker_count(const ServerOptions& options) {
  return options.workers == 0 ? net::usable_cpus() : options.workers;
}

// Runs `work` on a pool's thread and waits for it; from main's thread.
template <class F>
auto run_on(net::Offload& pool, F work) {
  std::optional<std::invoke_result_t<F>> answer;
  std::latch done(1);
  const bool accepted = pool.submit([&] {
    answer = work();
    done.count_down();
  });
  if (!accepted) {
    answer = work();
  } else {
    done.wait();
  }
  return std::move(*answer);
}

class Process {
 public:
  Process(const ServeRequest& request, SettingsPointer settings, AdminKeys keys, StateDir state,
          int signals);

  [[nodiscard]] int run();

 private:
  enum class End : std::uint8_t { shutdown, handed_over };

  [[nodiscard]] Sources sources();
  [[nodiscard]] std::vector<monitor::SampleFamily> own_samples();
  [[nodiscard]] cache::Cache* open_cache();
  [[nodiscard]] Result<> take_possession();
  [[nodiscard]] Result<> start();
  [[nodiscard]] Result<> open_edge();
  [[nodiscard]] Result<> open_hub();
  [[nodiscard]] Result<> open_sql();
  [[nodiscard]] Result<> open_admin();
  [[nodiscard]] Result<> open_tasks();
  void start_tasks();
  void open_trends();
  void close_trends();
  void open_control();
  void close_unused_doors();
  void announce() const;
  [[nodiscard]] End wait();
  void tick();
  void hand_over();
  void finish(End end);
  void drain(End end);
  // True when a second signal asks for haste.
  [[nodiscard]] bool hasty_wait(Duration time);
  [[nodiscard]] std::optional<int> next_signal();
  [[nodiscard]] Result<std::vector<config::Change>> reload();
  [[nodiscard]] std::vector<edge::Door> inherited(std::string_view room);
  [[nodiscard]] const ServerOptions& server_options() const {
    return settings_->get<ServerOptions>();
  }

  const ServeRequest request_;
  SettingsPointer settings_;  // replaced by the control thread; others look on while it rests
  AdminKeys keys_;
  StateDir state_;
  const int signals_;
  net::Workers workers_;
  metrics::Registry registry_;
  std::shared_ptr<const limit::Rules> limits_;
  net::Resolver resolver_;
  std::optional<cache::Cache> cache_;
  link::Link link_;
  std::optional<realtime::Hub> hub_;
  edge::Edge edge_;
  std::optional<tasks::Tasks> tasks_;
  sql::Sql sql_;
  monitor::Vitals vitals_{workers_};
  monitor::Rates rates_;
  monitor::System system_;
  std::mutex system_mutex_;  // of its last reading, copied once a second
  monitor::SystemUse system_use_;
  monitor::PriceOptions prices_;  // under the same mutex
  std::optional<monitor::Trends> trends_;
  std::optional<monitor::Alerts> alerts_;
  std::atomic<std::uint64_t> most_connections_{0};
  Sources sources_;
  net::Offload reading_{"reading", 1};
  net::Offload control_{"control", 1};
  net::Offload trending_{"trends", 1};
  Api api_;
  Live live_{sources_};
  std::unique_ptr<AlertSender> alert_sender_;
  Tokens tokens_;
  std::unique_ptr<AdminDoor> admin_;
  std::optional<TakeoverDoor> control_door_;
  std::optional<Takeover> takeover_;
  Handover handover_;
  std::atomic<bool> metrics_enabled_;
  bool edge_runs_ = false;
  bool sql_runs_ = false;
};

Process::Process(const ServeRequest& request, SettingsPointer settings, AdminKeys keys,
                 StateDir state, int signals)
    : request_(request),
      settings_(std::move(settings)),
      keys_(std::move(keys)),
      state_(std::move(state)),
      signals_(signals),
      workers_(worker_count(server_options())),
      registry_(workers_.size()),
      edge_(workers_, resolver_, registry_, open_cache()),
      sql_(workers_, resolver_, registry_, link_, cache_ ? &*cache_ : nullptr),
      system_({.disk = state_.path()}),
      sources_(sources()),
      api_(workers_, reading_, control_, registry_),
      tokens_(api_, tokens_path(state_.path())),
      metrics_enabled_(settings_->get<monitor::MonitorOptions>().enabled) {
  vitals_.add(edge_);
  const auto& tasks = settings_->get<tasks::TasksOptions>();
  if (tasks.enabled) vitals_.add(tasks_.emplace(workers_, resolver_, registry_, tasks));
  if (tasks_ && cache_) {
    auto clean = [this]() -> Result<std::string> { return fmt::format("{} values that were over have been taken out of the cache", cache_->clean_up()); };
    tasks_->add_chore({.name = "cache-clean-up", .cron = "7 * * * *", .work = std::move(clean)});
  }
  vitals_.add(sql_);
  vitals_.add(tokens_);
  if (const auto& trends = settings_->get<monitor::MonitorOptions>().trends; trends.enabled) vitals_.add(trends_.emplace(registry_, [this] { return own_samples(); }, trends));
  if (const auto& alerting = settings_->get<monitor::MonitorOptions>().alerting; trends_ && alerting.enabled) alerts_.emplace(*trends_, alerting);
  api_.give_trends(trending_);
  add_admin_endpoints(api_, sources_);
  add_seed_endpoints(api_, sources_);
  add_cache_endpoints(api_, sources_);
  add_sql_endpoints(api_, sources_);
  add_realtime_endpoints(api_, sources_);
  add_cache_entries(api_, sources_);
  add_warm_endpoints(api_, sources_);
  add_tasks_endpoints(api_, sources_);
  add_cdn_endpoints(api_, sources_);
  add_trends_endpoints(api_, sources_);
  live_.add_endpoints(api_);
  add_alert_endpoints(api_, sources_);
  most_connections_ = settings_->get<edge::EdgeOptions>().max_connections;
  prices_ = settings_->get<monitor::MonitorOptions>().prices;
}

// Before the workers start.
cache::Cache* Process::open_cache() {
  const auto& options = settings_->get<cache::CacheOptions>();
  if (!options.enabled) return nullptr;
  const cache::Cache::Place place{.directory = state_.path() / "cache", .stamp = edge::kPageFormat};
  return &cache_.emplace(workers_, registry_, options, place);
}

Sources Process::sources() {
  return {
      .vitals = vitals_,
      .registry = registry_,
      .summary = [this] { return edge_.summary(); },
      .routes = [this] { return edge_.routes(); },
      .upstreams = [this] { return edge_.upstreams(); },
      .set_draining = [this](std::string_view group, std::string_view server,
                             bool draining) { return edge_.set_draining(group, server, draining); },
      .limits =
          [this](std::size_t top) {
            const auto rules = edge_.limits();
            return rules ? rules->snapshot(Clock::now(), top) : std::vector<limit::RuleStatus>{};
          },
      .cache = [this] { return cache_ ? &*cache_ : nullptr; },
      .warm = [this] { return edge_.warm(); },
      .tasks = [this] { return tasks_ ? &*tasks_ : nullptr; },
      .warm_status = [this] { return edge_.warm_status(); },
      .cdn = [this] { return edge_.cdn_status(); },
      .hub = [this] { return hub_ ? &*hub_ : nullptr; },
      .sql = [this] { return sql_runs_ ? &sql_ : nullptr; },
      .trends = [this] { return trends_ ? &*trends_ : nullptr; },
      .system = [this] { const std::scoped_lock lock(system_mutex_); return system_use_; },
      .prices =
          [this] {
            const std::scoped_lock lock(system_mutex_);
            return prices_;
          },
      .most_connections = [this] { return most_connections_.load(); },
      .alerts = [this] { return alerts_ ? &*alerts_ : nullptr; },
      .rates = rates_,
      .metrics_enabled = [this] { return metrics_enabled_.load(); },
      .settings = [this] { return settings_; },
      .reload = [this] { return reload(); },
      .tokens = [this] { return tokens_.store(); },
      .tokens_changed = [this] { tokens_.refresh(); }};
}

int Process::run() {
  if (auto owned = take_possession(); !owned) {
    log::error("server", "{}", owned.error().message);
    return 1;
  }
  workers_.start();
  auto started = start();
  if (!started) {
    log::error("server", "{}", started.error().message);
    finish(End::handed_over);
    return started.error().code == Errc::invalid ? 2 : 1;
  }
  finish(wait());
  return 0;
}

// The state directory is ours: by its lock, or from the server that holds it.
Result<> Process::take_possession() {
  if (request_.take_over == TakeOver::yes) {
    auto begun = Takeover::begin(state_);
    if (!begun) return pass(begun);
    if (*begun) takeover_.emplace(std::move(**begun));
    if (!takeover_)
      log::info("server", "take-over: no server runs on {}; starting alone",
                state_.path().string());
  }
  if (!takeover_) return state_.lock();
  auto received = takeover_->receive();
  if (!received) return pass(received);
  handover_ = std::move(*received);
  return state_.adopt_lock(handover_.lock);
}

Result<> Process::start() {
  tokens_.configure(std::move(keys_));
  std::latch tokens_loaded(1);
  const bool loading = control_.submit([&] {
    tokens_.refresh();
    tokens_loaded.count_down();
  });
  auto edge_opened = open_edge();
  if (loading) tokens_loaded.wait();
  if (!edge_opened) return edge_opened;
  if (auto opened = open_tasks(); !opened) return opened;
  if (auto opened = open_sql(); !opened) return opened;
  if (auto opened = open_admin(); !opened) return opened;
  close_unused_doors();
  if (takeover_) {
    auto yielded = takeover_->ready();
    if (!yielded) return yielded;
    takeover_.reset();
    log::info("server", "take-over: done");
  }
  start_tasks();  // the server before has let go of the job store by now
  open_trends();  // and of the trends
  open_control();
  tick();  // the first sample: rates count from here
  vitals_.enter(monitor::Stage::serving);
  announce();
  forget_code_pages();
  tell_supervisor(fmt::format("READY=1\nMAINPID={}", ::getpid()));
  return {};
}

Result<> Process::open_edge() {
  const auto options = part_of<edge::EdgeOptions>(settings_);
  if (!options->enabled) return {};
  if (!has_app(*options)) {
    log::announce("headroom: edge does not listen: no app is given (--app URL)");
    return {};
  }
  if (auto opened = open_hub(); !opened) return opened;
  if (settings_->get<AdminOptions>().on_edge) {
    for (const std::string& path : realtime_seed_paths()) edge_.host(path, api_.on_edge());
    for (const std::string& path : cache_seed_paths()) edge_.host(path, api_.on_edge());
    for (const std::string& path : warm_seed_paths()) edge_.host(path, api_.on_edge());
    for (const std::string& path : sql_seed_paths()) edge_.host(path, api_.on_edge());
    for (const std::string& path : trends_seed_paths()) edge_.host(path, api_.on_edge());
    for (const std::string& path : seed_paths()) edge_.host(path, api_.on_edge());
  }
  edge_.tie_to(link_);
  edge_.explain_to([this](std::string_view token, const IpAddress& from, std::size_t worker) { return api_.is_operator(token, from, worker); });
  edge::Inherited from_running{.doors = inherited("edge"), .tls_ticket_keys = {}};
  for (const Secret& secret : handover_.secrets) {
    if (secret.name == kTicketKeys) from_running.tls_ticket_keys = secret.value;
  }
  auto limits = limit::Rules::make(settings_->get<limit::LimitOptions>(), nullptr, registry_);
  if (!limits) return fail(Errc::invalid, limits.error().message);
  limits_ = *limits;
  auto started = edge_.start(options, limits_, std::move(from_running));
  edge_runs_ = started.has_value();
  return started;
}

Result<> Process::open_sql() {
  const auto options = part_of<sql::SqlOptions>(settings_);
  if (!options->enabled) return {};
  if (!options->configured()) {
    log::announce("headroom: sql does not listen: no server is given (--postgres URL)");
    return {};
  }
  if (settings_->get<edge::EdgeOptions>().cache.sql_tags) sql_.tag_pages();
  auto doors = inherited("sql");
  auto started = sql_.start(options, doors.empty() ? std::vector<int>{} : std::move(doors[0].sockets));
  sql_runs_ = started.has_value();
  return started;
}

// The edge hosts it; what it takes there are only its apps' own requests.
Result<> Process::open_hub() {
  const auto& options = settings_->get<realtime::RealtimeOptions>();
  if (!options.enabled) return {};
  if (auto started = hub_.emplace(workers_, resolver_, registry_).start(options); !started) return fail(Errc::invalid, started.error().message);
  using realtime::Hub;
  const auto seeds = settings_->get<AdminOptions>().on_edge ? Hub::SeedPaths::yes : Hub::SeedPaths::no;
  for (const auto& [prefix, service] : hub_->hosting(seeds)) edge_.host(prefix, service);
  for (edge::Door& relay : inherited("realtime")) {
    for (const int fd : std::exchange(relay.sockets, {})) hub_->relay(fd);
  }
  return {};
}

Result<> Process::open_tasks() {
  if (!tasks_) return {};
  auto at = endpoint_of(settings_->get<tasks::TasksOptions>().listen);
  if (!at) return pass(at, "tasks.listen");
  auto doors = inherited("tasks");
  return tasks_->open(*at, doors.empty() ? std::vector<int>{} : std::move(doors[0].sockets));
}

// A job store that cannot be opened now (a full disk) keeps nobody else from serving: it is tried again with each tick.
void Process::start_tasks() {
  if (!tasks_ || tasks_->serving()) return;
  const bool tried = tasks_->trouble().has_value();
  auto started = tasks_->start(state_.path() / "tasks.db");
  if (!started && !tried) log::error("server", "the task server waits for its store: {}", started.error().message);
  if (started) log::announce(fmt::format("headroom: tasks listening on {}", tasks_->address()));
}

Result<> Process::open_admin() {
  const AdminOptions& options = settings_->get<AdminOptions>();
  auto doors = inherited("admin");
  if (!options.enabled) return {};
  api_.set_hosts(options.hosts);
  std::vector<int> sockets;
  if (!doors.empty()) sockets = std::move(doors[0].sockets);
  auto opened = AdminDoor::open(workers_[0], api_.on_admin(), options.listen, std::move(sockets));
  if (!opened) return pass(opened);
  admin_ = std::move(*opened);
  return {};
}

// Without it there is no take-over, but all else.
void Process::open_control() {
  auto opened = TakeoverDoor::open(state_);
  if (!opened)
    return log::warn("server", "no take-over from this server: {}", opened.error().message);
  control_door_.emplace(std::move(*opened));
}

// Of sections that no longer listen: connections must not queue where nobody accepts.
void Process::close_unused_doors() {
  for (const edge::Door& door : std::exchange(handover_.doors, {})) {
    for (const int fd : door.sockets) ::close(fd);
  }
}

// The doors of a section and of those below it ("edge", "edge.tls"), taken out of the handover.
std::vector<edge::Door> Process::inherited(std::string_view room) {
  std::vector<edge::Door> mine;
  const std::string below = std::string(room) + ".";
  std::erase_if(handover_.doors, [&](edge::Door& door) {
    if (door.name != room && !door.name.starts_with(below)) return false;
    mine.push_back(std::move(door));
    return true;
  });
  return mine;
}

// The edge announces its doors itself.
void Process::announce() const {
  if (admin_) log::announce(fmt::format("headroom: admin listening on {}", admin_->door().address));
}

Process::End Process::wait() {
  TimePoint next_tick = Clock::now() + kTick;
  for (;;) {
    std::array<pollfd, 4> watched{
        {{.fd = signals_, .events = POLLIN, .revents = 0},
         {.fd = control_door_ ? control_door_->knocking() : -1, .events = POLLIN, .revents = 0},
         {.fd = control_door_ ? control_door_->talking() : -1, .events = POLLIN, .revents = 0},
         {.fd = tokens_.changes(), .events = POLLIN, .revents = 0}}};
    const auto time =
        std::chrono::ceil<std::chrono::milliseconds>(elapsed(Clock::now(), next_tick));
    ::poll(watched.data(), watched.size(), static_cast<int>(time.count()));
    while (const auto number = next_signal()) {
      if (*number != SIGHUP) return End::shutdown;
      (void)control_.submit([this] {
        if (auto done = reload(); !done)
          log::error("server", "reload: nothing changed: {}", done.error().message);
      });
    }
    if (watched[2].revents != 0) {
      auto heard = control_door_->heard();
      if (heard && *heard) return End::handed_over;
      if (!heard)
        log::warn("server", "take-over: the new server has gone ({}); going on",
                  heard.error().message);
    } else if (watched[1].revents != 0) {
      hand_over();
    }
    if (watched[3].revents != 0 && tokens_.changed()) (void)control_.submit([this] { tokens_.refresh(); });
    if (Clock::now() < next_tick) continue;
    tick();
    next_tick = Clock::now() + kTick;
  }
}

std::optional<int> Process::next_signal() {
  signalfd_siginfo info{};
  if (::read(signals_, &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

void Process::tick() {
  if (vitals_.stage() == monitor::Stage::serving) start_tasks();
  if (edge_runs_) edge_.upkeep(Clock::now());
  (void)control_.submit([this] { tokens_.refresh(); });
  (void)reading_.submit([this] {
    const edge::Summary summary = edge_.summary();
    rates_.sample(Clock::now(), {summary.requests, summary.errors});
    if (cache_) cache_->upkeep();
  });
  (void)trending_.submit([this] {
    const monitor::SystemUse& use = system_.read(Clock::now());
    {
      const std::scoped_lock lock(system_mutex_);
      system_use_ = use;
    }
    if (trends_) trends_->sample(unix_seconds());
    if (alerts_) alerts_->tick(unix_seconds());
    live_.refresh();
  });
}

// What no room's registry has: health, this process, the machine. On the trends thread.
std::vector<monitor::SampleFamily> Process::own_samples() {
  auto own = vitals_.samples();
  std::ranges::move(monitor::samples_of(monitor::read_process_use()), std::back_inserter(own));
  std::ranges::move(monitor::samples_of(system_.last()), std::back_inserter(own));
  own.push_back(samples_of(ceilings_of(sources_, edge_.summary())));
  return own;
}

// Trends that cannot be kept now are tried again with each sample, and keep nobody from serving.
void Process::open_trends() {
  if (!trends_) return;
  auto opened = run_on(trending_, [this] { return trends_->open(state_.path() / "trends.db"); });
  if (!opened) log::error("server", "trends: {}", opened.error().message);
  if (!alerts_) return;
  auto watching = run_on(trending_, [this] { return alerts_->open(state_.path() / "alerts.db"); });
  if (!watching) return log::error("server", "alerts: {}", watching.error().message);
  const auto& alerting = settings_->get<monitor::MonitorOptions>().alerting;
  if (alerting.webhook.empty()) return;
  auto sender = AlertSender::start(workers_[0], resolver_, trending_, *alerts_, alerting, workers_.size());
  if (!sender) return log::error("server", "alerts: {}", sender.error().message);
  alert_sender_ = std::move(*sender);
}

void Process::close_trends() {
  alert_sender_.reset();
  if (alerts_) run_on(trending_, [this] { return alerts_->close(), true; });
  if (trends_) run_on(trending_, [this] { return trends_->close(unix_seconds()), true; });
}

void Process::hand_over() {
  Handover what;
  what.lock = state_.descriptor();
  if (edge_runs_) {
    what.doors = edge_.doors();
    if (std::string keys = edge_.tls_ticket_keys(); !keys.empty())
      what.secrets.push_back({std::string(kTicketKeys), std::move(keys)});
  }
  if (sql_runs_) what.doors.push_back({"sql", sql_.address(), sql_.sockets()});
  if (admin_) what.doors.push_back(admin_->door());
  if (tasks_) what.doors.push_back({"tasks", tasks_->address(), {tasks_->sockets().begin(), tasks_->sockets().end()}});
  std::array<int, 2> relay{-1, -1};
  if (hub_ && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, relay.data()) == 0) {
    hub_->relay(relay[0]);
    what.doors.push_back({std::string(kRelay), "", {relay[1]}});
  }
  auto done = control_door_->hand_over(what);
  if (relay[1] >= 0) ::close(relay[1]);
  if (!done) return log::warn("server", "take-over: {}", done.error().message);
  log::info("server", "take-over: a new server has the doors' sockets; going on until it is ready");
}

Result<std::vector<config::Change>> Process::reload() {
  auto loaded = load_settings(request_.settings);
  if (!loaded) return pass(loaded);
  auto keys = admin_keys((*loaded)->get<AdminOptions>());
  if (!keys) return fail(Errc::invalid, keys.error().message);
  if (edge_runs_) {
    const auto options = part_of<edge::EdgeOptions>(*loaded);
    if (!has_app(*options))
      return fail(Errc::invalid, "no app is given any more (edge.app, [[edge.upstreams]])");
    auto limits =
        limit::Rules::make((*loaded)->get<limit::LimitOptions>(), limits_.get(), registry_);
    if (!limits) return fail(Errc::invalid, limits.error().message);
    if (cache_) cache_->configure((*loaded)->get<cache::CacheOptions>());  // routes name its classes
    std::function<void()> renew_hub;
    if (hub_) {
      auto prepared = hub_->prepare((*loaded)->get<realtime::RealtimeOptions>());
      if (!prepared) return pass(prepared);
      renew_hub = std::move(*prepared);
    }
    auto done = edge_.reload(options, *limits);
    if (!done) return pass(done);
    limits_ = std::move(*limits);
    if (renew_hub) renew_hub();
  }
  tokens_.configure(std::move(*keys));
  tokens_.refresh();
  api_.set_hosts((*loaded)->get<AdminOptions>().hosts);
  log::set_level((*loaded)->get<ServerOptions>().log_level);
  metrics_enabled_ = (*loaded)->get<monitor::MonitorOptions>().enabled;
  most_connections_ = (*loaded)->get<edge::EdgeOptions>().max_connections;
  {
    const std::scoped_lock lock(system_mutex_);
    prices_ = (*loaded)->get<monitor::MonitorOptions>().prices;
  }
  auto changes = config::differences(*settings_, **loaded);
  settings_ = std::move(*loaded);
  for (const config::Change& change : changes) {
    log::info("server", "reload: {} = {}{}", change.path, change.after,
              change.reload == config::Reload::live ? "" : " (needs a restart)");
  }
  if (changes.empty()) log::info("server", "reload: nothing has changed");
  return changes;
}

bool Process::hasty_wait(Duration time) {
  pollfd signals{.fd = signals_, .events = POLLIN, .revents = 0};
  ::poll(&signals, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(time).count()));
  while (const auto number = next_signal()) {
    if (*number != SIGHUP) return true;
  }
  return false;
}

void Process::drain(End end) {
  const auto settings = run_on(control_, [this] { return settings_; });
  const auto& options = settings->get<ServerOptions>();
  bool haste = false;
  if (end == End::shutdown) {
    log::info("server", "shutting down: not ready; accepting for {} more",
              config::Value<Duration>::show(options.drain_delay));
    for (const TimePoint due = Clock::now() + options.drain_delay; !haste && Clock::now() < due;) {
      haste = hasty_wait(elapsed(Clock::now(), due));
    }
  }
  const auto doors = end == End::handed_over ? edge::Doors::handed_over : edge::Doors::closed;
  if (edge_runs_) edge_.stop_accepting(doors);
  if (sql_runs_) sql_.stop_accepting(end == End::handed_over ? sql::Sql::Sockets::handed_over : sql::Sql::Sockets::closed);
  if (end == End::handed_over) {
    if (admin_) admin_->stop_accepting(doors);
    if (tasks_) tasks_->stop(tasks::Tasks::Sockets::handed_over);  // the new one opens the job store
    close_trends();  // the new one goes on with them
    control_door_->yield();
    log::info("server", "take-over: the new server accepts; ending what is open");
  }
  if (hub_ && edge_runs_) hub_->drain();
  if (edge_runs_) edge_.drain();
  if (sql_runs_) sql_.drain();
  const auto open = [this] { return (edge_runs_ ? edge_.open() : 0) + (sql_runs_ ? sql_.open() : 0); };
  for (const TimePoint due = Clock::now() + options.shutdown_timeout; !haste && open() > 0 && Clock::now() < due;) {
    haste = hasty_wait(kLook);
  }
  if (const std::size_t left = open(); left > 0)
    log::warn("server", "{} connections are cut off", left);
}

void Process::finish(End end) {
  if (vitals_.stage() == monitor::Stage::serving) {
    vitals_.enter(monitor::Stage::draining);
    tell_supervisor("STOPPING=1");
    drain(end);
  }
  close_trends();
  if (tasks_) tasks_->stop();
  if (edge_runs_) edge_.stop();
  if (sql_runs_) sql_.stop();
  if (admin_) admin_->stop();
  run_on(control_, [] { return true; });  // what was submitted has run
  run_on(reading_, [] { return true; });
  run_on(trending_, [] { return true; });
  if (cache_) cache_->stop();  // nobody purges any more
  if (hub_) hub_->stop();  // nobody asks it any more
  workers_.stop_and_join();
}

}  // namespace

int serve(const ServeRequest& request) {
  const int signals = signals_descriptor();
  raise_descriptor_limit();
  ::umask(077);
  auto settings = load_settings(request.settings);
  if (!settings) {
    log::announce(settings.error().message);
    return 2;
  }
  auto keys = admin_keys((*settings)->get<AdminOptions>());
  if (!keys) {
    log::announce(keys.error().message);
    return 2;
  }
  const auto& options = (*settings)->get<ServerOptions>();
  auto state = StateDir::open(options.state_dir.empty() ? default_state_dir() : options.state_dir);
  if (!state) {
    log::announce("headroom: " + state.error().message);
    return 1;
  }
  log::start(options.log_level);
  int code = 0;
  {
    Process process(request, std::move(*settings), std::move(*keys), std::move(*state), signals);
    code = process.run();
  }
  log::stop();
  return code;
}

}  // namespace headroom::server
