#include "headroom/monitor/vitals.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/monitor/metrics.h"

namespace headroom::monitor {
namespace {

using State = net::HealthReport::State;

}  // namespace

std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::starting: return "starting";
    case Stage::serving: return "serving";
    case Stage::draining: return "draining";
  }
  return "?";
}

std::string_view to_string(State state) {
  switch (state) {
    case State::ok: return "ok";
    case State::degraded: return "degraded";
    case State::failed: return "failed";
  }
  return "?";
}

Verdict Vitals::live(TimePoint now) const {
  for (const auto& worker : workers_) {
    const Duration age = elapsed(worker->heartbeat(), now);
    if (age >= kStuck) {
      return {false, fmt::format("worker {} has not gone round for {:.1f} s", worker->index(),
                                 seconds(age))};
    }
  }
  return {};
}

Verdict Vitals::started() const {
  return stage() == Stage::starting ? Verdict{false, "starting"} : Verdict{};
}

Verdict Vitals::ready() const {
  if (stage() != Stage::serving) return {false, std::string(to_string(stage()))};
  for (const net::Health* room : rooms_) {
    if (std::string reason = room->not_ready(); !reason.empty()) return {false, std::move(reason)};
  }
  for (const net::HealthReport& report : reports()) {
    if (report.state == State::failed) return {false, report.component + " has failed"};
  }
  return {};
}

std::vector<net::HealthReport> Vitals::reports() const {
  std::vector<net::HealthReport> all;
  for (const net::Health* room : rooms_) {
    auto reports = room->health();
    std::ranges::move(reports, std::back_inserter(all));
  }
  std::ranges::sort(all, [](const net::HealthReport& a, const net::HealthReport& b) {
    return a.state != b.state ? a.state > b.state : a.component < b.component;
  });
  return all;
}

State Vitals::state() const {
  const auto all = reports();
  return all.empty() ? State::ok : all.front().state;
}

std::vector<SampleFamily> Vitals::samples(TimePoint now) const {
  SampleFamily heartbeats{&kHeartbeatAge, {}};
  SampleFamily exceptions{&kExceptions, {}};
  for (const auto& worker : workers_) {
    const std::string name = fmt::to_string(worker->index());
    heartbeats.samples.push_back({{name}, seconds(elapsed(worker->heartbeat(), now))});
    exceptions.samples.push_back({{name}, static_cast<double>(worker->exceptions())});
  }
  // Reports of one component become one series: its worst.
  std::map<std::string, double> worst;
  for (const net::HealthReport& report : reports()) {
    double& state = worst[report.component];
    state = std::max(state, static_cast<double>(report.state));
  }
  SampleFamily components{&kComponentState, {}};
  for (const auto& [component, state] : worst) components.samples.push_back({{component}, state});
  const SampleFamily ready_family{&kReady, {{{}, ready().yes ? 1.0 : 0.0}}};
  return {heartbeats, exceptions, components, ready_family};
}

}  // namespace headroom::monitor
