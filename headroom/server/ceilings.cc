#include "headroom/server/ceilings.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/monitor/metrics.h"
#include "headroom/monitor/process.h"
#include "headroom/monitor/prometheus.h"
#include "headroom/server/audit.h"
#include "headroom/server/metrics.h"

namespace headroom::server {
namespace {

// `cpu`: of the limit, over some seconds: a moment's says nothing.
void add_machine(std::vector<Ceiling>& all, const monitor::SystemUse& use, double cpu) {
  if (use.cpu_ratio && use.cpu_limit)
    all.push_back({"processors", "", cpu * *use.cpu_limit, *use.cpu_limit,
                   "Give it more processors, or cache more at the edge."});
  if (use.memory_used && use.memory_limit)
    all.push_back({"memory", "", *use.memory_used, *use.memory_limit,
                   "Give it more memory, or lower cache.memory_limit."});
  if (use.disk_size && use.disk_free)
    all.push_back({"disk", "", *use.disk_size - *use.disk_free, *use.disk_size,
                   "Free disk space; state_dir lies on it."});
  if (use.descriptors_open && use.descriptors_most)
    all.push_back({"descriptors", "", *use.descriptors_open, *use.descriptors_most,
                   "Raise the limit of open files (LimitNOFILE, ulimit -n)."});
}

}  // namespace

std::vector<Ceiling> ceilings_of(const Sources& sources, const edge::Summary& summary) {
  std::vector<Ceiling> all;
  if (sources.system) {
    const monitor::SystemUse use = sources.system();
    add_machine(all, use, sources.cpu ? sources.cpu() : use.cpu_ratio.value_or(0));
  }
  if (sources.most_connections && sources.most_connections() > 0)
    all.push_back({"connections", "", static_cast<double>(summary.connections),
                   static_cast<double>(sources.most_connections()), "Raise edge.max_connections."});
  for (const edge::GroupStatus& group :
       sources.upstreams ? sources.upstreams() : std::vector<edge::GroupStatus>{}) {
    if (group.in_flight_limit == 0) continue;
    all.push_back({"requests", fmt::format("at {}", group.name),
                   static_cast<double>(group.in_flight), static_cast<double>(group.in_flight_limit),
                   "The limit is learnt from its latency: add servers, or make its slowest "
                   "requests faster."});
  }
  if (const sql::Sql* sql = sources.sql ? sources.sql() : nullptr) {
    for (const sql::PoolReport& each : sql->pools()) {
      const std::size_t busy = each.pool.open - std::min(each.pool.open, each.pool.idle);
      all.push_back({"pool", fmt::format("{}/{} at {}", each.database, each.user, each.server),
                     static_cast<double>(busy), static_cast<double>(each.pool.limit),
                     "Raise sql.pool_size, if the server bears it, or shorten transactions."});
    }
  }
  std::ranges::sort(all, std::greater{}, &Ceiling::ratio);
  if (all.size() > Ceiling::kMostCeilings) all.resize(Ceiling::kMostCeilings);
  return all;
}

monitor::SampleFamily samples_of(const std::vector<Ceiling>& all) {
  monitor::SampleFamily family{&monitor::kCeilingRatio, {}};
  for (const Ceiling& each : all)
    family.samples.push_back({{each.kind, each.resource}, each.ratio()});
  return family;
}

std::vector<monitor::SampleFamily> own_samples(const Sources& sources) {
  auto own = sources.vitals.samples();
  std::ranges::move(monitor::samples_of(monitor::read_process_use()), std::back_inserter(own));
  if (sources.system)
    std::ranges::move(monitor::samples_of(sources.system()), std::back_inserter(own));
  if (sources.summary && sources.upstreams)
    own.push_back(samples_of(ceilings_of(sources, sources.summary())));
  if (const monitor::Alerts* alerts = sources.alerts ? sources.alerts() : nullptr) {
    monitor::SampleFamily firing{&monitor::kAlertState, {}};
    for (const monitor::AlertStatus& each : alerts->status())
      firing.samples.push_back(
          {{each.rule.name},
           each.state == monitor::AlertState::firing ? static_cast<double>(each.severity) : 0});
    own.push_back(std::move(firing));
  }
  if (const Audit* audit = sources.audit ? sources.audit() : nullptr)
    own.push_back({&kAuditLost, {{{}, static_cast<double>(audit->lost())}}});
  return own;
}

}  // namespace headroom::server
