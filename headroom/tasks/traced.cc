#include "headroom/tasks/traced.h"

#include <fmt/format.h>

#include <optional>

#include "headroom/json/json.h"

namespace headroom::tasks {
namespace {

constexpr std::string_view kMember = "\"traceparent\"";

std::string text_at(const json::Value& object, std::string_view name) {
  const auto found = object.find(name);
  return std::string(found ? found->string().value_or("") : "");
}

// What a recorded trace's job says of itself; nothing for any other.
struct Named {
  link::TraceContext pushed_by;
  std::string jid, queue, type;
};
std::optional<Named> named_in(std::string_view body) {
  if (!body.contains(kMember)) return std::nullopt;
  const auto document = json::parse(body, {.bytes = Bytes{body.size()}, .depth = 64});
  if (!document) return std::nullopt;
  const json::Value root = document->root();
  const auto custom = root.find("custom");
  if (!custom) return std::nullopt;
  const auto context = link::parse_trace_context(text_at(*custom, "traceparent"));
  if (!context || !context->sampled) return std::nullopt;
  return Named{*context, text_at(root, "jid"), text_at(root, "queue"), text_at(root, "jobtype")};
}

std::uint64_t producer_span(const link::Trace& trace, std::string_view jid) {
  return hash64(fmt::format("{} push {}", link::to_string(trace), jid)) | 1U;  // never 0
}

void note_job(link::Span& span, std::string_view operation, const std::string& queue,
              const std::string& jid, const std::string& type) {
  span.note("messaging.system", "faktory");
  span.note("messaging.operation.type", operation);
  span.note("messaging.destination.name", queue);
  span.note("messaging.message.id", jid);
  span.note("headroom.job.type", type);
}

}  // namespace

Pushing::Pushing(link::Spans* spans, const Job& job, TimePoint began) : spans_(spans) {
  if (spans_ == nullptr || !spans_->on()) return;
  const auto named = named_in(job.body);
  if (!named) return;
  jid_ = job.jid;
  span_.trace = named->pushed_by.trace;
  span_.id = producer_span(span_.trace, job.jid);
  span_.parent = named->pushed_by.span;
  span_.kind = link::Span::Kind::producer;
  span_.name = "push " + job.jobtype;
  span_.began = began;
  note_job(span_, "send", job.queue, job.jid, job.jobtype);
}

void Pushing::ended(bool accepted, TimePoint now) {
  if (span_.id == 0) return;
  span_.ended = now;
  span_.failed = !accepted;
  if (!accepted) span_.note("error.type", "refused");
  spans_->add(std::move(span_));
  span_.id = 0;
}

void TracedJobs::began(const Leased& job) {
  if (spans_ == nullptr || !spans_->on()) return;
  jobs_.erase(job.seq);  // handed out again
  auto named = named_in(job.body);
  if (!named) return;
  if (jobs_.size() >= kMost) jobs_.erase(jobs_.begin());
  jobs_[job.seq] = {.pushed_by = named->pushed_by,
                    .jid = std::move(named->jid),
                    .queue = std::move(named->queue),
                    .type = std::move(named->type),
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
  span.cause = producer_span(span.trace, known.jid);
  span.kind = link::Span::Kind::consumer;
  span.name = "process " + known.type;
  span.began = job.leased_at;
  span.ended = now;
  span.failed = job.failed;
  note_job(span, "process", known.queue, known.jid, known.type);
  span.note("headroom.job.waited_us",
            std::chrono::duration_cast<std::chrono::microseconds>(known.waited).count());
  if (job.failed) span.note("error.type", "job_failed");
  spans_->add(std::move(span));
}

}  // namespace headroom::tasks
