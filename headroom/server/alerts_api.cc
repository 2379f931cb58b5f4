#include "headroom/server/alerts_api.h"

#include <fmt/format.h>

#include "headroom/base/log.h"
#include "headroom/json/json.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"
#include "headroom/server/report.h"

namespace headroom::server {
namespace {

using http::Method;
using http::Reply;
using monitor::AlertEvent;
using monitor::Alerts;
using monitor::AlertState;
using monitor::AlertStatus;

constexpr std::size_t kHistory = 100;
constexpr std::size_t kMostInCall = 50;
constexpr std::int64_t kTooOld = 86400;
constexpr std::string_view kSilenceSchema =
    R"({"type":"object","required":["for"],"properties":{"for":{"type":"string","description":"a duration such as 1h, 30d at most"}},"additionalProperties":false})";

std::string time_text(std::int64_t at) {
  return utc_text(std::chrono::sys_seconds(std::chrono::seconds(at)));
}

void write_rule(json::Writer& out, const AlertStatus& each) {
  out.begin_object()
      .field("name", each.rule.name)
      .field("state", monitor::to_string(each.state))
      .field("severity", monitor::to_string(each.severity));
  out.field("since", each.since)
      .field("value", each.value)
      .field("summary", each.rule.summary)
      .field("expression", monitor::expression_of(each.rule));
  out.key("silenced_until");
  each.silenced_until == 0 ? out.null() : out.value(each.silenced_until);
  out.key("muted_by");
  each.muted_by.empty() ? out.null() : out.value(each.muted_by);
  out.end_object();
}

Reply show(Alerts& alerts) {
  auto history = alerts.history(kHistory);
  if (!history) return error_reply(history.error());
  std::string body;
  json::Writer out(body);
  out.begin_object().key("rules").begin_array();
  for (const AlertStatus& each : alerts.status()) write_rule(out, each);
  out.end_array().key("history").begin_array();
  for (const AlertEvent& event : *history) {
    out.begin_object()
        .field("at", event.at)
        .field("name", event.name)
        .field("what", monitor::to_string(event.change));
    out.field("severity", monitor::to_string(event.severity))
        .field("value", event.value)
        .end_object();
  }
  out.end_array().end_object();
  return json_reply(std::move(body));
}

Reply silence(Alerts& alerts, const Call& call) {
  auto document = json::parse(call.body);
  if (!document) return error_reply(document.error());
  std::string length;
  json::Reader in(document->root());
  in.required("for", length);
  if (auto read = in.finish(); !read) return error_reply(read.error());
  const auto time = config::Value<Duration>::parse(length);
  if (!time || *time < 1s || *time > std::chrono::days(30))
    return error_reply(400, "invalid", "field 'for': expected a duration from 1s to 30d");
  const std::int64_t until = unix_seconds() + static_cast<std::int64_t>(seconds(*time));
  if (auto done = alerts.silence(call.parameter("name"), until); !done)
    return error_reply(done.error());
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("name", call.parameter("name"))
      .field("silenced_until", until)
      .end_object();
  return json_reply(std::move(body));
}

Reply unsilence(Alerts& alerts, const Call& call) {
  if (auto done = alerts.silence(call.parameter("name"), 0); !done)
    return error_reply(done.error());
  return json_reply(R"({"status":"ok"})");
}

std::string alertmanager_body(std::span<const AlertEvent> events) {
  const bool firing = std::ranges::any_of(
      events, [](const AlertEvent& each) { return each.change != monitor::AlertChange::resolved; });
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("version", "4")
      .field("groupKey", "headroom")
      .field("truncatedAlerts", 0)
      .field("status", firing ? "firing" : "resolved");
  out.field("receiver", "headroom");
  for (const std::string_view empty : {"groupLabels", "commonLabels", "commonAnnotations"})
    out.key(empty).begin_object().end_object();
  out.field("externalURL", "").key("alerts").begin_array();
  for (const AlertEvent& each : events) {
    const bool resolved = each.change == monitor::AlertChange::resolved;
    out.begin_object()
        .field("status", resolved ? "resolved" : "firing")
        .key("labels")
        .begin_object();
    out.field("alertname", each.name)
        .field("severity", monitor::to_string(each.severity))
        .field("job", "headroom")
        .end_object();
    out.key("annotations").begin_object().field("summary", each.summary);
    if (each.value) out.field("value", fmt::format("{:.6g}", *each.value));
    out.end_object()
        .field("startsAt", time_text(each.began))
        .field("endsAt", resolved ? time_text(each.at) : "0001-01-01T00:00:00Z");
    out.field("generatorURL", "")
        .field("fingerprint", fmt::format("{:016x}", std::hash<std::string>{}(each.name)))
        .end_object();
  }
  out.end_array().end_object();
  return body;
}

std::string slack_body(std::span<const AlertEvent> events) {
  std::string text;
  for (const AlertEvent& each : events) {
    text += fmt::format("{}*{}* {} ({}): {}", text.empty() ? "" : "\n", each.name,
                        monitor::to_string(each.change), monitor::to_string(each.severity),
                        each.summary);
    if (each.value) text += fmt::format(" Value: {:.4g}.", *each.value);
  }
  std::string body;
  json::Writer out(body);
  out.begin_object().field("text", text).end_object();
  return body;
}

std::string number_of_alerts(std::size_t number) {
  return number == 1 ? "1 alert" : fmt::format("{} alerts", number);
}

}  // namespace

void write_alerts(json::Writer& out, const Alerts* alerts) {
  out.key("alerts").begin_object();
  const auto all = alerts != nullptr ? alerts->status() : std::vector<AlertStatus>{};
  out.field("firing", std::ranges::count(all, AlertState::firing, &AlertStatus::state));
  out.field("pending", std::ranges::count(all, AlertState::pending, &AlertStatus::state))
      .key("list")
      .begin_array();
  for (const AlertStatus& each : all) {
    if (each.state == AlertState::firing || each.state == AlertState::pending)
      write_rule(out, each);
  }
  out.end_array().end_object();
}

std::string webhook_body(std::span<const AlertEvent> events, monitor::Shape shape) {
  return shape == monitor::Shape::slack ? slack_body(events) : alertmanager_body(events);
}

void add_alert_endpoints(Api& api, const Sources& sources) {
  const auto with_alerts = [&sources](auto answer) {
    return [&sources, answer](const Call& call) {
      Alerts* alerts = sources.alerts ? sources.alerts() : nullptr;
      return alerts == nullptr
                 ? error_reply(404, "not_found",
                               "alerts are off (monitor.alerting.enabled, monitor.trends.enabled)")
                 : answer(*alerts, call);
    };
  };
  api.add({.path = "/api/v1/alerts",
           .run = Run::trends,
           .tag = "alerts",
           .summary = "Every rule with its state and value; what has fired and been resolved.",
           .answer = with_alerts([](Alerts& alerts, const Call&) { return show(alerts); })});
  api.add({.path = "/api/v1/alerts/prometheus",
           .run = Run::trends,
           .tag = "alerts",
           .summary = "The rules as a rules file for Prometheus (YAML).",
           .content_type = "application/yaml",
           .answer = with_alerts([](Alerts& alerts, const Call&) {
             std::vector<monitor::AlertOptions> rules;
             for (const AlertStatus& each : alerts.status()) rules.push_back(each.rule);
             return Reply{200, "application/yaml", prometheus_rules(rules), {}};
           })});
  api.add({.method = Method::post,
           .path = "/api/v1/alerts/{name}/silence",
           .role = auth::Role::operator_,
           .run = Run::trends,
           .tag = "alerts",
           .summary = "Tells nobody of an alert for so long.",
           .request_schema = kSilenceSchema,
           .answer = with_alerts(
               [](Alerts& alerts, const Call& call) { return silence(alerts, call); })});
  api.add({.method = Method::delete_,
           .path = "/api/v1/alerts/{name}/silence",
           .role = auth::Role::operator_,
           .run = Run::trends,
           .tag = "alerts",
           .summary = "Ends a silence.",
           .answer = with_alerts(
               [](Alerts& alerts, const Call& call) { return unsilence(alerts, call); })});
}

Result<std::unique_ptr<AlertSender>> AlertSender::start(net::Worker& worker,
                                                        net::Resolver& resolver,
                                                        net::Offload& thread, Alerts& alerts,
                                                        const monitor::AlertingOptions& options,
                                                        std::size_t workers) {
  auto to = http::call_address(options.webhook);
  if (!to) return fail(Errc::invalid, "monitor.alerting.webhook: no http:// or https:// URL");
  std::unique_ptr<AlertSender> sender(new AlertSender(worker, resolver, thread, alerts));
  sender->to_ = std::move(*to);
  sender->shape_ = options.shape;
  if (sender->to_.tls) {
    auto tls = net::TlsClient::make({}, workers);
    if (!tls) return pass(tls, "monitor.alerting.webhook");
    sender->tls_ = std::move(*tls);
  }
  worker.run_and_wait(
      [&sender] { (void)sender->group_.spawn([made = sender.get()] { return made->run(); }); });
  return sender;
}

AlertSender::~AlertSender() { group_.stop_and_join(); }

net::Task<> AlertSender::run() {
  Duration pause = 1s;
  for (;;) {
    auto slept = co_await net::sleep(group_, pause);
    if (!slept) co_return;
    const bool sent = co_await send();
    pause = sent ? Duration(1s) : std::min<Duration>(pause * 2, 60s);
  }
}

// An event that nobody took for a day is none any more.
Result<std::vector<AlertEvent>> AlertSender::fresh_events() {
  auto waiting = alerts_.outbox(kMostInCall);
  if (!waiting) return waiting;
  const auto stale = std::ranges::find_if(
      *waiting, [now = unix_seconds()](auto& each) { return each.at + kTooOld >= now; });
  if (stale == waiting->begin()) return waiting;
  log::warn("monitor", "{} could not be sent for a day and will not be",
            number_of_alerts(static_cast<std::size_t>(stale - waiting->begin())));
  if (auto dropped = alerts_.told(std::prev(stale)->id); !dropped) return pass(dropped);
  waiting->erase(waiting->begin(), stale);
  return waiting;
}

net::Task<bool> AlertSender::send() {
  auto read = [this] { return fresh_events(); };
  auto waiting = co_await thread_.run(group_.worker(), std::move(read));
  if (!waiting || !*waiting || (*waiting)->empty()) co_return true;
  const std::vector<AlertEvent> events = std::move(**waiting);
  const std::int64_t last = events.back().id;
  http::Call what{.to = to_,
                  .fields = {{"Content-Type", "application/json"}},
                  .body = webhook_body(events, shape_)};
  auto answer = co_await http::call(group_, resolver_, tls_.get(), what);
  if (!answer || answer->status / 100 != 2) {
    log::warn("monitor", "{} could not be sent, trying again: {}", number_of_alerts(events.size()),
              answer ? fmt::format("status {}", answer->status) : answer.error().message);
    co_return false;
  }
  auto done = [this, last] { return alerts_.told(last); };
  (void)co_await thread_.run(group_.worker(), std::move(done));
  co_return true;
}

}  // namespace headroom::server
