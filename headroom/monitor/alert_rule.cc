#include "headroom/monitor/alert_rule.h"

#include <fmt/format.h>

#include <algorithm>

namespace headroom::monitor {
namespace {

std::int64_t whole_seconds(Duration time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

AlertOptions standard(std::string name, std::string summary, std::string metric, Figure figure,
                      double warning, double critical, Duration hold) {
  static const AlertOptions defaults = alert_section().defaults();
  AlertOptions rule = defaults;
  rule.name = std::move(name);
  rule.summary = std::move(summary);
  rule.metric = std::move(metric);
  rule.figure = figure;
  rule.warning = warning;
  rule.critical = critical;
  rule.hold = hold;
  return rule;
}

std::vector<AlertOptions> make_standard() {
  std::vector<AlertOptions> all;
  using enum Figure;
  using std::chrono_literals::operator""min;
  using std::chrono_literals::operator""h;
  all.push_back(standard("cpu", "Processors are nearly all in use.",
                         "headroom_monitor_system_cpu_ratio", mean, 0.70, 0.85, 2min));
  all.push_back(standard("memory", "Memory is nearly all in use.",
                         "headroom_monitor_system_memory_ratio", mean, 0.80, 0.90, 2min));
  all.push_back(standard("disk", "The disk of state_dir is nearly full.",
                         "headroom_monitor_system_disk_ratio", mean, 0.85, 0.95, 5min));
  all.push_back(standard("descriptors", "File descriptors run out.",
                         "headroom_monitor_system_descriptors_ratio", mean, 0.80, 0.90, 1min));
  all.push_back(standard("pool", "A pool of database connections is nearly all in use.",
                         "headroom_monitor_ceiling_ratio", mean, 0.80, 0.90, 1min));
  all.back().where = {"kind:pool"};
  all.back().depends_on = {"database-down"};
  all.push_back(standard("errors", "Requests end with 5xx or without an answer.",
                         "headroom_edge_all_errors_total", share, 1, 5, 2min));
  all.back().of = "headroom_edge_all_requests_total";
  all.back().least = 20;
  all.back().depends_on = {"database-down"};
  all.push_back(
      standard("p95", "Responses are slow.", "headroom_edge_request_seconds", p95, 1, 2, 2min));
  all.back().least = 20;
  all.back().depends_on = {"database-down"};
  all.push_back(standard("hit-rate", "The cache answers few requests.",
                         "headroom_cache_misses_total", miss_free, 85, 30, 10min));
  all.back().of = "headroom_cache_hits_total";
  all.back().side = Side::below;
  all.back().windows = {5min};
  all.back().least = 1000;
  all.push_back(standard("database", "The database answers slowly.", "headroom_sql_query_seconds",
                         mean, 0.1, -1, 2min));
  all.back().least = 20;
  all.back().depends_on = {"database-down"};
  all.push_back(standard("database-down", "The database cannot be reached.",
                         "headroom_monitor_component_state", max, -1, 1.5, 10s));
  all.back().where = {"component:database"};
  all.back().windows = {10s};
  all.push_back(standard("component", "A component is not well.",
                         "headroom_monitor_component_state", max, 0.5, 1.5, 1min));
  all.back().windows = {10s};
  all.back().depends_on = {"database-down"};
  // 99.9 % of requests within 30 days: 2 % of that budget in an hour, 5 % in six (SRE workbook, chapter 5).
  all.push_back(standard("budget-fast", "Errors use up a month's budget (99.9 %) in two days.",
                         "headroom_edge_all_errors_total", share, -1, 1.44, 0s));
  all.back().of = "headroom_edge_all_requests_total";
  all.back().windows = {1h, 5min};
  all.back().least = 100;
  all.push_back(standard("budget-slow", "Errors use up a month's budget (99.9 %) in five days.",
                         "headroom_edge_all_errors_total", share, 0.6, -1, 0s));
  all.back().of = "headroom_edge_all_requests_total";
  all.back().windows = {6h, 30min};
  all.back().least = 100;
  return all;
}

}  // namespace

std::string_view to_string(Severity severity) {
  return severity == Severity::critical  ? "critical"
         : severity == Severity::warning ? "warning"
                                         : "none";
}
std::string_view to_string(AlertState state) {
  switch (state) {
    case AlertState::ok: return "ok";
    case AlertState::pending: return "pending";
    case AlertState::firing: return "firing";
    case AlertState::no_data: return "no_data";
  }
  return "ok";
}
std::string_view to_string(AlertChange change) {
  return change == AlertChange::fired     ? "fired"
         : change == AlertChange::changed ? "changed"
                                          : "resolved";
}

Severity AlertWatch::beyond(double value) const {
  const auto over = [&](double threshold) {
    return threshold >= 0 && (rule_->side == Side::above ? value > threshold : value < threshold);
  };
  return over(rule_->critical)  ? Severity::critical
         : over(rule_->warning) ? Severity::warning
                                : Severity::none;
}

// Without a clear threshold of its own a rule is well as soon as it is not beyond one.
bool AlertWatch::within_clear(double value) const {
  if (beyond(value) != Severity::none) return false;
  if (rule_->clear < 0) return true;
  return rule_->side == Side::above ? value <= rule_->clear : value >= rule_->clear;
}

void AlertWatch::enter(AlertState state, std::int64_t now) {
  if (memory_.state == state) return;
  memory_.state = state;
  memory_.since = now;
}

std::optional<AlertChange> AlertWatch::see(std::int64_t now, std::optional<double> value) {
  // The wall clock may have been set back.
  for (std::int64_t* when :
       {&memory_.since, &memory_.beyond_since, &memory_.critical_since, &memory_.wanted_since})
    *when = std::min(*when, now);
  for (std::int64_t& when : memory_.flaps) when = std::min(when, now);
  std::erase_if(memory_.flaps, [now](std::int64_t at) { return at + kFlapTime < now; });
  if (!value && rule_->no_data == NoData::keep) {
    if (memory_.state == AlertState::firing) return std::nullopt;
    memory_.beyond_since = memory_.critical_since = 0;  // nobody knows whether it stayed beyond
    enter(AlertState::no_data, now);
    return std::nullopt;
  }
  const bool absent_is_bad = !value && rule_->no_data == NoData::fire;
  const Severity worst = rule_->critical >= 0 ? Severity::critical : Severity::warning;
  const Severity wanted = value ? beyond(*value) : absent_is_bad ? worst : Severity::none;
  const bool clear = value ? within_clear(*value) : !absent_is_bad;
  if (memory_.state == AlertState::firing) return see_firing(now, wanted, clear);
  if (wanted == Severity::none) {
    memory_.beyond_since = memory_.critical_since = 0;
    enter(AlertState::ok, now);
    return std::nullopt;
  }
  if (memory_.beyond_since == 0) memory_.beyond_since = now;
  if (wanted != Severity::critical) memory_.critical_since = 0;
  if (wanted == Severity::critical && memory_.critical_since == 0) memory_.critical_since = now;
  memory_.severity = wanted;
  if (now - memory_.beyond_since < whole_seconds(rule_->hold)) {
    enter(AlertState::pending, now);
    return std::nullopt;
  }
  enter(AlertState::firing, now);
  memory_.wanted = wanted;
  memory_.wanted_since = wanted == Severity::critical ? memory_.critical_since : now;
  // A critical value that has not held is a warning as yet, where there is that threshold.
  const bool held = now - memory_.wanted_since >= whole_seconds(rule_->hold);
  if (wanted == Severity::critical && !held && rule_->warning >= 0)
    memory_.severity = Severity::warning;
  memory_.flaps.push_back(now);
  memory_.began = now;
  return AlertChange::fired;
}

std::optional<AlertChange> AlertWatch::see_firing(std::int64_t now, Severity wanted, bool clear) {
  // Between the clear threshold and the others it goes on as it is.
  if (wanted == Severity::none && !clear) wanted = memory_.severity;
  if (wanted != memory_.wanted) {
    if (memory_.wanted == Severity::none) memory_.flaps.push_back(now);
    memory_.wanted = wanted;
    memory_.wanted_since = now;
  }
  if (wanted == memory_.severity) return std::nullopt;
  std::int64_t patience =
      wanted > memory_.severity ? whole_seconds(rule_->hold) : whole_seconds(rule_->keep_firing);
  if (wanted == Severity::none && memory_.flaps.size() >= kFlaps)
    patience = std::max(patience, kFlapRest);
  if (now - memory_.wanted_since < patience) return std::nullopt;
  if (wanted != Severity::none) {
    memory_.severity = wanted;
    return AlertChange::changed;
  }
  memory_.beyond_since = memory_.critical_since = 0;
  enter(AlertState::ok, now);
  return AlertChange::resolved;
}

const std::vector<AlertOptions>& standard_alerts() {
  static const auto all = make_standard();
  return all;
}

std::vector<AlertOptions> alerts_in_force(const AlertingOptions& options) {
  std::vector<AlertOptions> all;
  for (const AlertOptions& rule : standard_alerts()) {
    const bool replaced =
        std::ranges::find(options.rules, rule.name, &AlertOptions::name) != options.rules.end();
    const bool off = std::ranges::find(options.off, rule.name) != options.off.end();
    if (options.standard && !replaced && !off) all.push_back(rule);
  }
  all.insert(all.end(), options.rules.begin(), options.rules.end());
  return all;
}

std::string expression_of(const AlertOptions& rule) {
  std::string text = fmt::format("{} of {}", config::Value<Figure>::show(rule.figure), rule.metric);
  if (!rule.of.empty()) text += fmt::format(" with {}", rule.of);
  if (!rule.where.empty()) text += fmt::format(" where {}", fmt::join(rule.where, ", "));
  std::vector<std::string> windows;
  for (const Duration window : rule.windows)
    windows.push_back(config::Value<Duration>::show(window));
  text += fmt::format(" over {} {}", fmt::join(windows, " and "),
                      rule.side == Side::above ? "above" : "below");
  if (rule.warning >= 0) text += fmt::format(" {} (warning)", rule.warning);
  if (rule.critical >= 0) text += fmt::format(" {} (critical)", rule.critical);
  return text;
}

}  // namespace headroom::monitor
