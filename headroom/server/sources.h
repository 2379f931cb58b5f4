// headroom/server/sources.h - what the endpoints ask of the rooms and of the process: functions, so that tests can give others.
//
// Owns: nothing; a value of functions and references. Worker and threads: each member says on which thread it may be called.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/token_store.h"
#include "headroom/base/error.h"
#include "headroom/cache/cache.h"
#include "headroom/config/config.h"
#include "headroom/edge/edge.h"
#include "headroom/limit/rules.h"
#include "headroom/monitor/alerts.h"
#include "headroom/monitor/rates.h"
#include "headroom/monitor/system.h"
#include "headroom/monitor/trends.h"
#include "headroom/monitor/vitals.h"
#include "headroom/realtime/hub.h"
#include "headroom/sql/sql.h"
#include "headroom/tasks/tasks.h"

namespace headroom::server {

inline constexpr std::string_view kVersion = HEADROOM_VERSION;

class Audit;

struct Sources {
  const monitor::Vitals& vitals;
  const metrics::Registry& registry;
  TimePoint started = Clock::now();

  // Any thread but a worker's.
  std::function<edge::Summary()> summary{};
  std::function<std::vector<edge::RouteStatus>()> routes{};
  std::function<std::vector<edge::GroupStatus>()> upstreams{};
  std::function<Result<>(std::string_view group, std::string_view server, bool draining)>
      set_draining{};

  std::function<std::vector<limit::RuleStatus>(std::size_t top)> limits{};
  std::function<cache::Cache*()> cache{};  // null: there is none
  std::function<Result<bool>()> warm{};
  std::function<tasks::Tasks*()> tasks{};  // null when the room is off
  std::function<edge::WarmStatus()> warm_status{};
  std::function<edge::CdnStatus()> cdn{};
  std::function<realtime::Hub*()> hub{};  // the same; any worker too

  std::function<const sql::Sql*()> sql{};  // null: it does not run

  // The trends thread; null when none are kept.
  std::function<monitor::Trends*()> trends{};
  // Any thread: the last reading.
  std::function<monitor::SystemUse()> system{};
  std::function<double()> cpu{};  // used of the limit, smoothed over ten seconds
  std::function<monitor::PriceOptions()> prices{};
  std::function<std::uint64_t()> most_connections{};  // of the edge; 0: no limit
  std::function<monitor::Alerts*()>
      alerts{};  // of the trends thread, but status(); null: they are off

  // Any thread that may wait for the disk.
  std::function<Audit*()> audit{};
  // Any thread.
  std::function<std::vector<monitor::ObjectiveOptions>()> objectives{};

  // The reading thread.
  const monitor::Rates& rates;
  std::function<bool()> metrics_enabled = [] { return true; };

  // The control thread.
  std::function<std::shared_ptr<const config::Settings>()> settings{};
  std::function<Result<std::vector<config::Change>>()> reload{};
  std::function<Result<auth::TokenStore*>()> tokens{};  // why not, when the file cannot be used
  std::function<void()> tokens_changed{};
};

}  // namespace headroom::server
