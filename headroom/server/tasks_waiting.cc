// Enqueueing over HTTP, and waiting for what becomes of a job.
#include <fmt/format.h>

#include <algorithm>

#include "headroom/config/values.h"
#include "headroom/fwp/command.h"
#include "headroom/json/json.h"
#include "headroom/json/raw.h"
#include "headroom/json/writer.h"
#include "headroom/server/tasks_api.h"
#include "headroom/server/tasks_desk.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;

constexpr std::uint64_t kMostBytes = 8U << 20U;  // of the jobs of one request
constexpr Duration kWait = 30s;
constexpr Duration kLongestWait = 60s;
constexpr Duration kStep = 1s;  // then it is looked whether the door closes

constexpr std::string_view kEnqueueSchema =
    R"({"type":"object","description":"a job, or {\"jobs\": [...]}","properties":{"jobs":{"type":"array","items":{"type":"object"}},)"
    R"("jid":{"type":"string","description":"made when missing"},"jobtype":{"type":"string"},"args":{"type":"array"},"queue":{"type":"string"},)"
    R"("priority":{"type":"integer","minimum":0,"maximum":255},"at":{"type":"string","format":"date-time"},"retry":{"type":"integer"},"reserve_for":{"type":"integer"},"custom":{"type":"object"}}})";

Reply enqueued_reply(const tasks::Enqueued& pushed, bool many) {
  if (!many && !pushed.refusals.empty()) return error_reply(pushed.refusals[0].second);
  std::string body;
  json::Writer out(body);
  out.begin_object();
  if (!many) {
    out.field("jid", pushed.jids[0]);
  } else {
    out.field("jids", pushed.jids).key("errors").begin_array();
    for (const auto& [index, error] : pushed.refusals) {
      out.begin_object()
          .field("index", index)
          .field("code", to_string(error.code))
          .field("message", error.message)
          .end_object();
    }
    out.end_array();
  }
  const bool none = pushed.refusals.size() == pushed.jids.size() && !pushed.jids.empty();
  if (none) {
    const Error& first = pushed.refusals.front().second;
    out.key("error")
        .begin_object()
        .field("code", to_string(first.code))
        .field("message", "no job was accepted: " + first.message)
        .end_object();
  }
  out.end_object();
  return json_reply(std::move(body),
                    none ? error_reply(pushed.refusals.front().second).status : 201);
}

struct Texts {
  std::vector<std::string> jobs;
  bool many = false;
};

// Byte for byte: what a job holds is its app's.
Result<Texts> texts_in(const std::string& body) {
  const auto document = json::parse(body, {.bytes = Bytes{body.size()}, .depth = fwp::kDepth + 2});
  if (!document) return fail(document.error().code, document.error().message);
  if (!document->root().find("jobs")) return Texts{.jobs = {body}};
  const auto jobs = fwp::elements_of(json::raw_member(body, "jobs"));
  if (!jobs) return fail(Errc::invalid, "field 'jobs': " + jobs.error().message);
  if (jobs->empty()) return fail(Errc::invalid, "field 'jobs': expected one job or more");
  return Texts{.jobs = {jobs->begin(), jobs->end()}, .many = true};
}

net::Task<Reply> enqueue(tasks::Desk& desk, http::Exchange&, const Call& call) {
  const auto texts = texts_in(call.body);
  if (!texts) co_return error_reply(texts.error());
  const auto done = co_await desk.enqueue(texts->jobs);
  if (!done) co_return error_reply(done.error());
  co_return enqueued_reply(*done, texts->many);
}

Result<Duration> wait_of(const Call& call) {
  const std::string text = call.query_value("wait");
  if (text.empty()) return kWait;
  const auto value = config::Value<Duration>::parse(text);
  if (value && *value <= kLongestWait) return *value;
  return fail(Errc::invalid,
              fmt::format("wait: expected {}, up to {}", config::Value<Duration>::accepted(),
                          config::Value<Duration>::show(kLongestWait)));
}

Reply track_reply(const tasks::Track& track) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("jid", track.jid).field("state", to_string(track.state));
  if (track.percent) out.field("percent", *track.percent);
  if (!track.desc.empty()) out.field("desc", track.desc);
  if (track.updated != 0) out.field("updated", tasks::format_time(track.updated));
  out.key("result");
  track.result.empty() ? out.null() : out.raw(track.result);
  out.end_object();
  return json_reply(std::move(body), track.has_outcome() ? 200 : 202);
}

Reply no_longer_allowed() {
  Reply reply = error_reply(401, "unauthorized", "the token or session is no longer good");
  reply.fields = "WWW-Authenticate: Bearer realm=\"headroom\"\r\n";
  return reply;
}

net::Task<Reply> outcome(tasks::Desk& desk, http::Exchange& exchange, const Call& call) {
  const auto wait = wait_of(call);
  if (!wait) co_return error_reply(wait.error());
  const TimePoint end = Clock::now() + *wait;
  for (;;) {
    const TimePoint until = std::min(end, Clock::now() + kStep);
    std::string jid(call.parameter("jid"));
    auto track = co_await desk.engine().outcome(exchange.worker(), std::move(jid), until);
    if (!track) co_return error_reply(track.error());
    if (!call.still_allowed()) co_return no_longer_allowed();
    if (track->has_outcome() || until == end || exchange.group().stopped() || desk.engine().ends())
      co_return track_reply(*track);
  }
}

}  // namespace

void add_waiting_tasks_endpoints(Api& api, const Sources& sources) {
  api.add({.method = Method::post,
           .path = "/api/v1/tasks",
           .role = Role::operator_,
           .run = Run::waiting,
           .tag = "tasks",
           .summary = "Enqueues a job, or many; the answer comes when they are on disk.",
           .request_schema = kEnqueueSchema,
           .audited = false,
           .body_limit = kMostBytes,
           .task = with_desk(sources, enqueue)});
  api.add({.path = "/api/v1/tasks/jobs/{jid}/result",
           .run = Run::waiting,
           .tag = "tasks",
           .summary = "Waits for the end of a tracked job, up to `wait`: 200 with its result, 202 "
                      "when it has not ended yet.",
           .query = "wait",
           .task = with_desk(sources, outcome)});
}

}  // namespace headroom::server
