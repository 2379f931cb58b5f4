#include "headroom/server/tasks_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"
#include "headroom/server/tasks_desk.h"
#include "headroom/tasks/filter.h"

namespace headroom::server {
namespace {

using auth::Role;
using http::Method;
using http::Reply;
using tasks::Desk;
using tasks::Key;

constexpr std::size_t kStandardPage = 100;

constexpr std::string_view kSweepSchema =
    R"({"type":"object","required":["act","set"],"additionalProperties":false,"properties":{"act":{"enum":["requeue","kill","remove"]},)"
    R"("set":{"enum":["waiting","scheduled","retrying","dead"]},"queue":{"type":"string"},"jids":{"type":"array","items":{"type":"string"}},)"
    R"("jobtype":{"type":"string"},"pattern":{"type":"string","description":"a glob over the job's JSON"}}})";
constexpr std::string_view kBatchSchema =
    R"({"type":"object","properties":{"description":{"type":"string"},"parent_bid":{"type":"string"},"success":{"type":"object"},"complete":{"type":"object"}}})";
constexpr std::string_view kScheduleSchema =
    R"({"type":"object","required":["cron","job"],"additionalProperties":false,"properties":{"cron":{"type":"string"},"zone":{"type":"string"},)"
    R"("job":{"type":"object"},"jitter_s":{"type":"integer"},"catch_up":{"enum":["skip","once","all"]},"catch_up_limit":{"type":"integer"},)"
    R"("gap":{"enum":["skip","shift"]},"fold":{"enum":["first","last","both"]},"paused":{"type":"boolean"},"last":{"type":"string"}}})";

Reply done_reply() { return json_reply(R"({"status":"ok"})"); }

Reply reply_to(const Result<>& done) { return done ? done_reply() : error_reply(done.error()); }

void write_job(json::Writer& out, const tasks::JobView& view) {
  out.begin_object()
      .field("jid", view.job.jid)
      .field("state", view.state)
      .field("queue", view.job.queue)
      .field("priority", view.job.priority);
  if (view.state == "running") out.field("worker", view.wid).field("running_s", view.leased_s);
  if (view.state == "scheduled" || view.state == "retrying")
    out.field("due", tasks::format_time(view.place.key.rank));
  if (view.state == "dead") out.field("died", tasks::format_time(view.place.key.rank));
  if (!view.job.body.empty()) out.key("job").raw(view.job.body);
  if (view.track.percent) out.field("percent", *view.track.percent);
  if (!view.track.desc.empty()) out.field("desc", view.track.desc);
  if (view.track.updated != 0) out.field("updated", tasks::format_time(view.track.updated));
  if (!view.track.result.empty()) out.key("result").raw(view.track.result);
  out.end_object();
}

net::Task<Reply> find(Desk& desk, const Call& call) {
  const auto found = co_await desk.find(call.parameter("jid"));
  if (!found) co_return error_reply(found.error());
  std::string body;
  json::Writer out(body);
  write_job(out, *found);
  co_return json_reply(std::move(body));
}

// "rank.seq" of the last job of a page.
std::optional<Key> cursor_of(std::string_view text) {
  if (text.empty()) return Desk::kBegin;
  const std::size_t dot = text.find('.');
  const bool negative = text.starts_with('-');
  const auto rank = text::to_u64(
      text.substr(negative ? 1 : 0, dot == std::string_view::npos ? 0 : dot - (negative ? 1 : 0)));
  const auto seq =
      dot == std::string_view::npos ? std::nullopt : text::to_u64(text.substr(dot + 1));
  if (!rank || !seq || *rank > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return std::nullopt;
  return Key{negative ? -static_cast<std::int64_t>(*rank) : static_cast<std::int64_t>(*rank), *seq};
}

net::Task<Reply> list(Desk& desk, const Call& call) {
  const auto after = cursor_of(call.query_value("cursor"));
  const std::string limit = call.query_value("limit");
  const auto count =
      limit.empty() ? std::optional<std::uint64_t>(kStandardPage) : text::to_u64(limit);
  if (!after)
    co_return error_reply({Errc::invalid, "cursor: expected what an answer gave as next"});
  if (!count || *count == 0 || *count > Desk::kPage)
    co_return error_reply({Errc::invalid, "limit: expected 1 to 1000"});
  const std::string set = call.query_value("set");
  const std::string queue = call.query_value("queue");
  const auto listing =
      co_await desk.list(set.empty() ? "waiting" : set, queue.empty() ? "default" : queue, *after,
                         static_cast<std::size_t>(*count));
  if (!listing) co_return error_reply(listing.error());
  std::string body;
  json::Writer out(body);
  out.begin_object().key("jobs").begin_array();
  for (const auto& job : listing->jobs) write_job(out, job);
  out.end_array().key("next");
  listing->next ? out.value(fmt::format("{}.{}", listing->next->rank, listing->next->seq))
                : out.null();
  out.end_object();
  co_return json_reply(std::move(body));
}

constexpr std::uint64_t kSweepBytes = 3U << 20U;  // ten thousand jids of 200 characters

net::Task<Reply> sweep(Desk& desk, const Call& call) {
  auto document = json::parse(call.body, {.bytes = Bytes{kSweepBytes}});
  if (!document) co_return error_reply(document.error());
  std::string act;
  std::string set;
  std::string queue = "default";
  std::optional<std::string> jobtype;
  std::optional<std::string> pattern;
  tasks::JobFilter::Words words;
  json::Reader in(document->root());
  in.required("act", act);
  in.required("set", set);
  in.optional("queue", queue);
  in.optional("jids", words.jids);
  in.optional("jobtype", jobtype);
  in.optional("pattern", pattern);
  if (jobtype && jobtype->empty()) in.refuse("jobtype", "empty; leave it out for any");
  if (pattern && pattern->empty()) in.refuse("pattern", "empty; leave it out for any");
  if (act != "requeue" && act != "kill" && act != "remove")
    in.refuse("act", "expected requeue, kill or remove");
  if (auto read = in.finish(); !read) co_return error_reply(read.error());
  const auto wanted = act == "requeue" ? tasks::Board::Act::requeue
                      : act == "kill"  ? tasks::Board::Act::kill
                                       : tasks::Board::Act::remove;
  words.jobtype = std::move(jobtype).value_or("");
  words.pattern = std::move(pattern).value_or("");
  const auto fits =
      tasks::JobFilter::make(std::move(words), tasks::JobFilter::Names::with_the_rest);
  if (!fits) co_return error_reply(fits.error());
  const auto matched = co_await desk.sweep(set, queue, wanted, *fits);
  if (!matched) co_return error_reply(matched.error());
  co_return json_reply(
      fmt::format(R"({{"status":"ok","matched":{},"left":{}}})", matched->matched, matched->left));
}

void write_times(json::Writer& out, std::string_view name, const tasks::TimesShown& times) {
  out.key(name)
      .begin_object()
      .field("count", times.count)
      .field("mean_s", seconds(times.mean))
      .field("p50_s", seconds(times.p50));
  out.field("p95_s", seconds(times.p95)).field("p99_s", seconds(times.p99)).end_object();
}

void write_queue(json::Writer& out, const tasks::QueueStatus& queue,
                 const tasks::Board::QueueView& more, const Desk::Overview::Pace& paces) {
  out.begin_object()
      .field("name", queue.name)
      .field("paused", queue.paused)
      .field("keys", queue.shares)
      .field("waiting", queue.waiting)
      .field("running", queue.running);
  out.field("pushed", queue.pushed)
      .field("done", queue.done)
      .field("failed", queue.failed)
      .key("oldest_waiting_s")
      .fixed(more.latency_s, 3);
  out.key("pushed_per_s")
      .fixed(paces.pushed_per_s, 3)
      .key("done_per_s")
      .fixed(paces.done_per_s, 3)
      .key("drained_in_s");
  const double pace = paces.done_per_s - paces.pushed_per_s;
  if (queue.waiting == 0) {
    out.value(0);
  } else if (pace > 0.001) {
    out.fixed(static_cast<double>(queue.waiting) / pace, 1);
  } else {
    out.null();  // not at this pace
  }
  write_times(out, "wait_time", more.wait);
  write_times(out, "run_time", more.run);
  out.end_object();
}

net::Task<Reply> stats(Desk& desk, const Call&) {
  const auto found = co_await desk.overview();
  if (!found) co_return error_reply(found.error());
  const tasks::BoardStatus& now = found->shown->board;
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", "ok").key("queues").begin_array();
  for (std::size_t i = 0; i < now.queues.size(); ++i)
    write_queue(out, now.queues[i], found->shown->queues[i], found->paces[i]);
  out.end_array()
      .field("running", now.running)
      .field("scheduled", now.scheduled)
      .field("retrying", now.retries)
      .field("dead", now.dead);
  out.field("pushed", now.pushed)
      .field("done", now.done)
      .field("failed", now.failed)
      .field("held_bytes", now.bytes_held);
  write_times(out, "wait_time", found->wait);
  write_times(out, "run_time", found->run);
  out.key("workers").begin_array();
  for (const auto& worker : now.workers) {
    out.begin_object()
        .field("wid", worker.identity.wid)
        .field("hostname", worker.identity.hostname)
        .field("pid", worker.identity.pid);
    out.field("labels", worker.identity.labels)
        .field("state", worker.state.empty() ? "working" : worker.state)
        .field("connections", worker.connections);
    out.field("running", worker.running).field("rss_kb", worker.rss_kb).key("last_beat_s");
    worker.last_beat_s < 0 ? out.null() : out.fixed(worker.last_beat_s, 1);
    out.end_object();
  }
  out.end_array().end_object();
  co_return json_reply(std::move(body));
}

net::Task<Reply> schedules(Desk& desk, const Call& call) {
  const std::string after = call.query_value("after");
  const auto all = co_await desk.schedules(after);
  if (!all) co_return error_reply(all.error());
  std::string body;
  json::Writer out(body);
  out.begin_object().key("schedules").begin_array();
  for (const auto& each : all->rows) {
    out.begin_object().field("name", each.schedule.name).field("runs", each.runs).key("next");
    each.next ? out.value(tasks::format_time(*each.next)) : out.null();
    out.key("last");
    each.schedule.ran != 0 ? out.value(tasks::format_time(each.schedule.ran)) : out.null();
    out.key("schedule").raw(each.schedule.text()).end_object();
  }
  out.end_array().key("next");
  all->more ? out.value(all->rows.back().schedule.name) : out.null();
  out.end_object();
  co_return json_reply(std::move(body));
}

net::Task<Reply> put_schedule(Desk& desk, const Call& call) {
  const auto schedule = tasks::Schedule::read(std::string(call.parameter("name")), call.body);
  if (!schedule) co_return error_reply(schedule.error());
  co_return reply_to(co_await desk.put_schedule(*schedule));
}

net::Task<Reply> batches(Desk& desk, const Call&) {
  const auto all = co_await desk.batches();
  if (!all) co_return error_reply(all.error());
  std::string body;
  json::Writer out(body);
  out.begin_object().key("batches").begin_array();
  for (const std::string& status : *all) out.raw(status);
  out.end_array().end_object();
  co_return json_reply(std::move(body));
}

net::Task<Reply> batch(Desk& desk, const Call& call) {
  const auto found = co_await desk.batch(call.parameter("bid"));
  co_return found ? json_reply(found->status()) : error_reply(found.error());
}

net::Task<Reply> add_batch(Desk& desk, const Call& call) {
  auto batch = tasks::Batch::read(call.body, tasks::wall_now());
  if (!batch) co_return error_reply(batch.error());
  batch->bid = "b-" + text::random_hex(8);
  const auto added = co_await desk.add_batch(*batch);
  co_return added ? json_reply(fmt::format(R"({{"bid":"{}"}})", batch->bid), 201)
                  : error_reply(added.error());
}

struct Row {
  Method method;
  std::string_view path;
  std::string_view summary;
  net::Task<Reply> (*answer)(Desk&, const Call&);
  std::string_view schema = {};
  std::uint64_t body_limit = 0;  // 0: the usual one
};

net::Task<Reply> order(Desk& desk, const Call& call, std::string_view state) {
  co_return reply_to(co_await desk.order(call.parameter("wid"), state));
}

net::Task<Reply> pause(Desk& desk, const Call& call, bool paused) {
  co_return reply_to(co_await desk.set_paused(call.parameter("name"), paused));
}

constexpr std::array kRows{
    Row{Method::get, "/api/v1/tasks",
        "Jobs of a set (waiting with its queue, running, scheduled, retrying, dead), page by page.",
        list},
    Row{Method::get, "/api/v1/tasks/jobs/{jid}", "A job with its state.", find},
    Row{Method::delete_, "/api/v1/tasks/jobs/{jid}", "Cancels a job, also while it runs.",
        [](Desk& desk, const Call& call) -> net::Task<Reply> {
          co_return reply_to(co_await desk.cancel(call.parameter("jid")));
        }},
    Row{Method::post, "/api/v1/tasks/jobs/{jid}/retry",
        "Puts a scheduled, retrying or dead job into its queue now.",
        [](Desk& desk, const Call& call) -> net::Task<Reply> {
          co_return reply_to(co_await desk.retry(call.parameter("jid")));
        }},
    Row{Method::post, "/api/v1/tasks/sweep",
        "Requeues, kills or removes all jobs of a set that fit.", sweep, kSweepSchema, kSweepBytes},
    Row{Method::post, "/api/v1/tasks/queues/{name}/pause",
        "Hands out no more of a queue; * is all.",
        [](Desk& desk, const Call& call) { return pause(desk, call, true); }},
    Row{Method::post, "/api/v1/tasks/queues/{name}/resume", "Goes on with a queue; * is all.",
        [](Desk& desk, const Call& call) { return pause(desk, call, false); }},
    Row{Method::post, "/api/v1/tasks/workers/{wid}/quiet",
        "Tells a worker process to fetch no more; * is all.",
        [](Desk& desk, const Call& call) { return order(desk, call, "quiet"); }},
    Row{Method::post, "/api/v1/tasks/workers/{wid}/terminate",
        "Tells a worker process to end; * is all.",
        [](Desk& desk, const Call& call) { return order(desk, call, "terminate"); }},
    Row{Method::get, "/api/v1/tasks/stats", "Queues, totals, run times, worker processes.", stats},
    Row{Method::get, "/api/v1/tasks/batches", "Batches with their counts, the first thousand.",
        batches},
    Row{Method::post, "/api/v1/tasks/batches", "Makes a batch; its jobs name it in custom.bid.",
        add_batch, kBatchSchema},
    Row{Method::get, "/api/v1/tasks/batches/{bid}", "A batch with its counts.", batch},
    Row{Method::post, "/api/v1/tasks/batches/{bid}/commit",
        "All its jobs are there: its callbacks may be called.",
        [](Desk& desk, const Call& call) -> net::Task<Reply> {
          co_return reply_to(co_await desk.commit_batch(call.parameter("bid")));
        }},
    Row{Method::get, "/api/v1/tasks/schedules", "Recurring tasks with their next slots.",
        schedules},
    Row{Method::put, "/api/v1/tasks/schedules/{name}", "Makes or changes a recurring task.",
        put_schedule, kScheduleSchema},
    Row{Method::delete_, "/api/v1/tasks/schedules/{name}", "Ends a recurring task.",
        [](Desk& desk, const Call& call) -> net::Task<Reply> {
          co_return reply_to(co_await desk.remove_schedule(call.parameter("name")));
        }},
};

}  // namespace

void add_tasks_endpoints(Api& api, const Sources& sources) {
  add_waiting_tasks_endpoints(api, sources);
  for (const Row& row : kRows) {
    const auto answer = row.answer;
    api.add({.method = row.method,
             .path = std::string(row.path),
             .role = row.method == Method::get ? Role::viewer : Role::operator_,
             .run = Run::waiting,
             .tag = "tasks",
             .summary = row.summary,
             .request_schema = row.schema,
             .body_limit = row.body_limit,
             .task = with_desk(sources, [answer](Desk& desk, http::Exchange&, const Call& call) {
               return answer(desk, call);
             })});
  }
}

}  // namespace headroom::server
