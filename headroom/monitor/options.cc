#include "headroom/monitor/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "headroom/http/call.h"
#include "headroom/monitor/alert_rule.h"

namespace headroom::monitor {
namespace {

using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;

config::Section<TrendOptions> trends_section() {
  using config::Reload;
  config::Section<TrendOptions> s("trends",
                                  "Metrics over time: seconds for 10 minutes, 10 s for 6 hours, "
                                  "minutes for 2 days, hours for 400 days.");
  s.setting("enabled", &TrendOptions::enabled, "true", Reload::restart, "Off: none are kept.");
  s.setting(
      "disk_limit", &TrendOptions::disk_limit, "256MiB", Reload::restart,
      "Size of the file, state_dir/trends.db; at the limit the oldest of the finest go first.",
      config::at_least(Bytes::mib(1)));
  s.setting("series_limit", &TrendOptions::series_limit, "5000", Reload::restart,
            "Series kept; further ones are left out and counted.", config::between(100, 100000));
  s.setting("detail", &TrendOptions::detail, "headroom_edge_request_seconds", Reload::restart,
            "Histograms kept for each label value; of others one is kept for all.");
  return s;
}

bool plain_text(const std::string& text) {
  return !text.empty() && std::ranges::none_of(text, [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

config::Section<AlertOptions> rule_section() {
  using config::Reload;
  using A = AlertOptions;
  config::Section<A> s("rules", "An alert; one of the name of a standard one replaces it.");
  s.required("name", &A::name, Reload::live, "What it is called.",
             config::satisfying("that is not empty and has no control characters", plain_text));
  s.setting("summary", &A::summary, "", Reload::live, "What it means, for people.",
            config::satisfying("without control characters", [](const std::string& text) {
              return text.empty() || plain_text(text);
            }));
  s.required("metric", &A::metric, Reload::live, "The metric that is watched.");
  s.setting("figure", &A::figure, "mean", Reload::live,
            "What of it: a counter's `rate`, a gauge's `mean` or `max` (of the worst series), a "
            "histogram's `mean` or percentile; `share` is 100 * metric / of, `miss_free` 100 * of "
            "/ (of + metric).");
  s.setting("of", &A::of, "", Reload::live, "The other metric of `share` and `miss_free`.");
  s.setting("where", &A::where, "", Reload::live, "Labels the series must have, `label:value`.");
  s.setting(
      "windows", &A::windows, "1m", Reload::live,
      "Over how long; of several the mildest counts (a burn rate has a long one and a short one).");
  s.setting("side", &A::side, "above", Reload::live, "Which side of a threshold is bad.");
  s.setting("warning", &A::warning, "-1", Reload::live, "Threshold of a warning; -1: none.");
  s.setting("critical", &A::critical, "-1", Reload::live,
            "Threshold of a critical alert; -1: none.");
  s.setting("clear", &A::clear, "-1", Reload::live,
            "Where it must be back before it is resolved; -1: just not beyond the others.");
  s.setting("least", &A::least, "0", Reload::live,
            "Events that must be in a window, else it says nothing.");
  s.setting("for", &A::hold, "1m", Reload::live,
            "How long it must be beyond a threshold before it fires.", config::between(0s, 24h));
  s.setting("keep_firing", &A::keep_firing, "1m", Reload::live,
            "How long it must be well before it is resolved.", config::between(0s, 24h));
  s.setting("no_data", &A::no_data, "ok", Reload::live,
            "What no value means: `ok`, `keep` (as before) or `fire`.");
  s.setting("depends_on", &A::depends_on, "", Reload::live,
            "Alerts whose firing mutes this one: it would only be their symptom.");
  s.check([](const A& rule) -> Result<void> {
    if (rule.warning < 0 && rule.critical < 0)
      return fail(Errc::invalid, "expected 'warning' or 'critical'");
    const bool two = rule.figure == Figure::share || rule.figure == Figure::miss_free;
    if (two == rule.of.empty())
      return fail(Errc::invalid, "'of' belongs to share and miss_free, which need it");
    if (rule.windows.empty()) return fail(Errc::invalid, "'windows': expected one or more");
    for (const Duration window : rule.windows) {
      if (window < 5s || window > 30 * 24h)
        return fail(Errc::invalid, "'windows': expected durations from 5s to 30d");
    }
    for (const std::string& label : rule.where) {
      const auto colon = label.find(':');
      if (colon == std::string::npos || colon == 0 || !plain_text(label))
        return fail(Errc::invalid, "'where': expected label:value");
    }
    return {};
  });
  return s;
}

config::Section<PriceOptions> prices_section() {
  using config::Reload;
  config::Section<PriceOptions> s(
      "prices", "What things cost where you run, for `/api/cost-estimates`; 0: not counted.");
  s.setting("currency", &PriceOptions::currency, "USD", Reload::live, "In what.");
  s.setting("vcpu_hour", &PriceOptions::vcpu_hour, "0", Reload::live, "A processor for an hour.",
            config::at_least(0.0));
  s.setting("gib_hour", &PriceOptions::gib_hour, "0", Reload::live, "A GiB of memory for an hour.",
            config::at_least(0.0));
  s.setting("egress_gib", &PriceOptions::egress_gib, "0", Reload::live, "A GiB sent to clients.",
            config::at_least(0.0));
  s.setting("database_hour", &PriceOptions::database_hour, "0", Reload::live,
            "The database's instance for an hour.", config::at_least(0.0));
  return s;
}

config::Section<OtlpOptions> otlp_section() {
  using config::Reload;
  using O = OtlpOptions;
  config::Section<O> s("otlp", "Export of traces and metrics to an OpenTelemetry collector.");
  s.setting("endpoint", &O::endpoint, "", Reload::live,
            "The collector's OTLP/HTTP address, such as http://127.0.0.1:4318; `/v1/traces` and "
            "`/v1/metrics` are put behind it. Empty: nothing is exported.");
  s.secret("headers", &O::headers, "", Reload::live,
           "Fields sent with each call, `Name: value`; keys of access among them.");
  s.setting("service", &O::service, "headroom", Reload::live, "What the exporter calls itself.");
  s.setting("traces", &O::traces, "true", Reload::live, "Whether traces are exported.");
  s.setting("sample", &O::sample, "0.01", Reload::live,
            "Which share of requests is traced, from 0 to 1; a trusted proxy's traceparent decides "
            "for its own.",
            config::between(0.0, 1.0));
  s.setting("metrics", &O::metrics, "true", Reload::live, "Whether metrics are exported.");
  s.setting("interval", &O::interval, "60s", Reload::live, "How often metrics are sent.",
            config::between(1s, 1h));
  s.setting("timeout", &O::timeout, "10s", Reload::live, "How long a call may take.",
            config::between(100ms, 1min));
  s.check([](const O& o) -> Result<void> {
    if (o.endpoint.empty()) return {};
    if (auto address = http::call_address(o.endpoint); !address)
      return fail(Errc::invalid, "'endpoint': " + address.error().message);
    if (o.endpoint.contains('?')) return fail(Errc::invalid, "'endpoint': expected no query");
    for (const std::string& header : o.headers) {
      if (header.find(':') == std::string::npos || header.starts_with(':'))
        return fail(Errc::invalid, "'headers': expected Name: value");
    }
    return {};
  });
  return s;
}

config::Section<ObjectiveOptions> objectives_section() {
  using config::Reload;
  using O = ObjectiveOptions;
  config::Section<O> s("objectives",
                       "A time to stay below, met or missed at `/api/v1/objectives` and on the "
                       "dashboard.");
  s.required("name", &O::name, Reload::live,
             "What it is called; `authentication`, `bookings`, `analytics`, `real-time` and "
             "`reconnection` have their targets from the seeds.",
             config::satisfying("that is not empty",
                                [](const std::string& name) { return !name.empty(); }));
  s.setting("routes", &O::routes, "", Reload::live, "The routes that are measured; none: all.");
  s.setting("metric", &O::metric, "headroom_edge_request_seconds", Reload::live,
            "The histogram that is measured; told apart by route where `monitor.trends.detail` "
            "names it.");
  s.setting("figure", &O::figure, "p95", Reload::live, "`mean`, `p50`, `p95` or `p99` of it.");
  s.setting("most", &O::most, "0", Reload::live, "What it must stay below; 0: the seeds' target.",
            config::between(0s, 1h));
  s.setting("window", &O::window, "5m", Reload::live, "Over how long.", config::between(10s, 24h));
  s.check([](const O& o) -> Result<void> {
    if (o.target() == Duration::zero())
      return fail(
          Errc::invalid,
          "'most': expected a time, as the seeds have no target of the name '" + o.name + "'");
    const bool time = o.figure == Figure::mean || o.figure == Figure::p50 ||
                      o.figure == Figure::p95 || o.figure == Figure::p99;
    if (!time) return fail(Errc::invalid, "'figure': expected mean, p50, p95 or p99");
    return {};
  });
  return s;
}

// Alerts that explain each other would mute each other for ever.
Result<> check_circles(const std::vector<AlertOptions>& rules) {
  for (const AlertOptions& first : rules) {
    std::vector<std::string> next = first.depends_on;
    std::set<std::string> seen;
    while (!next.empty()) {
      const std::string name = std::move(next.back());
      next.pop_back();
      if (name == first.name)
        return fail(Errc::invalid, fmt::format("rule '{}', 'depends_on': it leads back to the rule "
                                               "itself, so that each would mute the other",
                                               first.name));
      if (!seen.insert(name).second) continue;
      const auto found = std::ranges::find(rules, name, &AlertOptions::name);
      if (found != rules.end()) std::ranges::copy(found->depends_on, std::back_inserter(next));
    }
  }
  return {};
}

// Each rule once, and what `off` and `depends_on` name among the rules written and the standard ones.
Result<> check_names(const AlertingOptions& alerting) {
  std::set<std::string_view> known;
  for (const AlertOptions& rule : alerting.rules) {
    if (!known.insert(rule.name).second)
      return fail(Errc::invalid, "'rules': there are two of the name '" + rule.name + "'");
  }
  for (const AlertOptions& rule : standard_alerts()) known.insert(rule.name);
  const auto unknown = [&](std::string_view where, const std::string& name) {
    return fail(Errc::invalid, fmt::format("{}: there is no rule of the name '{}'; there are {}",
                                           where, name, fmt::join(known, ", ")));
  };
  for (const std::string& name : alerting.off) {
    if (!known.contains(name)) return unknown("'off'", name);
  }
  for (const AlertOptions& rule : alerting.rules) {
    for (const std::string& name : rule.depends_on) {
      if (!known.contains(name)) return unknown("rule '" + rule.name + "', 'depends_on'", name);
    }
  }
  return check_circles(alerts_in_force(alerting));
}

config::Section<AlertingOptions> alerting_section() {
  using config::Reload;
  using A = AlertingOptions;
  config::Section<A> s("alerting", "Rules over the trends, and who is told.");
  s.setting("enabled", &A::enabled, "true", Reload::live, "Off: nothing is watched.");
  s.setting("standard", &A::standard, "true", Reload::live,
            "Whether the standard rules are in force ([monitor.md](monitor.md) lists them).");
  s.setting("off", &A::off, "", Reload::live, "Standard rules that are not in force.");
  s.setting("interval", &A::interval, "5s", Reload::live, "How often rules are looked at.",
            config::between(1s, 5min));
  // Whoever has Slack's URL may write to its channel.
  s.secret("webhook", &A::webhook, "", Reload::live,
           "Where alerts are sent, an http:// or https:// URL; empty: nowhere. What cannot be "
           "sent is tried again for a day.");
  s.setting("shape", &A::shape, "alertmanager", Reload::live,
            "As Alertmanager's webhooks, or as Slack takes messages.");
  s.list("rules", &A::rules, alert_section(), Reload::live);
  s.check([](const A& alerting) -> Result<void> {
    auto address = http::call_address(alerting.webhook);
    if (!alerting.webhook.empty() && !address)
      return fail(Errc::invalid,
                  "'webhook': expected an http:// or https:// URL without a user (it is a secret "
                  "and not shown)");
    return check_names(alerting);
  });
  return s;
}

}  // namespace

// 6FB Booking and the task platform, "response times".
std::span<const SeedTarget> seed_targets() {
  static constexpr std::array<SeedTarget, 5> kTargets{{{"authentication", 200ms},
                                                       {"bookings", 500ms},
                                                       {"analytics", 1000ms},
                                                       {"real-time", 100ms},
                                                       {"reconnection", 5s}}};
  return kTargets;
}

Duration ObjectiveOptions::target() const {
  if (most > Duration::zero()) return most;
  const auto known = std::ranges::find(seed_targets(), name, &SeedTarget::first);
  return known == seed_targets().end() ? Duration::zero() : known->second;
}

const config::Section<AlertOptions>& alert_section() {
  static const auto section = rule_section();
  return section;
}

const config::Section<MonitorOptions>& monitor_section() {
  static const auto section = [] {
    config::Section<MonitorOptions> s("monitor", "Health, metrics and their trends.");
    s.setting("enabled", &MonitorOptions::enabled, "true", config::Reload::live,
              "Off: `/metrics` answers 404; health answers all the same.");
    s.section("alerting", &MonitorOptions::alerting, alerting_section());
    s.list("objectives", &MonitorOptions::objectives, objectives_section(), config::Reload::live);
    s.section("otlp", &MonitorOptions::otlp, otlp_section());
    s.section("prices", &MonitorOptions::prices, prices_section());
    s.section("trends", &MonitorOptions::trends, trends_section());
    s.alias("ENABLE_MONITORING", "enabled");
    return s;
  }();
  return section;
}

}  // namespace headroom::monitor
