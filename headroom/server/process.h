// headroom/server/process.h - the whole server as one object: builds the rooms, hands each its neighbours, waits for the signal, takes all down.
//
// Owns: every room. Made, run and ended on main's thread; settings are replaced by the control thread, and others look at them while it rests.
// Invariants: (1) rooms end in the reverse of how they lean on each other (members' order, finish()); (2) what fails before start() is over leaves a
//   server that is being replaced as it was; (3) a reload that fails has changed nothing.
#pragma once

#include <array>
#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "headroom/edge/edge.h"
#include "headroom/link/link.h"
#include "headroom/monitor/exporter.h"
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
#include "headroom/server/api.h"
#include "headroom/server/audit.h"
#include "headroom/server/live.h"
#include "headroom/server/options.h"
#include "headroom/server/serve.h"
#include "headroom/server/sources.h"
#include "headroom/server/state_dir.h"
#include "headroom/server/takeover.h"
#include "headroom/server/tokens.h"
#include "headroom/sql/sql.h"
#include "headroom/tasks/tasks.h"

namespace headroom::server {

using SettingsPointer = std::shared_ptr<const config::Settings>;

inline constexpr std::string_view kTicketKeys = "edge.tls.ticket_keys";
inline constexpr std::string_view kRelay = "realtime.relay";

[[nodiscard]] inline bool has_app(const edge::EdgeOptions& options) {
  return !options.app.empty() || !options.upstreams.empty();
}

template <class Options>
std::shared_ptr<const Options> part_of(const SettingsPointer& settings) {
  return {settings, &settings->get<Options>()};
}

// Runs `work` on a pool's thread, however much waits there, and waits for it; from main's thread.
template <class F>
auto run_on(net::Offload& pool, F work) {
  std::optional<std::invoke_result_t<F>> answer;
  std::latch done(1);
  pool.submit_always([&] {
    answer = work();
    done.count_down();
  });
  done.wait();
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
  [[nodiscard]] cache::Cache* open_cache();
  [[nodiscard]] Result<> take_possession();
  [[nodiscard]] Result<> start();
  [[nodiscard]] Result<> open_edge();
  [[nodiscard]] Result<> open_hub();
  [[nodiscard]] Result<> keep_sessions();
  [[nodiscard]] Result<> open_sql();
  [[nodiscard]] Result<> open_admin();
  [[nodiscard]] Result<> open_tasks();
  void start_tasks();
  void open_trends();
  void close_trends();
  void open_exporter(const monitor::OtlpOptions& options);
  void configure_alerts(const monitor::AlertingOptions& options);
  void open_alert_sender(const monitor::AlertingOptions& options);
  void open_control();
  void close_unused_doors();
  void announce() const;
  [[nodiscard]] End wait();
  void tick();
  // On the control thread, however much waits there; once where it is asked for again before that.
  void ask_control(std::atomic<bool>& asked, void (Process::*act)());
  void reload_by_signal();
  void refresh_tokens() { tokens_.refresh(); }
  void write_audit() { audit_.write_waiting(); }
  void hand_over();
  void deliver_no_more();
  // While both accept: the job store stays here until what was begun can be written down. Nothing: the new one has gone, this one goes on.
  [[nodiscard]] std::optional<End> let_deliveries_end();
  // Of a server that has not taken over: they are still the old one's, the paths of Unix sockets too.
  void leave_doors();
  void finish(End end);
  void drain(End end);
  // What is the next server's from here on is closed. False: it has gone.
  [[nodiscard]] bool yield();
  // True when a second signal asks for haste.
  [[nodiscard]] bool hasty_wait(Duration time);
  [[nodiscard]] std::optional<int> next_signal();
  [[nodiscard]] bool told_to_end();  // while it starts: a reload comes too early
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
  double cpu_ = 0;                // of its cpu_ratio, smoothed
  monitor::PriceOptions prices_;  // under the same mutex
  std::optional<monitor::Trends> trends_;
  std::optional<monitor::Alerts> alerts_;
  std::atomic<std::uint64_t> most_connections_{0};
  std::vector<monitor::ObjectiveOptions> objectives_;  // under system_mutex_
  Audit audit_;
  Sources sources_;
  net::Offload reading_{"reading", 1};
  net::Offload control_{"control", 1};
  net::Offload trending_{"trends", 1};
  Api api_;
  Live live_{sources_};
  std::unique_ptr<AlertSender> alert_sender_;
  std::unique_ptr<monitor::Exporter> exporter_;  // replaced by the control thread
  Tokens tokens_;
  std::unique_ptr<AdminDoor> admin_;
  std::optional<TakeoverDoor> control_door_;
  std::optional<Takeover> takeover_;
  Handover handover_;
  std::atomic<bool> metrics_enabled_;
  std::atomic<bool> reload_asked_{false};
  std::atomic<bool> refresh_asked_{false};
  std::atomic<bool> audit_asked_{false};
  bool abandoned_ = false;      // nobody has taken what was handed over
  bool trends_closed_ = false;  // the control thread's
  bool edge_runs_ = false;
  bool sql_runs_ = false;
};

}  // namespace headroom::server
