#include "headroom/server/live.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "headroom/base/log.h"
#include "headroom/json/writer.h"
#include "headroom/monitor/metrics.h"
#include "headroom/server/advice.h"
#include "headroom/server/alerts_api.h"
#include "headroom/server/ceilings.h"
#include "headroom/server/objectives.h"
#include "headroom/server/report.h"
#include "headroom/server/trends_api.h"

namespace headroom::server {
namespace {

using http::Reply;

constexpr Duration kEvery = 1s;

// By the name of a ceiling: when it gives out, where its use has grown steadily for ten minutes.
std::map<std::string, double> forecasts(monitor::Trends& trends, std::int64_t now) {
  constexpr std::int64_t kLooked = 600;
  constexpr std::int64_t kStep = 10;
  std::map<std::string, double> found;
  const auto answer = trends.query({.metric = std::string(monitor::kCeilingRatio.name),
                                    .from = now - kLooked,
                                    .to = now,
                                    .step = kStep,
                                    .where = {},
                                    .by = std::vector<std::string>{"kind", "resource"}});
  if (!answer) return found;
  for (const monitor::TrendCurve& curve : answer->curves) {
    std::vector<std::optional<double>> use;
    for (const auto& point : curve.points)
      use.push_back(point ? std::optional(point->mean()) : std::nullopt);
    Ceiling named;
    for (const auto& [name, value] : curve.labels)
      (name == "kind" ? named.kind : named.resource) = value;
    if (const auto left = full_in_seconds(use, static_cast<double>(answer->step)))
      found.emplace(named.name(), *left);
  }
  return found;
}

void write_ceilings(json::Writer& out, const std::vector<Ceiling>& all,
                    const std::map<std::string, double>& full_in) {
  out.key("ceilings").begin_array();
  for (const Ceiling& each : all) {
    out.begin_object()
        .field("name", each.name())
        .field("used", each.used)
        .field("limit", each.limit);
    out.key("ratio").fixed(each.ratio(), 4).field("advice", each.advice).key("full_in_seconds");
    const auto left = full_in.find(each.name());
    left == full_in.end() ? out.null() : out.fixed(left->second, 0);
    out.end_object();
  }
  out.end_array();
}

// The seeds' targets (their documents' response times) and those of the settings.
void write_objectives_met(json::Writer& out, monitor::Trends* trends, const Sources& sources) {
  out.key("objectives").begin_array();
  const auto written =
      sources.objectives ? sources.objectives() : std::vector<monitor::ObjectiveOptions>{};
  if (trends != nullptr) write_objectives(out, objectives(*trends, written, unix_seconds()));
  out.end_array();
}

void write_changes(json::Writer& out) {
  out.key("changes").begin_array();
  for (const log::Change& each : log::changes()) {
    out.begin_object()
        .key("time")
        .fixed(static_cast<double>(each.at.time_since_epoch().count()) / 1000, 3)
        .field("kind", each.kind)
        .field("text", each.text)
        .end_object();
  }
  out.end_array();
}

void write_last_seconds(json::Writer& out, monitor::Trends* trends) {
  if (trends == nullptr) return static_cast<void>(out.key("last_minute").null());
  const std::int64_t now = unix_seconds() + 1;
  out.key("last_minute").begin_object();
  write_summary(out, *trends, now - 60, now);
  out.end_object();
}

}  // namespace

std::string Live::make() const {
  const edge::Summary summary = sources_.summary();
  monitor::Trends* trends = sources_.trends ? sources_.trends() : nullptr;
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("time", unix_seconds())
      .field("version", kVersion)
      .field("stage", monitor::to_string(sources_.vitals.stage()));
  out.field("ready", sources_.vitals.ready().yes)
      .field("state", monitor::to_string(sources_.vitals.state()));
  out.key("uptime_seconds").fixed(seconds(elapsed(sources_.started, Clock::now())), 1);
  write_reports(out, "health", sources_.vitals.reports());
  out.key("requests")
      .begin_object()
      .field("total", summary.requests)
      .field("errors", summary.errors)
      .field("in_flight", summary.in_flight)
      .end_object();
  out.field("connections", summary.connections);
  write_last_seconds(out, trends);
  const std::int64_t now = unix_seconds();
  write_ceilings(out, ceilings_of(sources_, summary),
                 trends == nullptr ? std::map<std::string, double>{} : forecasts(*trends, now));
  if (trends != nullptr) write_explanations(out, sources_, *trends, now);
  write_objectives_met(out, trends, sources_);
  write_alerts(out, sources_.alerts ? sources_.alerts() : nullptr);
  write_changes(out);
  out.end_object();
  return body;
}

void Live::refresh() {
  if (watchers_ == 0) return;
  auto made = std::make_shared<const std::string>(make());
  const std::scoped_lock lock(mutex_);
  text_ = std::move(made);
}

net::Task<Reply> Live::stream(http::Exchange& exchange, const Call& call) {
  struct Watching {
    explicit Watching(std::atomic<unsigned>& all) : watchers(all), place(all.fetch_add(1)) {}
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;
    ~Watching() { watchers.fetch_sub(1); }
    std::atomic<unsigned>& watchers;
    const unsigned place;
  };
  if (exchange.request().method == http::Method::head) co_return json_reply("");
  const Watching watching(watchers_);
  if (watching.place >= kWatchers)
    co_return error_reply(503, "overloaded", "too many watch already");
  exchange.start(200, "OK", {http::Exchange::Length::Kind::unknown, 0});
  exchange.head() +=
      "Content-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: "
      "nosniff\r\nX-Accel-Buffering: no\r\n";
  std::shared_ptr<const std::string> sent;
  std::string piece = "retry: 2000\n\n";
  const TimePoint end = Clock::now() + kStreamLife;
  TimePoint ask_again = Clock::now() + kEvery;
  while (Clock::now() < end) {
    if (Clock::now() >= ask_again) {
      if (!call.still_allowed()) break;
      ask_again = Clock::now() + kEvery;
    }
    std::shared_ptr<const std::string> newest;
    {
      const std::scoped_lock lock(mutex_);
      newest = text_;
    }
    if (newest && newest != sent) piece.append("data: ").append(*newest).append("\n\n");
    sent = newest;
    if (!piece.empty()) {
      auto written = co_await exchange.send(piece, http::Exchange::Last::no);
      if (!written) co_return Reply{};
    }
    piece.clear();
    auto slept = co_await net::sleep(exchange.group(), kEvery / 4);
    if (!slept) break;
  }
  (void)co_await exchange.send("", http::Exchange::Last::yes);
  co_return Reply{};
}

void Live::add_endpoints(Api& api) {
  api.add({.path = "/api/v1/now",
           .run = Run::trends,
           .tag = "overview",
           .summary = "This moment: health, the last minute, each limited resource against its "
                      "limit, objectives, alerts, what changed.",
           .answer = [this](const Call&) { return json_reply(make()); }});
  api.add({.path = "/api/v1/live",
           .run = Run::waiting,
           .tag = "overview",
           .summary = "The same each second, as Server-Sent Events.",
           .content_type = "text/event-stream",
           .task = [this](http::Exchange& exchange, const Call& call) {
             return stream(exchange, call);
           }});
  api.add({.path = "/api/v1/logs",
           .role = auth::Role::operator_,
           .tag = "overview",
           .summary = "The newest lines of the log, the oldest first (500 at most).",
           .answer = [](const Call&) {
             std::string body;
             json::Writer out(body);
             out.begin_object().key("lines").begin_array();
             for (const std::string& line : log::recent())
               out.value(std::string_view(line).substr(0, line.find_last_not_of('\n') + 1));
             out.end_array().end_object();
             return json_reply(std::move(body));
           }});
}

}  // namespace headroom::server
