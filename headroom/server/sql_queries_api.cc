#include "headroom/server/sql_queries_api.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "headroom/base/text.h"
#include "headroom/server/report.h"
#include "headroom/server/sql_api.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;
using sql::Sql;

constexpr std::size_t kMostQueries = 100;

struct OrderName {
  std::string_view name;
  Sql::Order order;
};
constexpr std::array kOrders{
    OrderName{"mean", Sql::Order::mean},   OrderName{"total", Sql::Order::total},
    OrderName{"calls", Sql::Order::calls}, OrderName{"errors", Sql::Order::errors},
    OrderName{"rows", Sql::Order::rows},   OrderName{"wait", Sql::Order::wait}};

std::string utc_of(TimePoint then) {
  const auto ago = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - then);
  return utc_text(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) - ago);
}

std::string id_text(std::uint64_t id) { return fmt::format("{:016x}", id); }

std::optional<std::uint64_t> parse_id(std::string_view text) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return id;
}

void write_query(json::Writer& out, const sql::ShapeReport& q) {
  const auto ms = [&out](std::string_view name, Duration time) {
    out.key(name).fixed(milliseconds(time), 3);
  };
  out.field("id", id_text(q.id))
      .field("query", q.query)
      .field("database", q.database)
      .field("user", q.user);
  out.field("calls", q.calls).field("errors", q.errors).key("errors_by_class").begin_object();
  for (const auto& [name, count] : q.classes) out.field(name, count);
  out.end_object().field("rows", q.rows).field("bytes", q.bytes);
  ms("total_ms", q.total);
  ms("mean_ms", q.mean());
  ms("p50_ms", q.quantile(0.5));
  ms("p95_ms", q.quantile(0.95));
  ms("p99_ms", q.quantile(0.99));
  ms("max_ms", q.slowest);
  ms("first_row_p50_ms", std::min(q.slowest, q.first_rows.quantile(0.5)));
  ms("first_row_p95_ms", std::min(q.slowest, q.first_rows.quantile(0.95)));
  out.field("waits", q.waits);
  ms("wait_ms", q.waited);
  out.field("cache_hits", q.hits).field("replica_reads", q.replica_reads);
  out.key("replica_percent")
      .fixed(percentage(q.replica_reads, q.calls - std::min(q.calls, q.hits)), 2);
  out.field("sampled", q.sampled).field("last_used", utc_of(q.last_used));
}

void write_sample(json::Writer& out, const std::optional<sql::Sample>& sample) {
  if (!sample) {
    out.null();
    return;
  }
  out.begin_object().field("query", sample->query).key("parameters").begin_array();
  for (const auto& each : sql::parameters_of(*sample)) out.value(each);
  out.end_array().key("ms").fixed(milliseconds(sample->time), 3);
  out.field("at", utc_of(sample->at)).field("search_path", sample->search_path).end_object();
}

Reply one_query(const Sql& sql, const Call& call) {
  const auto id = parse_id(call.parameter("id"));
  const auto query = id ? sql.query(*id) : std::nullopt;
  if (!query) return error_reply(404, "not_found", "no such query is remembered");
  std::string body;
  json::Writer out(body);
  out.begin_object();
  write_query(out, *query);
  out.key("sample");
  write_sample(out, sql.sample(*id));
  out.end_object();
  return json_reply(std::move(body));
}

Reply explain(const Sql& sql, const Call& call) {
  const auto id = parse_id(call.parameter("id"));
  if (!id) return error_reply(404, "not_found", "no such query is remembered");
  auto explained = sql.explain(*id);
  if (!explained) return error_reply(explained.error());
  std::string body;
  json::Writer out(body);
  out.begin_object().field("id", id_text(*id)).field("generic", explained->generic);
  out.key("plan").raw(explained->plan).end_object();
  return json_reply(std::move(body));
}

Reply pins(const Sql& sql, const Call&) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", "ok").key("pins").begin_array();
  for (const sql::PinReport& each : sql.pins()) {
    out.begin_object()
        .field("database", each.database)
        .field("user", each.user)
        .field("client", each.client);
    out.field("server", each.server_pid)
        .field("reason", each.reason)
        .key("for_s")
        .fixed(seconds(each.time), 1)
        .end_object();
  }
  out.end_array().end_object();
  return json_reply(std::move(body));
}

}  // namespace

void write_queries(json::Writer& out, const std::vector<sql::ShapeReport>& queries) {
  out.begin_array();
  for (const sql::ShapeReport& each : queries) {
    out.begin_object();
    write_query(out, each);
    out.end_object();
  }
  out.end_array();
}

Reply slow_queries(const Sql& sql, const Call& call) {
  const std::string by = call.query_value("by");
  const std::string asked = call.query_value("limit");
  const auto most = asked.empty() ? std::optional<std::uint64_t>(20) : text::to_u64(asked);
  if (!most || *most > kMostQueries) return error_reply(400, "invalid", "limit: expected 0 to 100");
  const auto order = std::ranges::find(kOrders, by.empty() ? "mean" : by, &OrderName::name);
  if (order == kOrders.end())
    return error_reply(400, "invalid", "by: expected mean, total, calls, errors, rows or wait");
  const Sql::Queries queries = sql.queries(order->order, static_cast<std::size_t>(*most));
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", "ok")
      .field("shapes", queries.all)
      .field("shapes_limit", queries.limit);
  out.field("forgotten", queries.forgotten)
      .key("slow_query_ms")
      .fixed(milliseconds(sql.options().slow_query), 0);
  out.key("slow_queries");
  write_queries(out, queries.first);
  out.end_object();
  return json_reply(std::move(body));
}

void add_sql_query_endpoints(Api& api, const Sources& sources) {
  const auto running = [&sources] { return sources.sql ? sources.sql() : nullptr; };
  api.add({.method = Method::get,
           .path = "/api/v1/database/slow-queries/{id}",
           .role = Role::admin,
           .run = Run::reading,
           .tag = "sql",
           .summary = "One query of the list, and the statement that sql.samples keeps of it.",
           .answer = [running](const Call& call) {
             const Sql* sql = running();
             return sql != nullptr ? one_query(*sql, call) : not_configured("query sample");
           }});
  api.add({.method = Method::post,
           .path = "/api/v1/database/slow-queries/{id}/explain",
           .role = Role::admin,
           .run = Run::control,
           .tag = "sql",
           .summary = "The server's plan for it, as its user: of its sample, or with its values "
                      "left open. Reads only; nothing is executed.",
           .answer = [running](const Call& call) {
             const Sql* sql = running();
             return sql != nullptr ? explain(*sql, call)
                                   : refused_as_not_configured("the SQL proxy does not run");
           }});
  api.add(
      {.method = Method::get,
       .path = "/api/v1/sql/pins",
       .role = Role::viewer,
       .run = Run::reading,
       .tag = "sql",
       .summary =
           "Clients that keep a server connection beyond their transaction, why and for how long.",
       .answer = [running](const Call& call) {
         const Sql* sql = running();
         return sql != nullptr ? pins(*sql, call) : not_configured("pins");
       }});
}

}  // namespace headroom::server
