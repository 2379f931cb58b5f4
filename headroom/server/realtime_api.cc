#include "headroom/server/realtime_api.h"

#include <array>

#include "headroom/json/json.h"
#include "headroom/json/raw.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;
using realtime::Hub;
using realtime::Notice;
using realtime::Statistics;

constexpr std::size_t kTop = 20;
constexpr std::array<std::string_view, 4> kFaces{"pusher", "json", "sse", "poll"};

constexpr std::string_view kPublishSchema =
    R"({"type":"object","required":["type","data"],"additionalProperties":false,"properties":{
  "type":{"type":"string","description":"what kind of message"},"data":{"description":"any JSON"},
  "channels":{"type":"array","items":{"type":"string"}},"users":{"type":"array","items":{"type":"string"}},"groups":{"type":"array","items":{"type":"string"}},
  "locations":{"type":"array","items":{"type":"string"}},"broadcast":{"type":"boolean"},"priority":{"enum":["normal","critical"]}}})";
constexpr std::string_view kSendSchema =
    R"({"type":"object","required":["data"],"additionalProperties":false,"properties":{
  "type":{"type":"string"},"data":{"description":"any JSON"},"priority":{"enum":["normal","critical"]}}})";

void write_times(json::Writer& out, std::string_view name, const metrics::HistogramValues& values) {
  out.key(name).begin_object().field("count", values.count());
  for (const auto& [key, q] : {std::pair{"p50_ms", 0.5}, {"p95_ms", 0.95}, {"p99_ms", 0.99}})
    out.field(key, milliseconds(values.quantile(q)));
  // How many took at most so long.
  out.key("at_most_ms").begin_object();
  std::uint64_t sum = 0;
  std::size_t bucket = 0;
  for (const int limit : {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000}) {
    for (; bucket < values.buckets.size() &&
           metrics::Scale::lower_bound(bucket + 1) <= std::chrono::milliseconds(limit);
         ++bucket)
      sum += values.buckets[bucket];
    out.field(std::to_string(limit), sum);
  }
  out.end_object().end_object();
}

Reply show_statistics(const Statistics& all) {
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", "ok")
      .field("connections", all.connections)
      .field("blocked", all.blocked)
      .key("connections_by_face")
      .begin_object();
  for (std::size_t i = 0; i < kFaces.size(); ++i) out.field(kFaces[i], all.connections_by_face[i]);
  out.end_object()
      .field("channels", all.channels)
      .field("subscriptions", all.subscriptions)
      .field("received", all.received);
  out.field("unheard", all.unheard).key("recoveries").begin_object();
  out.field("recovered", all.recovered).field("lost", all.lost).end_object();
  out.key("refused").begin_object();
  for (const auto& [reason, count] : all.refused) out.field(reason, count);
  out.end_object();
  out.field("published", all.published)
      .field("published_critical", all.published_critical)
      .field("delivered", all.delivered)
      .field("writes", all.writes);
  out.key("dropped").begin_object();
  for (const auto& slow : realtime::kSlow)
    out.field(slow.text, all.dropped[static_cast<std::size_t>(slow.value)]);
  out.end_object();
  write_times(out, "delivery", all.delivery);
  write_times(out, "delivery_critical", all.critical);
  out.key("top_channels").begin_array();
  for (const auto& one : all.top)
    out.begin_object()
        .field("app", one.app)
        .field("channel", one.name)
        .field("subscriptions", one.subscriptions)
        .field("messages", one.messages)
        .end_object();
  out.end_array().end_object();
  return json_reply(std::move(body));
}

// 6FB's fields.
Reply show_status(const Statistics& all) {
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", "ok")
      .field("connections", all.connections)
      .field("rooms", all.channels)
      .field("subscriptions", all.subscriptions);
  out.field("messages", all.published)
      .field("deliveries", all.delivered)
      .field("latency_p50_ms", milliseconds(all.delivery.quantile(0.5)));
  out.field("latency_p99_ms", milliseconds(all.delivery.quantile(0.99))).end_object();
  return json_reply(std::move(body));
}

Reply show_scalability(const Statistics& all, double uptime_seconds) {
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", "healthy")
      .field("connections", all.connections)
      .field("rooms", all.channels);
  out.field("messages_per_second",
            uptime_seconds > 0 ? static_cast<double>(all.published) / uptime_seconds : 0.0);
  out.field("deliveries", all.delivered)
      .field("latency_p99_ms", milliseconds(all.delivery.quantile(0.99)))
      .end_object();
  return json_reply(std::move(body));
}

void add_named(std::vector<std::string>& channels, std::string_view kind,
               const std::vector<std::string>& names) {
  for (const std::string& name : names) channels.push_back(std::string(kind) + name);
}

Result<Notice> read_notice(const std::string& body, std::string_view standard_type) {
  auto document = json::parse(body);
  if (!document) return pass(document, "body");
  json::Reader in(document->root());
  Notice notice;
  std::vector<std::string> users;
  std::vector<std::string> groups;
  std::vector<std::string> locations;
  std::optional<json::Value> data;
  std::string priority = "normal";
  bool everybody = false;
  notice.type = standard_type;
  in.required("data", data);
  in.optional("type", notice.type);
  in.optional("priority", priority);
  in.optional("channels", notice.channels);
  in.optional("users", users);
  in.optional("groups", groups);
  in.optional("locations", locations);
  in.optional("broadcast", everybody);
  if (priority != "normal" && priority != "critical")
    in.refuse("priority", "expected \"normal\" or \"critical\"");
  if (auto read = in.finish(); !read) return pass(read);
  add_named(notice.channels, "user:", users);
  add_named(notice.channels, "group:", groups);
  add_named(notice.channels, "location:", locations);
  if (everybody) notice.channels.emplace_back("broadcast");
  notice.data = json::compacted(json::raw_member(body, "data"));
  notice.critical = priority == "critical";
  return notice;
}

net::Task<Reply> send(Hub& hub, http::Exchange& x, Result<Notice> notice) {
  if (!notice) co_return error_reply(notice.error());
  const std::size_t channels = notice->channels.size();
  auto published = co_await hub.publish(x.group(), std::move(*notice));
  if (!published) co_return error_reply(published.error());
  std::string body;
  json::Writer(body).begin_object().field("status", "ok").field("channels", channels).end_object();
  co_return json_reply(std::move(body));
}

net::Task<Reply> publish(Hub& hub, http::Exchange& x, const Call& call) {
  co_return co_await send(hub, x, read_notice(call.body, {}));
}

net::Task<Reply> broadcast(Hub& hub, http::Exchange& x, const Call& call) {
  auto notice = read_notice(call.body, "broadcast");
  if (notice) notice->channels = {"broadcast"};
  co_return co_await send(hub, x, std::move(notice));
}

net::Task<Reply> send_to_location(Hub& hub, http::Exchange& x, const Call& call) {
  auto notice = read_notice(call.body, "location");
  if (notice) notice->channels = {"location:" + std::string(call.parameter("location_id"))};
  co_return co_await send(hub, x, std::move(notice));
}

net::Task<Reply> disconnect(Hub& hub, http::Exchange& x, const Call& call) {
  auto ended = co_await hub.end_user(x.group(), std::string(call.parameter("user")));
  if (!ended) co_return error_reply(ended.error());
  std::string body;
  json::Writer(body).begin_object().field("status", "ok").field("ended", *ended).end_object();
  co_return json_reply(std::move(body));
}

net::Task<Reply> revoke(Hub& hub, http::Exchange& x, const Call& call) {
  auto ended = co_await hub.revoke(x.group(), std::string(call.parameter("user")));
  if (!ended) co_return error_reply(ended.error());
  std::string body;
  json::Writer(body).begin_object().field("status", "ok").field("ended", *ended).end_object();
  co_return json_reply(std::move(body));
}

struct Row {
  Method method;
  std::string_view path;
  bool seed;
  std::string_view summary;
  std::string_view schema;
  std::string_view fields;  // null in a GET's answer when there is no hub
  Reply (*show)(const Statistics& all, double uptime_seconds);
  net::Task<Reply> (*change)(Hub& hub, http::Exchange& x, const Call& call);
  bool audited = false;  // messages are the app's own data; whose connections end is not
};

const std::array kRows{
    Row{Method::get,
        "/api/v1/realtime",
        false,
        "Connections, channels, messages, drops and delivery times of the hub.",
        {},
        "connections channels published delivered",
        [](const Statistics& all, double) { return show_statistics(all); },
        nullptr},
    Row{Method::post,
        "/api/v1/realtime/publish",
        false,
        "Publishes to rooms, users, groups, locations or everybody; who is in several gets it "
        "once.",
        kPublishSchema,
        {},
        nullptr,
        publish},
    Row{Method::post,
        "/api/v1/realtime/users/{user}/disconnect",
        false,
        "Ends the connections of a user.",
        {},
        {},
        nullptr,
        disconnect,
        true},
    Row{Method::post,
        "/api/v1/realtime/users/{user}/revoke",
        false,
        "Ends the connections of a user and refuses the tokens issued to it until now, for a week "
        "or until a restart.",
        {},
        {},
        nullptr,
        revoke,
        true},
    Row{Method::get,
        "/api/v1/ws/status",
        true,
        "6FB: connections and rooms.",
        {},
        "connections rooms",
        [](const Statistics& all, double) { return show_status(all); },
        nullptr},
    Row{Method::post,
        "/api/v1/ws/broadcast",
        true,
        "6FB: publishes to everybody.",
        kSendSchema,
        {},
        nullptr,
        broadcast},
    Row{Method::post,
        "/api/v1/ws/send-to-location/{location_id}",
        true,
        "6FB: publishes to a location.",
        kSendSchema,
        {},
        nullptr,
        send_to_location},
    Row{Method::get,
        "/api/v1/performance/scalability/realtime",
        true,
        "6FB: the hub under load.",
        {},
        "connections rooms messages_per_second",
        show_scalability,
        nullptr},
};

Reply without_hub(const Row& row) {
  return row.method == Method::get ? not_configured(row.fields)
                                   : refused_as_not_configured("the hub is off (realtime.enabled)");
}

net::Task<Reply> answer(const Row& row, const Sources& sources, http::Exchange& x,
                        const Call& call) {
  Hub* const hub = sources.hub ? sources.hub() : nullptr;
  if (hub == nullptr) co_return without_hub(row);
  if (row.change != nullptr) co_return co_await row.change(*hub, x, call);
  auto all = co_await hub->statistics(x.group(), kTop);
  if (!all) co_return error_reply(all.error());
  co_return row.show(*all, seconds(elapsed(sources.started, Clock::now())));
}

}  // namespace

void add_realtime_endpoints(Api& api, const Sources& sources) {
  for (const Row& row : kRows) {
    api.add(
        {.method = row.method,
         .path = std::string(row.path),
         .role = row.method == Method::get ? Role::viewer : Role::operator_,
         .run = Run::waiting,
         .tag = "realtime",
         .summary = row.summary,
         .request_schema = row.schema,
         .place = row.seed ? Place::admin_and_edge : Place::admin,
         .audited = row.audited,
         .task = [&row, &sources](http::Exchange& exchange, const Call& call) -> net::Task<Reply> {
           return answer(row, sources, exchange, call);
         }});
  }
}

std::vector<std::string> realtime_seed_paths() {
  std::vector<std::string> paths;
  for (const Row& row : kRows) {
    if (row.seed) paths.emplace_back(row.path.substr(0, row.path.find("/{")));
  }
  return paths;
}

}  // namespace headroom::server
