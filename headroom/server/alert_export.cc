// The alert rules in Prometheus's language, and recorded series against a rule.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "headroom/json/json.h"
#include "headroom/json/reader.h"
#include "headroom/monitor/alert_rule.h"
#include "headroom/server/alerts_api.h"
#include "headroom/server/commands.h"
#include "headroom/server/settings.h"

namespace headroom::server {
namespace {

using monitor::AlertOptions;
using monitor::Figure;

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;

std::string window_text(Duration window) {
  return fmt::format("{}s", std::chrono::duration_cast<std::chrono::seconds>(window).count());
}

// A string of PromQL, between its quotes.
std::string promql_text(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string selector(const AlertOptions& rule, std::string_view metric, std::string_view end = "") {
  std::vector<std::string> labels;
  for (const std::string& label : rule.where) {
    const std::size_t colon = label.find(':');
    labels.push_back(label.substr(0, colon) + "=" + promql_text(label.substr(colon + 1)));
  }
  return fmt::format("{}{}{}", metric, end,
                     labels.empty() ? "" : fmt::format("{{{}}}", fmt::join(labels, ",")));
}

std::string increase(const AlertOptions& rule, std::string_view metric, std::string_view window) {
  return fmt::format("sum(increase({}[{}]))", selector(rule, metric), window);
}

std::string value_of(const AlertOptions& rule, std::string_view window) {
  const std::string percentile = rule.figure == Figure::p50   ? "0.5"
                                 : rule.figure == Figure::p95 ? "0.95"
                                                              : "0.99";
  const bool counter = rule.metric.ends_with("_total");
  const bool times = rule.metric.ends_with("_seconds") && !rule.metric.contains("_monitor_");
  switch (rule.figure) {
    case Figure::rate:
      return fmt::format(
          "sum(rate({}[{}]))",
          counter ? selector(rule, rule.metric) : selector(rule, rule.metric, "_count"), window);
    case Figure::mean:
      if (times)
        return fmt::format("sum(rate({}[{}])) / sum(rate({}[{}]))",
                           selector(rule, rule.metric, "_sum"), window,
                           selector(rule, rule.metric, "_count"), window);
      return fmt::format("{}(avg_over_time({}[{}]))",
                         rule.side == monitor::Side::above ? "max" : "min",
                         selector(rule, rule.metric), window);
    case Figure::max:
      return rule.side == monitor::Side::above
                 ? fmt::format("max(max_over_time({}[{}]))", selector(rule, rule.metric), window)
                 : fmt::format("min(min_over_time({}[{}]))", selector(rule, rule.metric), window);
    case Figure::p50:
    case Figure::p95:
    case Figure::p99:
      return fmt::format("histogram_quantile({}, sum by (le) (rate({}[{}])))", percentile,
                         selector(rule, rule.metric, "_bucket"), window);
    case Figure::share:
      return fmt::format("100 * {} / {}", increase(rule, rule.metric, window),
                         increase(rule, rule.of, window));
    case Figure::miss_free:
      return fmt::format("100 * {0} / ({0} + {1})", increase(rule, rule.of, window),
                         increase(rule, rule.metric, window));
  }
  return {};
}

// Too few events say nothing.
std::string guard_of(const AlertOptions& rule, std::string_view window) {
  if (rule.least <= 0) return {};
  if (rule.figure == Figure::share)
    return fmt::format(" and {} >= {}", increase(rule, rule.of, window), rule.least);
  if (rule.figure == Figure::miss_free)
    return fmt::format(" and ({} + {}) >= {}", increase(rule, rule.of, window),
                       increase(rule, rule.metric, window), rule.least);
  return fmt::format(" and sum(increase({}[{}])) >= {}", selector(rule, rule.metric, "_count"),
                     window, rule.least);
}

std::string condition(const AlertOptions& rule, double threshold) {
  std::vector<std::string> parts;
  for (const Duration each : rule.windows) {
    const std::string window =
        window_text(std::max<Duration>(each, 60s));  // a scrape is every 15 s: shorter says nothing
    parts.push_back(fmt::format("(({}) {} {}{})", value_of(rule, window),
                                rule.side == monitor::Side::above ? ">" : "<", threshold,
                                guard_of(rule, window)));
  }
  return fmt::format("{}", fmt::join(parts, " and "));
}

std::string yaml_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

// Prometheus takes an annotation for a template.
std::string no_template(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool opens = text.substr(at).starts_with("{{");
    out += opens ? R"({{ "{{" }})" : std::string(1, text[at]);
    at += opens ? 1 : 0;
  }
  return out;
}

void append_rule(std::string& out, const AlertOptions& rule, std::string_view severity,
                 double threshold) {
  if (threshold < 0) return;
  out += fmt::format("      - alert: {}\n        expr: {}\n        for: {}\n",
                     yaml_text("Headroom " + rule.name), yaml_text(condition(rule, threshold)),
                     window_text(rule.hold));
  out += fmt::format(
      "        labels:\n          severity: {}\n        annotations:\n          summary: {}\n",
      severity, yaml_text(no_template(rule.summary)));
}

struct Recorded {
  std::string alert;
  std::int64_t step = 5;
  std::vector<std::optional<double>> values;
  std::vector<std::string> expect;  // "65 fired critical"
};

// [1, 2, null, {"value": 3, "times": 12}].
Result<std::vector<std::optional<double>>> values_of(json::Value list) {
  std::vector<std::optional<double>> all;
  if (list.kind() != json::Kind::array)
    return fail(Errc::invalid, "field 'values': expected an array");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json::Value item = list.item(i);
    if (item.is_null() || item.number()) {
      all.push_back(item.number());
      continue;
    }
    const auto value = item.find("value");
    const auto times = item.find("times");
    if (!value || !times || !times->natural() || *times->natural() > 1000000)
      return fail(Errc::invalid, "field 'values': expected numbers, null, or {value, times}");
    all.insert(all.end(), *times->natural(), value->number());
  }
  return all;
}

Result<std::vector<Recorded>> read_recorded(const std::string& file) {
  std::ifstream in(file);
  if (!in) return fail(Errc::not_found, fmt::format("{}: cannot be read", file));
  std::stringstream text;
  text << in.rdbuf();
  auto document = json::parse(text.str(), {.bytes = Bytes::mib(16)});
  if (!document) return pass(document, file);
  std::vector<Recorded> all;
  std::optional<Error> wrong;
  json::Reader reader(document->root());
  reader.required_objects("tests", [&](json::Reader& test) {
    Recorded each;
    std::optional<json::Value> values;
    test.required("alert", each.alert);
    test.optional("step_seconds", each.step);
    test.required("values", values);
    test.required("expect", each.expect);
    if (each.step < 1) test.refuse("step_seconds", "expected at least 1");
    if (!values) return;
    auto read = values_of(*values);
    if (!read) {
      wrong = read.error();
      return;
    }
    each.values = std::move(*read);
    all.push_back(std::move(each));
  });
  if (auto read = reader.finish(); !read) return pass(read, file);
  if (wrong) return std::unexpected(std::move(*wrong).with(file));
  return all;
}

std::vector<std::string> replay(const AlertOptions& rule, const Recorded& recorded) {
  monitor::AlertWatch watch(rule);
  std::vector<std::string> told;
  constexpr std::int64_t kBegin = 1;  // 0 means never
  std::int64_t at = 0;
  for (const auto& value : recorded.values) {
    if (const auto change = watch.see(kBegin + at, value))
      told.push_back(fmt::format("{} {} {}", at, monitor::to_string(*change),
                                 monitor::to_string(watch.severity())));
    at += recorded.step;
  }
  return told;
}

}  // namespace

std::string prometheus_rules(std::span<const AlertOptions> rules) {
  std::string out =
      "# Headroom's alert rules for Prometheus: headroom export prometheus-rules\ngroups:\n  - "
      "name: headroom\n    rules:\n";
  for (const AlertOptions& rule : rules) {
    append_rule(out, rule, "warning", rule.warning);
    append_rule(out, rule, "critical", rule.critical);
  }
  return out;
}

int export_prometheus_rules(const SettingsRequest& request) {
  auto settings = load_settings(request);
  if (!settings) {
    fmt::print(stderr, "{}\n", settings.error().message);
    return kBadUsage;
  }
  fmt::print("{}", prometheus_rules(monitor::alerts_in_force(
                       (*settings)->get<monitor::MonitorOptions>().alerting)));
  return 0;
}

int test_alerts(const SettingsRequest& request, const std::string& file) {
  auto settings = load_settings(request);
  auto tests = settings ? read_recorded(file) : Result<std::vector<Recorded>>(pass(settings));
  if (!tests) {
    fmt::print(stderr, "{}\n", tests.error().message);
    return kBadUsage;
  }
  const auto rules = monitor::alerts_in_force((*settings)->get<monitor::MonitorOptions>().alerting);
  int failed = 0;
  for (const Recorded& each : *tests) {
    const auto rule = std::ranges::find(rules, each.alert, &AlertOptions::name);
    if (rule == rules.end()) {
      fmt::print(stderr, "{}: no rule of that name is in force\n", each.alert);
      return kBadUsage;
    }
    const auto told = replay(*rule, each);
    if (told == each.expect) {
      fmt::print("{}: as expected ({})\n", each.alert,
                 told.empty() ? "nobody is told" : fmt::format("{}", fmt::join(told, ", ")));
    } else {
      ++failed;
      fmt::print("{}: expected [{}], was [{}]\n", each.alert, fmt::join(each.expect, ", "),
                 fmt::join(told, ", "));
    }
  }
  return failed == 0 ? 0 : kFailed;
}

}  // namespace headroom::server
