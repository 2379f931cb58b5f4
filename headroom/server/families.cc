#include "headroom/server/families.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "headroom/cache/metrics.h"
#include "headroom/edge/metrics.h"
#include "headroom/limit/metrics.h"
#include "headroom/monitor/metrics.h"
#include "headroom/monitor/options.h"
#include "headroom/realtime/metrics.h"
#include "headroom/server/metrics.h"
#include "headroom/sql/metrics.h"
#include "headroom/tasks/metrics.h"

namespace headroom::server {
namespace {

using metrics::Family;
using metrics::Kind;
using monitor::Figure;

bool gives(Kind kind, Figure figure) {
  switch (figure) {
    case Figure::rate: return kind != Kind::gauge;
    case Figure::mean: return kind != Kind::counter;
    case Figure::max: return kind == Kind::gauge;
    case Figure::p50:
    case Figure::p95:
    case Figure::p99: return kind == Kind::histogram;
    case Figure::share:
    case Figure::miss_free: return kind == Kind::counter;
  }
  return false;
}

Result<const Family*> family_for(const std::string& name, Figure figure) {
  const Family* family = find_family(name);
  if (family == nullptr)
    return fail(Errc::invalid,
                fmt::format("there is no metric '{}'; `headroom docs metrics` lists them", name));
  if (gives(family->kind, figure)) return family;
  constexpr std::array<std::string_view, 3> kKinds{"a counter", "a gauge", "a histogram"};
  return fail(Errc::invalid, fmt::format("'{}' is {}, which has no {}", name,
                                         kKinds[static_cast<std::size_t>(family->kind)],
                                         config::Value<Figure>::show(figure)));
}

Result<> check_rule(const monitor::AlertOptions& rule) {
  std::vector<const Family*> families;
  for (const std::string& name : {rule.metric, rule.of}) {
    if (name.empty()) continue;
    auto family = family_for(name, rule.figure);
    if (!family) return pass(family);
    families.push_back(*family);
  }
  for (const std::string& each : rule.where) {
    const std::string_view label = std::string_view(each).substr(0, each.find(':'));
    for (const Family* family : families) {
      const std::span labels(family->labels.data(), family->label_count());
      if (std::ranges::find(labels, label) == labels.end())
        return fail(
            Errc::invalid,
            fmt::format("'{}' has no label '{}'{}", family->name, label,
                        labels.empty() ? "" : fmt::format("; it has {}", fmt::join(labels, ", "))));
    }
  }
  return {};
}

}  // namespace

std::span<const RoomFamilies> families_of_rooms() {
  static const std::array kRooms{RoomFamilies{"cache", cache::all_families()},
                                 RoomFamilies{"edge", edge::all_families()},
                                 RoomFamilies{"limit", limit::all_families()},
                                 RoomFamilies{"monitor", monitor::all_families()},
                                 RoomFamilies{"realtime", realtime::all_families()},
                                 RoomFamilies{"server", all_families()},
                                 RoomFamilies{"sql", sql::all_families()},
                                 RoomFamilies{"tasks", tasks::all_families()}};
  return kRooms;
}

const Family* find_family(std::string_view name) {
  for (const RoomFamilies& room : families_of_rooms()) {
    const auto found = std::ranges::find(room.families, name, &Family::name);
    if (found != room.families.end()) return *found;
  }
  return nullptr;
}

Result<> check_watched_metrics(const config::Settings& settings) {
  const auto& options = settings.get<monitor::MonitorOptions>();
  for (const monitor::AlertOptions& rule : options.alerting.rules) {
    if (auto good = check_rule(rule); !good)
      return pass(good, fmt::format("monitor.alerting.rules '{}'", rule.name));
  }
  for (const monitor::ObjectiveOptions& each : options.objectives) {
    if (auto family =
            family_for(each.metric, each.figure == Figure::mean ? Figure::p95 : each.figure);
        !family)
      return pass(family, fmt::format("monitor.objectives '{}'", each.name));
  }
  return {};
}

}  // namespace headroom::server
