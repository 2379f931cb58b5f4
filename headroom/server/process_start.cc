#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "headroom/auth/crypto.h"
#include "headroom/base/log.h"
#include "headroom/server/alerts_api.h"
#include "headroom/server/cache_api.h"
#include "headroom/server/ceilings.h"
#include "headroom/server/code_pages.h"
#include "headroom/server/database_api.h"
#include "headroom/server/process.h"
#include "headroom/server/realtime_api.h"
#include "headroom/server/seeds.h"
#include "headroom/server/session_key.h"
#include "headroom/server/sql_api.h"
#include "headroom/server/supervisor.h"
#include "headroom/server/tasks_api.h"
#include "headroom/server/trends_api.h"
#include "headroom/server/warm_api.h"

namespace headroom::server {

namespace {

// For the thread that makes scrapes: where processors are short, who serves comes first. Nice alone is not enough from Linux 6.6 on, where who
// runs keeps the processor for a slice, whoever wakes; but (from 6.12 on) from those whose slice is the longer it is taken at once.
constexpr int kBehind = 5;
constexpr int kLast = 19;
constexpr Duration kLongSlice = 100ms;  // the longest there is

// As sched_setattr(2) takes it; the header that has it does not go with <sched.h>.
struct SchedAttr {
  std::uint32_t size = sizeof(SchedAttr);
  std::uint32_t policy = SCHED_OTHER;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = static_cast<std::uint64_t>(kLongSlice.count());  // the slice
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};
static_assert(sizeof(SchedAttr) == 48);

void stand_back() {
  const auto self = static_cast<id_t>(::gettid());
  const int nice = std::min(::getpriority(PRIO_PROCESS, self) + kBehind, kLast);
  const SchedAttr behind{.nice = nice};
  if (::syscall(SYS_sched_setattr, 0, &behind, 0U) != 0)  // a sandbox may forbid it
    (void)::setpriority(PRIO_PROCESS, self, nice);
}

}  // namespace

Result<> Process::start() {
  reading_.submit_always(stand_back);
  tokens_.configure(std::move(keys_));
  std::latch tokens_loaded(1);
  control_.submit_always([&] {
    tokens_.refresh();
    tokens_loaded.count_down();
  });
  auto edge_opened = open_edge();
  tokens_loaded.wait();
  if (!edge_opened) return edge_opened;
  if (auto opened = open_tasks(); !opened) return opened;
  if (auto opened = open_sql(); !opened) return opened;
  if (auto opened = open_admin(); !opened) return opened;
  close_unused_doors();
  const bool taken = takeover_.has_value();
  if (taken) {
    auto yielded = takeover_->ready(signals_, [this] { return told_to_end(); });
    if (!yielded) return yielded;
    takeover_.reset();
    log::info("server", "take-over: done");
  }
  log::change(log::Level::info, "server", "deploy",
              fmt::format("Headroom {} has {}", kVersion, taken ? "taken over" : "started"));
  start_tasks();  // the server before has let go of the job store by now
  open_trends();  // and of the trends
  open_exporter(settings_->get<monitor::MonitorOptions>().otlp);
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
    for (const std::string& path : database_seed_paths()) edge_.host(path, api_.on_edge());
    for (const std::string& path : trends_seed_paths()) edge_.host(path, api_.on_edge());
    for (const std::string& path : seed_paths()) edge_.host(path, api_.on_edge());
  }
  edge_.tie_to(link_);
  if (auto kept = keep_sessions(); !kept) return kept;
  edge_.explain_to([this](std::string_view token, const IpAddress& from, std::size_t worker) {
    return api_.is_operator(token, from, worker);
  });
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

// Where reads may go to replicas, browsers must be told apart.
Result<> Process::keep_sessions() {
  const auto& session = settings_->get<edge::EdgeOptions>().session;
  const auto& sql = settings_->get<sql::SqlOptions>();
  if (!session.enabled || !sql.enabled || !sql.has_replicas()) return {};
  auto signer = session_signer(session.keys, state_.path());
  if (!signer) return pass(signer, "edge.session.keys");
  edge_.keep_sessions(std::move(*signer), session.cookie);
  return {};
}

Result<> Process::open_sql() {
  const auto options = part_of<sql::SqlOptions>(settings_);
  if (!options->enabled) return {};
  if (!options->configured()) {
    log::announce("headroom: sql does not listen: no server is given (--postgres URL)");
    return {};
  }
  if (settings_->get<edge::EdgeOptions>().cache.sql_tags) sql_.tag_pages();
  sql_.share_limits((state_.path() / "sql.connections").string());
  const auth::Digest mock = auth::hmac_sha256(own_key(state_.path()), "logins of nobody");
  sql_.mock_with(std::string(reinterpret_cast<const char*>(mock.data()), mock.size()));
  auto doors = inherited("sql");
  auto started =
      sql_.start(options, doors.empty() ? std::vector<int>{} : std::move(doors[0].sockets));
  sql_runs_ = started.has_value();
  return started;
}

// The edge hosts it; what it takes there are only its apps' own requests.
Result<> Process::open_hub() {
  const auto& options = settings_->get<realtime::RealtimeOptions>();
  if (!options.enabled) return {};
  if (auto started = hub_.emplace(workers_, resolver_, registry_).start(options); !started)
    return fail(Errc::invalid, started.error().message);
  using realtime::Hub;
  const auto seeds =
      settings_->get<AdminOptions>().on_edge ? Hub::SeedPaths::yes : Hub::SeedPaths::no;
  for (const auto& [prefix, service] : hub_->hosting(seeds)) edge_.host(prefix, service);
  for (edge::Door& relay : inherited("realtime")) {
    for (const int fd : std::exchange(relay.sockets, {})) hub_->lead(fd);
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
  if (!started && !tried)
    log::error("server", "the task server waits for its store: {}", started.error().message);
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

// Trends that cannot be kept now are tried again with each sample, and keep nobody from serving.
void Process::open_trends() {
  if (!trends_) return;
  auto opened = run_on(trending_, [this] { return trends_->open(state_.path() / "trends.db"); });
  if (!opened) log::error("server", "trends: {}", opened.error().message);
  auto watching = run_on(trending_, [this] { return alerts_->open(state_.path() / "alerts.db"); });
  if (!watching) log::error("server", "alerts, trying again: {}", watching.error().message);
  open_alert_sender(settings_->get<monitor::MonitorOptions>().alerting);
}

// Instead of the one before. Also where alerts are off: who was told that one fires hears that it does no longer.
void Process::open_alert_sender(const monitor::AlertingOptions& options) {
  alert_sender_.reset();
  if (options.webhook.empty()) return;
  auto sender =
      AlertSender::start(workers_[0], resolver_, trending_, *alerts_, options, workers_.size());
  if (!sender) return log::error("server", "alerts: {}", sender.error().message);
  alert_sender_ = std::move(*sender);
}

// On the control thread.
void Process::configure_alerts(const monitor::AlertingOptions& options) {
  if (!alerts_ || trends_closed_) return;
  run_on(trending_, [&] { return alerts_->configure(options), true; });
  open_alert_sender(options);
}

// Instead of the one before.
void Process::open_exporter(const monitor::OtlpOptions& options) {
  exporter_.reset();
  if (options.endpoint.empty()) return;
  auto made = monitor::Exporter::start({.worker = workers_[0],
                                        .resolver = resolver_,
                                        .thread = trending_,
                                        .spans = link_.spans,
                                        .registry = registry_,
                                        .own = [this] { return own_samples(sources_); },
                                        .workers = workers_.size(),
                                        .version = std::string(kVersion)},
                                       options);
  if (!made) return log::error("server", "{}", made.error().message);
  exporter_ = std::move(*made);
}

void Process::close_trends() {
  run_on(control_, [this] {  // where reloads replace the sender
    alert_sender_.reset();
    return trends_closed_ = true;
  });
  if (alerts_) run_on(trending_, [this] { return alerts_->close(), true; });
  if (trends_) run_on(trending_, [this] { return trends_->close(unix_seconds()), true; });
}

}  // namespace headroom::server
