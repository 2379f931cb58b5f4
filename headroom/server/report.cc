#include "headroom/server/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "headroom/auth/identity.h"
#include "headroom/monitor/vitals.h"

namespace headroom::server {

std::string utc_text(std::chrono::sys_seconds when) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(when)));
}

std::string utc_now() { return utc_text(auth::wall_now()); }

double percentage(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
}

void write_quantiles(json::Writer& out, std::string_view name, const edge::Quantiles& values) {
  out.key(name).begin_object();
  out.key("mean").fixed(values.mean, 3);
  out.key("p50").fixed(values.p50, 3);
  out.key("p90").fixed(values.p90, 3);
  out.key("p95").fixed(values.p95, 3);
  out.key("p99").fixed(values.p99, 3);
  out.end_object();
}

void write_route(json::Writer& out, const edge::RouteStatus& route) {
  out.begin_object();
  out.field("name", route.name).field("requests", route.requests);
  out.key("by_status").begin_object();
  out.field("none", route.by_class[0]);
  for (std::size_t i = 1; i < route.by_class.size(); ++i)
    out.field(fmt::format("{}xx", i), route.by_class[i]);
  out.end_object();
  const std::uint64_t errors = route.by_class[0] + route.by_class[5];
  out.key("error_rate").fixed(percentage(errors, route.requests), 3);
  out.field("bytes_in", route.bytes_in)
      .field("bytes_out", route.bytes_out)
      .field("in_flight", route.in_flight);
  out.key("latency_ms").begin_object();
  write_quantiles(out, "queue", route.queue);
  write_quantiles(out, "connect", route.connect);
  write_quantiles(out, "first_byte", route.first_byte);
  write_quantiles(out, "total", route.total);
  out.end_object().end_object();
}

void write_group(json::Writer& out, const edge::GroupStatus& group) {
  out.begin_object();
  out.field("name", group.name).field("in_flight", group.in_flight);
  out.field("in_flight_limit", group.in_flight_limit).field("queued", group.queued);
  out.key("servers").begin_array();
  for (const edge::ServerStatus& server : group.servers) {
    out.begin_object();
    out.field("address", server.address)
        .field("state", server.state)
        .field("reason", server.reason);
    out.field("weight", server.weight)
        .field("in_flight", server.in_flight)
        .field("idle", server.idle);
    out.field("requests", server.requests).field("failures", server.failures);
    out.key("latency_ms").begin_object();
    out.key("p50").fixed(server.p50_ms, 3);
    out.key("p90").fixed(server.p90_ms, 3);
    out.key("p95").fixed(server.p95_ms, 3);
    out.key("p99").fixed(server.p99_ms, 3);
    out.end_object().end_object();
  }
  out.end_array().end_object();
}

void write_limit(json::Writer& out, const limit::RuleStatus& rule) {
  const std::uint64_t refused = rule.refused + rule.shadow_refused;
  out.begin_object();
  out.field("name", rule.name).field("mode", rule.mode).field("algorithm", rule.algorithm);
  out.field("rate", rule.rate).field("subject", rule.subject);
  out.field("allowed", rule.allowed).field("refused", rule.refused);
  out.field("shadow_refused", rule.shadow_refused);
  out.key("refused_percent").fixed(percentage(refused, rule.allowed + refused), 3);
  out.field("subjects", rule.subjects).field("capacity", rule.capacity);
  out.field("shared", rule.shared).field("evicted", rule.evicted);
  out.field("bytes_at_most", rule.bytes_at_most);
  out.key("top").begin_array();
  for (const limit::SubjectStatus& subject : rule.top) {
    out.begin_object().field("subject", subject.subject).field("tier", subject.tier);
    out.field("used", subject.used).field("limit", subject.limit);
    out.field("allowed", subject.allowed).field("refused", subject.refused).end_object();
  }
  out.end_array().end_object();
}

void write_reports(json::Writer& out, std::string_view name,
                   const std::vector<net::HealthReport>& reports) {
  out.key(name).begin_array();
  for (const net::HealthReport& report : reports) {
    out.begin_object();
    out.field("component", report.component).field("state", monitor::to_string(report.state));
    out.field("reason", report.reason);
    out.end_object();
  }
  out.end_array();
}

}  // namespace headroom::server
