#include <poll.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "headroom/base/log.h"
#include "headroom/server/process.h"
#include "headroom/server/supervisor.h"

namespace headroom::server {
namespace {

constexpr Duration kLook = 20ms;   // how often a drain looks whether all is done
constexpr Duration kDeliver = 3s;  // for push deliveries: of the kPatience that the new server has
constexpr Duration kLastExport = 2s;  // for the last spans

}  // namespace

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
  if (tasks_)
    what.doors.push_back(
        {"tasks", tasks_->address(), {tasks_->sockets().begin(), tasks_->sockets().end()}});
  std::array<int, 2> relay{-1, -1};
  if (hub_ &&
      ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, relay.data()) == 0) {
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
    if (cache_)
      cache_->configure((*loaded)->get<cache::CacheOptions>());  // routes name its classes
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
    objectives_ = (*loaded)->get<monitor::MonitorOptions>().objectives;
  }
  if (const auto& alerting = (*loaded)->get<monitor::MonitorOptions>().alerting;
      alerting != settings_->get<monitor::MonitorOptions>().alerting)
    configure_alerts(alerting);
  if (const auto& otlp = (*loaded)->get<monitor::MonitorOptions>().otlp;
      otlp != settings_->get<monitor::MonitorOptions>().otlp)
    open_exporter(otlp);
  auto changes = config::differences(*settings_, **loaded);
  settings_ = std::move(*loaded);
  for (const config::Change& change : changes) {
    const std::string_view when = change.reload == config::Reload::live ? "" : " (needs a restart)";
    log::info("server", "reload: {} = {}{}", change.path, change.after, when);
    // Whoever may look sees that it has changed; what it is now needs the role admin.
    log::change(log::Level::debug, "server", "settings",
                fmt::format("a reload changed {}{}", change.path, when));
  }
  if (changes.empty())
    log::change(log::Level::info, "server", "settings", "reload: nothing has changed");
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

void Process::deliver_no_more() {
  if (!tasks_) return;
  tasks_->deliver_no_more();
  if (const std::size_t left = tasks_->delivering(); left > 0)
    log::info("server", "{} push deliveries are let end", left);
}

std::optional<Process::End> Process::let_deliveries_end() {
  if (!tasks_) return End::handed_over;
  const auto patience =
      run_on(control_, [this] { return settings_->get<ServerOptions>().shutdown_timeout; });
  deliver_no_more();
  bool haste = false;
  for (const TimePoint due = Clock::now() + std::min(kDeliver, patience);
       !haste && tasks_->delivering() > 0 && Clock::now() < due && !control_door_->has_gone();) {
    haste = hasty_wait(kLook);
  }
  if (!control_door_->has_gone()) return End::handed_over;
  if (haste) return End::shutdown;
  log::warn("server", "take-over: the new server has gone while deliveries ended; going on");
  tasks_->deliver_again();
  return std::nullopt;
}

bool Process::yield() {
  if (tasks_) tasks_->stop(tasks::Tasks::Sockets::handed_over);  // the new one opens the job store
  close_trends();                                                // the new one goes on with them
  if (auto yielded = control_door_->yield(); !yielded) {
    log::error("server", "take-over: the new server has gone, and nobody accepts any more: {}",
               yielded.error().message);
    return false;
  }
  log::info("server", "take-over: the new server accepts; ending what is open");
  return true;
}

void Process::leave_doors() {
  if (edge_runs_) edge_.stop_accepting(edge::Doors::handed_over);
  if (sql_runs_) sql_.stop_accepting(sql::Sql::Sockets::handed_over);
  if (tasks_) tasks_->stop(tasks::Tasks::Sockets::handed_over);
  if (admin_) admin_->stop_accepting(edge::Doors::handed_over);
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
  if (sql_runs_)
    sql_.stop_accepting(end == End::handed_over ? sql::Sql::Sockets::handed_over
                                                : sql::Sql::Sockets::closed);
  if (end == End::shutdown) deliver_no_more();
  if (end == End::handed_over) {
    if (admin_) admin_->stop_accepting(doors);
    abandoned_ = !yield();
    haste = abandoned_;  // for whoever starts the next one
  }
  if (hub_ && edge_runs_) hub_->drain();
  if (edge_runs_) edge_.drain();
  if (sql_runs_) sql_.drain();
  const auto open = [this] {
    return (edge_runs_ ? edge_.open() : 0) + (sql_runs_ ? sql_.open() : 0) +
           (tasks_ ? tasks_->delivering() : 0);
  };
  for (const TimePoint due = Clock::now() + options.shutdown_timeout;
       !haste && open() > 0 && Clock::now() < due;) {
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
  run_on(control_, [this] { return audit_.write_waiting(), true; });  // and what was submitted
  run_on(reading_, [] { return true; });
  run_on(trending_, [] { return true; });
  if (exporter_) exporter_->finish(kLastExport);
  exporter_.reset();
  if (cache_) cache_->stop();  // nobody purges any more
  if (hub_) hub_->stop();      // nobody asks it any more
  workers_.stop_and_join();
}

}  // namespace headroom::server
