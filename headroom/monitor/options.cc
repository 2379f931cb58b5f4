#include "headroom/monitor/options.h"

#include "headroom/http/call.h"

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

config::Section<AlertOptions> rule_section() {
  using config::Reload;
  using A = AlertOptions;
  config::Section<A> s("rules", "An alert; one of the name of a standard one replaces it.");
  s.required("name", &A::name, Reload::restart, "What it is called.",
             config::satisfying("that is not empty",
                                [](const std::string& name) { return !name.empty(); }));
  s.setting("summary", &A::summary, "", Reload::restart, "What it means, for people.");
  s.required("metric", &A::metric, Reload::restart, "The metric that is watched.");
  s.setting("figure", &A::figure, "mean", Reload::restart,
            "What of it: a counter's `rate`, a gauge's `mean` or `max` (of the worst series), a "
            "histogram's `mean` or percentile; `share` is 100 * metric / of, `miss_free` 100 * of "
            "/ (of + metric).");
  s.setting("of", &A::of, "", Reload::restart, "The other metric of `share` and `miss_free`.");
  s.setting("where", &A::where, "", Reload::restart, "Labels the series must have, `label:value`.");
  s.setting(
      "windows", &A::windows, "1m", Reload::restart,
      "Over how long; of several the mildest counts (a burn rate has a long one and a short one).");
  s.setting("side", &A::side, "above", Reload::restart, "Which side of a threshold is bad.");
  s.setting("warning", &A::warning, "-1", Reload::restart, "Threshold of a warning; -1: none.");
  s.setting("critical", &A::critical, "-1", Reload::restart,
            "Threshold of a critical alert; -1: none.");
  s.setting("clear", &A::clear, "-1", Reload::restart,
            "Where it must be back before it is resolved; -1: just not beyond the others.");
  s.setting("least", &A::least, "0", Reload::restart,
            "Events that must be in a window, else it says nothing.");
  s.setting("for", &A::hold, "1m", Reload::restart,
            "How long it must be beyond a threshold before it fires.", config::between(0s, 24h));
  s.setting("keep_firing", &A::keep_firing, "1m", Reload::restart,
            "How long it must be well before it is resolved.", config::between(0s, 24h));
  s.setting("no_data", &A::no_data, "ok", Reload::restart,
            "What no value means: `ok`, `keep` (as before) or `fire`.");
  s.setting("depends_on", &A::depends_on, "", Reload::restart,
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
      if (!label.contains(':')) return fail(Errc::invalid, "'where': expected label:value");
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

config::Section<AlertingOptions> alerting_section() {
  using config::Reload;
  using A = AlertingOptions;
  config::Section<A> s("alerting", "Rules over the trends, and who is told.");
  s.setting("enabled", &A::enabled, "true", Reload::restart, "Off: nothing is watched.");
  s.setting("standard", &A::standard, "true", Reload::restart,
            "Whether the standard rules are in force ([monitor.md](monitor.md) lists them).");
  s.setting("off", &A::off, "", Reload::restart, "Standard rules that are not in force.");
  s.setting("interval", &A::interval, "5s", Reload::restart, "How often rules are looked at.",
            config::between(1s, 5min));
  s.setting("webhook", &A::webhook, "", Reload::restart,
            "Where alerts are sent, an http:// or https:// URL; empty: nowhere. What cannot be "
            "sent is tried again for a day.");
  s.setting("shape", &A::shape, "alertmanager", Reload::restart,
            "As Alertmanager's webhooks, or as Slack takes messages.");
  s.list("rules", &A::rules, alert_section(), Reload::restart);
  return s;
}

}  // namespace

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
    s.section("otlp", &MonitorOptions::otlp, otlp_section());
    s.section("prices", &MonitorOptions::prices, prices_section());
    s.section("trends", &MonitorOptions::trends, trends_section());
    s.alias("ENABLE_MONITORING", "enabled");
    return s;
  }();
  return section;
}

}  // namespace headroom::monitor
