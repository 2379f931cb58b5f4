#include "headroom/tasks/traced.h"

#include "headroom/json/json.h"

namespace headroom::tasks {
namespace {

constexpr std::string_view kMember = "\"traceparent\"";

std::string text_at(const json::Value& object, std::string_view name) {
  const auto found = object.find(name);
  return std::string(found ? found->string().value_or("") : "");
}

}  // namespace

void TracedJobs::began(const Leased& job) {
  if (spans_ == nullptr || !spans_->on()) return;
  jobs_.erase(job.seq);  // handed out again
  if (!job.body.contains(kMember)) return;
  const auto document = json::parse(job.body, {.bytes = Bytes{job.body.size()}, .depth = 64});
  if (!document) return;
  const json::Value root = document->root();
  const auto custom = root.find("custom");
  if (!custom) return;
  const auto context = link::parse_trace_context(text_at(*custom, "traceparent"));
  if (!context || !context->sampled) return;
  if (jobs_.size() >= kMost) jobs_.erase(jobs_.begin());
  jobs_[job.seq] = {.pushed_by = *context,
                    .jid = text_at(root, "jid"),
                    .queue = text_at(root, "queue"),
                    .type = text_at(root, "jobtype"),
                    .waited = job.waited};
}

void TracedJobs::ended(const Board::Outcome::Ended& job, TimePoint now) {
  const auto found = jobs_.find(job.seq);
  if (found == jobs_.end()) return;
  const Known known = std::move(found->second);
  jobs_.erase(found);
  link::Span span;
  span.trace = known.pushed_by.trace;
  span.id = link::fresh_span(random_);
  span.parent = known.pushed_by.span;
  span.kind = link::Span::Kind::consumer;
  span.name = "process " + known.type;
  span.began = job.leased_at;
  span.ended = now;
  span.failed = job.failed;
  span.note("messaging.system", "faktory");
  span.note("messaging.operation.type", "process");
  span.note("messaging.destination.name", known.queue);
  span.note("messaging.message.id", known.jid);
  span.note("headroom.job.type", known.type);
  span.note("headroom.job.waited_us",
            std::chrono::duration_cast<std::chrono::microseconds>(known.waited).count());
  if (job.failed) span.note("error.type", "job_failed");
  spans_->add(std::move(span));
}

}  // namespace headroom::tasks
