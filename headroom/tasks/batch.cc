#include "headroom/tasks/batch.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/json/json.h"
#include "headroom/json/raw.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kDescription = 1000;
constexpr Bytes kCallback = Bytes::kib(16);
constexpr std::string_view kStates[] = {"", "1", "2"};

Batch::State state_of(std::string_view word) {
  return word == "2"   ? Batch::State::done
         : word == "1" ? Batch::State::pushed
                       : Batch::State::waiting;
}

std::string_view word_of(Batch::State state) { return kStates[static_cast<std::size_t>(state)]; }

// "success" or "complete" of BATCH NEW.
void read_callback(json::Reader& in, std::string_view text, json::Value root, std::string_view name,
                   std::string& to, WallTime now) {
  const auto job = root.find(name);
  if (!job || job->is_null()) return;
  if (job->kind() != json::Kind::object) return in.refuse(name, "expected a job");
  to = json::raw_member(text, name);
  if (!job->find("args")) to = with_member(to, "args", "[]");
  const auto good = read_job(with_jid(to, "callback"), now, {.bytes = kCallback});
  if (!good) in.refuse(name, good.error().message);
}

}  // namespace

Result<Batch> Batch::read(std::string_view text, WallTime now) {
  auto document = json::parse(text, {.bytes = Bytes{text.size()}, .depth = 64});
  if (!document) return pass(document, "Invalid batch");
  if (document->root().kind() != json::Kind::object)
    return fail(Errc::invalid, "Invalid batch: expected an object");
  Batch batch;
  json::Reader in(document->root());
  in.optional("description", batch.description);
  in.optional("parent_bid", batch.parent);
  read_callback(in, text, document->root(), "complete", batch.on_complete, now);
  read_callback(in, text, document->root(), "success", batch.on_success, now);
  in.allow_others();
  if (auto read = in.finish(); !read) return pass(read, "Invalid batch");
  if (batch.on_complete.empty() && batch.on_success.empty())
    return fail(Errc::invalid, "Invalid batch: it needs a success or a complete callback");
  if (batch.description.size() > kDescription)
    return fail(Errc::invalid,
                fmt::format("Invalid batch: a description has at most {} bytes", kDescription));
  batch.created = batch.changed = now;
  return batch;
}

std::string Batch::text() const {
  std::string out;
  json::Writer json(out);
  json.begin_object()
      .field("bid", bid)
      .field("parent", parent)
      .field("description", description)
      .field("depth", depth);
  json.field("on_complete", on_complete)
      .field("on_success", on_success)
      .field("created", created)
      .field("changed", changed);
  json.field("committed", committed)
      .field("total", total)
      .field("pending", pending)
      .field("failed", failed);
  json.field("incomplete_within", incomplete_within).field("pending_within", pending_within);
  json.field("complete", word_of(complete)).field("success", word_of(success));
  json.field("is_complete", is_complete).field("has_succeeded", has_succeeded).end_object();
  return out;
}

Result<Batch> Batch::restore(std::string_view text) {
  auto document = json::parse(text, {.bytes = Bytes{text.size()}, .depth = 64});
  if (!document) return pass(document);
  Batch batch;
  std::string complete;
  std::string success;
  json::Reader in(document->root());
  in.required("bid", batch.bid);
  in.required("parent", batch.parent);
  in.required("description", batch.description);
  in.required("depth", batch.depth);
  in.required("on_complete", batch.on_complete);
  in.required("on_success", batch.on_success);
  in.required("created", batch.created);
  in.required("changed", batch.changed);
  in.required("committed", batch.committed);
  in.required("total", batch.total);
  in.required("pending", batch.pending);
  in.required("failed", batch.failed);
  in.required("incomplete_within", batch.incomplete_within);
  in.required("pending_within", batch.pending_within);
  in.required("complete", complete);
  in.required("success", success);
  in.required("is_complete", batch.is_complete);
  in.required("has_succeeded", batch.has_succeeded);
  if (auto read = in.finish(); !read) return pass(read);
  batch.complete = state_of(complete);
  batch.success = state_of(success);
  return batch;
}

std::string Batch::status() const {
  std::string out;
  json::Writer json(out);
  json.begin_object().field("bid", bid);
  if (!parent.empty()) json.field("parent_bid", parent);
  if (!description.empty()) json.field("description", description);
  json.field("created_at", format_time(created))
      .field("total", total)
      .field("pending", pending)
      .field("failed", failed);
  json.field("complete_st", on_complete.empty() ? "" : word_of(complete))
      .field("success_st", on_success.empty() ? "" : word_of(success))
      .end_object();
  return out;
}

Batch::Due Batch::advance() {
  Due due;
  if (!committed) return due;
  const bool tried = pending == failed && incomplete_within == 0;
  if (tried && complete == State::waiting) {
    due.push_complete = !on_complete.empty();
    complete = due.push_complete ? State::pushed : State::done;
  }
  if (complete == State::done && !is_complete) due.completed = is_complete = true;
  if (is_complete && pending == 0 && pending_within == 0 && success == State::waiting) {
    due.push_success = !on_success.empty();
    success = due.push_success ? State::pushed : State::done;
  }
  if (success == State::done && !has_succeeded) due.succeeded = has_succeeded = true;
  return due;
}

bool Batch::is_over(WallTime now, WallTime retention) const {
  const WallTime age = now - changed;
  return age > (has_succeeded ? kKept : committed ? std::max(retention, kKept) : kUncommitted);
}

Result<Job> callback_job(const std::string& text, const Batch& batch, Callback which,
                         WallTime now) {
  const std::string_view name = which == Callback::complete ? "complete" : "success";
  std::string whole = "{";
  append_members(whole, text, {"custom"});
  whole += R"("custom":{)";
  const auto custom = json::raw_member(text, "custom");
  if (custom.starts_with('{')) append_members(whole, custom, {"_bid", "_cb"});
  whole += fmt::format(R"("_bid":"{}","_cb":"{}"}}}})", batch.bid, name);
  auto job = read_job(with_jid(whole, fmt::format("{}-{}", batch.bid, name)), now);
  if (!job) return job;
  job->called_by = batch.bid;
  job->callback = which;
  job->unique_key.clear();  // a batch calls once: never refused for another's sake
  return job;
}

}  // namespace headroom::tasks
