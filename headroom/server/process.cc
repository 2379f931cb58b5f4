#include "headroom/server/process.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "headroom/base/log.h"
#include "headroom/server/admin.h"
#include "headroom/server/alerts_api.h"
#include "headroom/server/audit_api.h"
#include "headroom/server/cache_api.h"
#include "headroom/server/cache_entries.h"
#include "headroom/server/cdn_api.h"
#include "headroom/server/ceilings.h"
#include "headroom/server/database_api.h"
#include "headroom/server/database_chores.h"
#include "headroom/server/objectives.h"
#include "headroom/server/realtime_api.h"
#include "headroom/server/realtime_look.h"
#include "headroom/server/seeds.h"
#include "headroom/server/sql_api.h"
#include "headroom/server/sql_cache_api.h"
#include "headroom/server/tasks_api.h"
#include "headroom/server/trends_api.h"
#include "headroom/server/warm_api.h"

namespace headroom::server {
namespace {

constexpr Duration kTick = 1s;
constexpr double kCpuWeight = 0.1;  // of the newest second: a mean over about ten

std::size_t worker_count(const ServerOptions& options) {
  return options.workers == 0 ? net::usable_cpus() : options.workers;
}

}  // namespace

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
      audit_(audit_path(state_.path())),
      sources_(sources()),
      api_(workers_, reading_, control_, registry_),
      tokens_(api_, tokens_path(state_.path())),
      metrics_enabled_(settings_->get<monitor::MonitorOptions>().enabled) {
  vitals_.add(edge_);
  const auto& tasks = settings_->get<tasks::TasksOptions>();
  if (tasks.enabled) vitals_.add(tasks_.emplace(workers_, resolver_, registry_, tasks));
  if (tasks_) tasks_->trace_to(link_.spans);
  if (tasks_ && cache_) {
    auto clean = [this]() -> Result<std::string> {
      return fmt::format("{} values that were over have been taken out of the cache",
                         cache_->clean_up());
    };
    tasks_->add_chore({.name = "cache-clean-up", .cron = "7 * * * *", .work = std::move(clean)});
  }
  const auto& sql = settings_->get<sql::SqlOptions>();
  if (tasks_ && sql.enabled && (!sql.postgres.empty() || !sql.databases.empty())) {
    const DatabaseChores databases{.sql = [this] { return sql_runs_ ? &sql_ : nullptr; },
                                   .analyze = tasks.analyze};
    for (tasks::Chore& chore : database_chores(databases)) tasks_->add_chore(std::move(chore));
  }
  vitals_.add(sql_);
  vitals_.add(tokens_);
  if (const auto& trends = settings_->get<monitor::MonitorOptions>().trends; trends.enabled)
    vitals_.add(trends_.emplace(registry_, [this] { return own_samples(sources_); }, trends));
  if (trends_) {
    alerts_.emplace(*trends_, settings_->get<monitor::MonitorOptions>().alerting);
    vitals_.add(*alerts_);
  }
  vitals_.add(audit_);
  api_.give_trends(trending_);
  api_.give_audit(audit_);
  add_admin_endpoints(api_, sources_);
  add_seed_endpoints(api_, sources_);
  add_cache_endpoints(api_, sources_);
  add_sql_endpoints(api_, sources_);
  add_database_endpoints(api_, sources_);
  add_sql_cache_endpoints(api_, sources_);
  add_realtime_endpoints(api_, sources_);
  add_realtime_look_endpoints(api_, sources_);
  add_cache_entries(api_, sources_);
  add_warm_endpoints(api_, sources_);
  add_tasks_endpoints(api_, sources_);
  add_cdn_endpoints(api_, sources_);
  add_trends_endpoints(api_, sources_);
  live_.add_endpoints(api_);
  add_alert_endpoints(api_, sources_);
  add_audit_endpoint(api_, sources_);
  add_objective_endpoints(api_, sources_);
  most_connections_ = settings_->get<edge::EdgeOptions>().max_connections;
  prices_ = settings_->get<monitor::MonitorOptions>().prices;
  objectives_ = settings_->get<monitor::MonitorOptions>().objectives;
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
      .system =
          [this] {
            const std::scoped_lock lock(system_mutex_);
            return system_use_;
          },
      .cpu =
          [this] {
            const std::scoped_lock lock(system_mutex_);
            return cpu_;
          },
      .prices =
          [this] {
            const std::scoped_lock lock(system_mutex_);
            return prices_;
          },
      .most_connections = [this] { return most_connections_.load(); },
      .alerts = [this] { return alerts_ && alerts_->enabled() ? &*alerts_ : nullptr; },
      .audit = [this] { return &audit_; },
      .objectives =
          [this] {
            const std::scoped_lock lock(system_mutex_);
            return objectives_;
          },
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
  if (!started && takeover_) leave_doors();
  if (!started && started.error().code == Errc::cancelled) {  // it has served
    log::info("server", "{}", started.error().message);
    drain(End::shutdown);
    finish(End::shutdown);
    return 0;
  }
  if (!started) {
    log::error("server", "{}", started.error().message);
    finish(End::handed_over);
    return started.error().code == Errc::invalid ? 2 : 1;
  }
  finish(wait());
  return abandoned_ ? 1 : 0;
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
      ask_control(reload_asked_, &Process::reload_by_signal);
    }
    if (watched[2].revents != 0) {
      auto heard = control_door_->heard();
      if (heard && *heard) {
        if (const auto end = let_deliveries_end()) return *end;
      }
      if (!heard)
        log::warn("server", "take-over: the new server has gone ({}); going on",
                  heard.error().message);
    } else if (watched[1].revents != 0) {
      hand_over();
    }
    if (watched[3].revents != 0 && tokens_.changed())
      ask_control(refresh_asked_, &Process::refresh_tokens);
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

bool Process::told_to_end() {
  while (const auto number = next_signal()) {
    if (*number != SIGHUP) return true;
    log::warn("server", "reload: not while it starts; ask again once it is ready");
  }
  return false;
}

void Process::ask_control(std::atomic<bool>& asked, void (Process::*act)()) {
  if (asked.exchange(true)) return;
  control_.submit_always([this, &asked, act] {
    asked = false;  // what changes from here on is for the next
    (this->*act)();
  });
}

void Process::reload_by_signal() {
  auto done = reload();
  if (!done) log::error("server", "reload: nothing changed: {}", done.error().message);
  audit_.note({.who = "SIGHUP", .path = "reload", .status = done ? 200U : 400U});
}

void Process::tick() {
  if (vitals_.stage() == monitor::Stage::serving) start_tasks();
  if (edge_runs_) edge_.upkeep(Clock::now());
  ask_control(refresh_asked_, &Process::refresh_tokens);
  ask_control(audit_asked_, &Process::write_audit);
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
      cpu_ += kCpuWeight * (use.cpu_ratio.value_or(0) - cpu_);
    }
    if (trends_) trends_->sample(unix_seconds());
    if (alerts_) alerts_->tick(unix_seconds());
    live_.refresh();
  });
}

}  // namespace headroom::server
