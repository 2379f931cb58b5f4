#include "headroom/server/settings.h"

#include "headroom/cache/options.h"
#include "headroom/edge/options.h"
#include "headroom/limit/options.h"
#include "headroom/monitor/options.h"
#include "headroom/realtime/options.h"
#include "headroom/server/families.h"
#include "headroom/server/options.h"
#include "headroom/sql/options.h"
#include "headroom/tasks/options.h"

namespace headroom::server {
namespace {

// Rules name routes, and those are the edge's.
Result<> check_limited_routes(const config::Settings& settings) {
  std::vector<std::string> names{"default"};
  for (const auto& route : settings.get<edge::EdgeOptions>().routes) {
    names.push_back(route.name.empty() ? route.host + route.path : route.name);
  }
  return limit::check_routes(settings.get<limit::LimitOptions>(), names);
}

}  // namespace

const config::Schema& schema() {
  static const auto made = [] {
    config::Schema all;
    all.add(server_section());
    all.add(admin_section());
    all.add(cache::cache_section());
    all.add(edge::edge_section());
    all.add(limit::limit_section());
    all.add(monitor::monitor_section());
    all.add(realtime::realtime_section());
    all.add(tasks::tasks_section());
    all.add(sql::sql_section());
    all.check(check_limited_routes);
    all.check(check_watched_metrics);
    all.allow_variable("HEADROOM_CONFIG");
    all.allow_variable("HEADROOM_TOKEN");  // of headroom top
    return all;
  }();
  return made;
}

std::string settings_file(const SettingsRequest& request) {
  if (!request.file.empty()) return request.file;
  for (const auto& [name, value] : config::process_environment()) {
    if (name == "HEADROOM_CONFIG") return value;
  }
  return {};
}

Result<std::shared_ptr<const config::Settings>> load_settings(const SettingsRequest& request) {
  config::Sources sources{.environment = config::process_environment(), .flags = request.flags};
  if (const std::string file = settings_file(request); !file.empty()) {
    auto document = config::read_document(file);
    if (!document) return fail(Errc::invalid, document.error().message);
    sources.file = std::move(*document);
  }
  return schema().load(sources);
}

}  // namespace headroom::server
