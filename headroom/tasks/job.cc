#include "headroom/tasks/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "headroom/json/json.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kWordLimit = 200;
constexpr std::size_t kLeastJid = 8;
constexpr std::size_t kDepth = 64;
constexpr std::int64_t kLeastReserve = 60;
constexpr std::int64_t kStandardReserve = 1800;
constexpr std::int64_t kMostReserve = 86400;
constexpr std::int64_t kStandardRetry = 25;
constexpr std::int64_t kMostRetry = 1000;
constexpr std::int64_t kMostPriority = 255;
constexpr std::uint64_t kLongestBackoff = 30ULL * 86400;

bool is_word(std::string_view word) {
  return word.size() <= kWordLimit && std::ranges::all_of(word, [](char c) { return c > ' ' && c < 0x7f; });
}

// Two texts with the same meaning have the same canonical text: members by name, no spaces.
void append_canonical(std::string& out, json::Value value) {
  if (value.kind() == json::Kind::array) {
    out += '[';
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out += ',';
      append_canonical(out, value.item(i));
    }
    out += ']';
  } else if (value.kind() == json::Kind::object) {
    std::vector<std::pair<std::string, json::Value>> members;
    value.each_member([&](std::string_view name, json::Value member) { members.emplace_back(name, member); });
    std::ranges::sort(members, {}, [](const auto& member) { return member.first; });
    out += '{';
    for (const auto& [name, member] : members) {
      json::append_string(out, name);
      out += ':';
      append_canonical(out, member);
      out += ',';
    }
    out += '}';
  } else {
    out += value.text();
  }
}

// Reads one job's object; keeps the first error.
class JobReader {
 public:
  JobReader(std::string_view text, json::Value root, WallTime now) : text_(text), root_(root), in_(root), now_(now) {}

  Result<Job> read() {
    std::string type;
    std::optional<json::Value> args;
    in_.required("jid", job_.jid);
    in_.required("jobtype", type);
    in_.required("args", args);
    in_.optional("queue", job_.queue);
    read_numbers();
    read_times();
    in_.optional_object("custom", [this](json::Reader& custom) { read_custom(custom); });
    check(type, args);
    in_.allow_others();
    if (auto done = in_.finish(); !done) return pass(done);
    set_unique_key(type, *args);
    complete_body();
    return std::move(job_);
  }

 private:
  void read_numbers() {
    std::int64_t reserve = 0;
    std::int64_t retry = kStandardRetry;
    std::int64_t priority = job_.priority;
    in_.optional("reserve_for", reserve);
    in_.optional("retry", retry);
    in_.optional("priority", priority);
    if (reserve < 0 || reserve > kMostReserve) in_.refuse("reserve_for", "expected 0 to 86400 seconds");
    if (retry < -1 || retry > kMostRetry) in_.refuse("retry", "expected -1 to 1000");
    if (priority < 0 || priority > kMostPriority) in_.refuse("priority", "expected 0 to 255");
    job_.reserve_s = static_cast<std::uint32_t>(reserve == 0 ? kStandardReserve : std::max(reserve, kLeastReserve));
    job_.priority = static_cast<std::int32_t>(priority);
  }

  void read_times() {
    std::string at;
    in_.optional("at", at);
    if (at.empty()) return;
    const auto time = parse_time(at);
    if (!time) return in_.refuse("at", "expected a time such as 2026-11-21T10:38:57Z");
    if (*time > now_) job_.at = *time;
  }

  void read_custom(json::Reader& custom) {
    std::string expires_at;
    std::string until;
    std::int64_t unique_for = 0;
    std::optional<std::int64_t> expires_in;
    custom.optional("expires_at", expires_at);
    custom.optional("expires_in", expires_in);
    custom.optional("unique_for", unique_for);
    custom.optional("unique_until", until);
    if (unique_for < 0 || unique_for > std::numeric_limits<std::int32_t>::max()) custom.refuse("unique_for", "expected seconds, from 0");
    if (!until.empty() && until != "success" && until != "start") custom.refuse("unique_until", "expected success or start");
    const auto time = expires_at.empty() ? std::optional<WallTime>(0) : parse_time(expires_at);
    if (!time) custom.refuse("expires_at", "expected a time such as 2026-11-21T10:38:57Z");
    if (expires_in && (*expires_in < 0 || *expires_in > std::numeric_limits<std::int32_t>::max()))
      custom.refuse("expires_in", "expected seconds, from 0");
    job_.unique_for_s = static_cast<std::uint32_t>(std::clamp<std::int64_t>(unique_for, 0, std::numeric_limits<std::int32_t>::max()));
    job_.unique_until = until == "start" ? UniqueUntil::start : UniqueUntil::success;
    job_.expires = expires_in ? now_ + *expires_in * kSecond : time.value_or(0);
    custom.allow_others();
  }

  void check(std::string_view type, const std::optional<json::Value>& args) {
    if (!is_word(job_.jid) || job_.jid.size() < kLeastJid) in_.refuse("jid", "expected 8 to 200 printable characters without spaces");
    if (!is_word(job_.queue) || job_.queue.empty()) in_.refuse("queue", "expected 1 to 200 printable characters without spaces");
    if (type.empty() || type.size() > kWordLimit) in_.refuse("jobtype", "expected 1 to 200 characters");
    if (args && args->kind() != json::Kind::array) in_.refuse("args", "expected an array");
  }

  void set_unique_key(std::string_view type, json::Value args) {
    if (job_.unique_for_s == 0) return;
    std::string whole;
    for (const std::string_view part : {type, std::string_view(job_.queue)}) json::append_string(whole, part);
    append_canonical(whole, args);
    job_.unique_key = fmt::format("{:016x}{:016x}", hash64(whole, 1), hash64(whole, 2));
  }

  // What is missing is put before the last bracket, so that all else stays as it was written.
  void complete_body() {
    std::string more;
    const auto lacks = [this](std::string_view name) { return !root_.find(name).has_value(); };
    if (lacks("queue")) more += R"(,"queue":"default")";
    if (lacks("created_at")) more += fmt::format(R"(,"created_at":"{}")", format_time(now_));
    if (job_.at == 0 && lacks("enqueued_at")) more += fmt::format(R"(,"enqueued_at":"{}")", format_time(now_));
    const std::size_t end = text_.rfind('}');
    job_.body.reserve(text_.size() + more.size());
    job_.body.append(text_.substr(0, end)).append(more).append("}");
  }

  std::string_view text_;
  json::Value root_;
  json::Reader in_;
  WallTime now_;
  Job job_;
};

Result<json::Document> parse(std::string_view text, Bytes limit) { return json::parse(text, {.bytes = limit, .depth = kDepth}); }

std::int64_t member_or(const std::optional<json::Value>& object, std::string_view name, std::int64_t otherwise) {
  const auto member = object ? object->find(name) : std::nullopt;
  return member ? member->integer().value_or(otherwise) : otherwise;
}

}  // namespace

Result<Job> read_job(std::string_view text, WallTime now, const JobLimits& limits) {
  auto document = parse(text, limits.bytes);
  if (!document) return pass(document, "Invalid job");
  if (document->root().kind() != json::Kind::object) return fail(Errc::invalid, "Invalid job: expected an object");
  auto job = JobReader(text, document->root(), now).read();
  if (!job) return pass(job, "Invalid job");
  return job;
}

std::uint64_t backoff_seconds(std::uint64_t failures_before, Random& random) {
  const std::uint64_t n = std::min<std::uint64_t>(failures_before, 60);
  return std::min(n * n * n * n + 15 + random.below(30) * (n + 1), kLongestBackoff);
}

Verdict judge(const Job& job, const Failure& failure, WallTime now, Random& random) {
  Verdict verdict;
  auto document = parse(job.body, Bytes{job.body.size()});
  if (!document) return {.next = Verdict::Next::dead, .at = 0, .body = job.body};  // it was valid when it came
  const json::Value root = document->root();
  const std::int64_t retry = member_or(root, "retry", kStandardRetry);
  const auto before = root.find("failure");
  const std::int64_t failed = before ? member_or(before, "retry_count", -1) + 1 : 0;
  if (retry == 0) {
    verdict.next = Verdict::Next::discarded;
  } else if (failed >= retry) {
    verdict.next = Verdict::Next::dead;
  } else {
    verdict.at = now + static_cast<WallTime>(backoff_seconds(static_cast<std::uint64_t>(failed), random)) * kSecond;
  }
  json::Writer out(verdict.body);
  out.begin_object();
  root.each_member([&](std::string_view name, json::Value member) {
    if (name != "failure") out.key(name).raw(member.text());
  });
  out.key("failure").begin_object().field("retry_count", failed).field("remaining", std::max<std::int64_t>(retry - failed - 1, 0));
  out.field("failed_at", format_time(now));
  if (verdict.at != 0) out.field("next_at", format_time(verdict.at));
  out.field("errtype", failure.errtype).field("message", failure.message).field("backtrace", failure.backtrace);
  out.end_object().end_object();
  return verdict;
}

std::string type_of(const Job& job) {
  auto document = parse(job.body, Bytes{job.body.size()});
  const auto type = document ? document->root().find("jobtype") : std::nullopt;
  return std::string(type ? type->string().value_or("") : "");
}

}  // namespace headroom::tasks
