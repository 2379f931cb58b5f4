#include "headroom/tasks/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "headroom/fwp/command.h"
#include "headroom/json/json.h"
#include "headroom/json/raw.h"
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
constexpr std::int64_t kMostSeconds = std::numeric_limits<std::int32_t>::max();

bool is_word(std::string_view word) {
  return word.size() <= kWordLimit &&
         std::ranges::all_of(word, [](char c) { return c > ' ' && c < 0x7f; });
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
    value.each_member(
        [&](std::string_view name, json::Value member) { members.emplace_back(name, member); });
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
  JobReader(std::string_view text, json::Value root, WallTime now)
      : text_(text), root_(root), in_(root), now_(now) {
    in_.allow_others();
  }

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
    if (auto done = in_.finish(); !done) return pass(done);
    set_unique_key(type, *args);
    job_.jobtype = std::move(type);
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
    if (reserve < 0 || reserve > kMostReserve)
      in_.refuse("reserve_for", "expected 0 to 86400 seconds");
    if (retry < -1 || retry > kMostRetry) in_.refuse("retry", "expected -1 to 1000");
    if (priority < 0 || priority > kMostPriority) in_.refuse("priority", "expected 0 to 255");
    job_.reserve_s = static_cast<std::uint32_t>(reserve == 0 ? kStandardReserve
                                                             : std::max(reserve, kLeastReserve));
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
    custom.allow_others();
    custom.optional("expires_at", expires_at);
    custom.optional("expires_in", expires_in);
    custom.optional("unique_for", unique_for);
    custom.optional("unique_until", until);
    custom.optional("key", job_.key);
    custom.optional("bid", job_.bid);
    const auto given = root_.find("custom");
    const auto track = given->find("track");
    const auto chain = given->find("chain");
    job_.tracked = track && (track->integer().value_or(0) == 1 || track->boolean().value_or(false));
    if (!is_word(job_.key))
      custom.refuse("key", "expected up to 200 printable characters without spaces");
    if (!is_word(job_.bid))
      custom.refuse("bid", "expected up to 200 printable characters without spaces");
    if (chain) read_chain(custom, *chain);
    if (unique_for < 0 || unique_for > std::numeric_limits<std::int32_t>::max())
      custom.refuse("unique_for", "expected seconds, from 0");
    if (!until.empty() && until != "success" && until != "start")
      custom.refuse("unique_until", "expected success or start");
    const auto time = expires_at.empty() ? std::optional<WallTime>(0) : parse_time(expires_at);
    if (!time) custom.refuse("expires_at", "expected a time such as 2026-11-21T10:38:57Z");
    if (expires_in && (*expires_in < 0 || *expires_in > kMostSeconds))
      custom.refuse("expires_in", "expected seconds, from 0");
    job_.unique_for_s = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(unique_for, 0, std::numeric_limits<std::int32_t>::max()));
    job_.unique_until = until == "start" ? UniqueUntil::start : UniqueUntil::success;
    job_.expires = expires_in
                       ? now_ + std::clamp<std::int64_t>(*expires_in, 0, kMostSeconds) * kSecond
                       : time.value_or(0);
  }

  // Each job of it must be good, so that none is found wanting when its turn comes.
  void read_chain(json::Reader& custom, json::Value chain) {
    if (chain.kind() != json::Kind::array || chain.size() > kMostChained)
      return custom.refuse("chain",
                           fmt::format("expected an array of at most {} jobs", kMostChained));
    for (std::size_t i = 0; i < chain.size(); ++i) {
      const auto behind = chain.item(i).kind() == json::Kind::object
                              ? read_job(with_jid(chain.item(i).text(), "chained-job"), now_)
                              : Result<Job>(fail(Errc::invalid, "expected an object"));
      if (!behind)
        return custom.refuse("chain", fmt::format("job {}: {}", i + 1, behind.error().message));
      if (behind->chained)
        return custom.refuse("chain",
                             fmt::format("job {}: a chain lies in the first job alone", i + 1));
      job_.queues_behind.push_back(behind->queue);
    }
    job_.chained = chain.size() > 0;
  }

  void check(std::string_view type, const std::optional<json::Value>& args) {
    if (!is_word(job_.jid) || job_.jid.size() < kLeastJid)
      in_.refuse("jid", "expected 8 to 200 printable characters without spaces");
    if (!is_word(job_.queue) || job_.queue.empty())
      in_.refuse("queue", "expected 1 to 200 printable characters without spaces");
    if (type.empty() || type.size() > kWordLimit)
      in_.refuse("jobtype", "expected 1 to 200 characters");
    if (args && args->kind() != json::Kind::array) in_.refuse("args", "expected an array");
  }

  void set_unique_key(std::string_view type, json::Value args) {
    if (job_.unique_for_s == 0) return;
    std::string whole;
    for (const std::string_view part : {type, std::string_view(job_.queue)})
      json::append_string(whole, part);
    append_canonical(whole, args);
    job_.unique_key = fmt::format("{:016x}{:016x}", hash64(whole, 1), hash64(whole, 2));
  }

  // What is missing is put before the last bracket, so that all else stays as it was written.
  void complete_body() {
    std::string more;
    const auto lacks = [this](std::string_view name) { return !root_.find(name).has_value(); };
    if (lacks("queue")) more += R"(,"queue":"default")";
    const auto add_time = [&](std::string_view start) {
      more.append(start).append(format_time(now_)) += '"';
    };
    if (lacks("created_at")) add_time(R"(,"created_at":")");
    if (job_.at == 0 && lacks("enqueued_at")) add_time(R"(,"enqueued_at":")");
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

Result<json::Document> parse(std::string_view text, Bytes limit) {
  return json::parse(text, {.bytes = limit, .depth = kDepth});
}

std::int64_t member_or(const std::optional<json::Value>& object, std::string_view name,
                       std::int64_t otherwise) {
  const auto member = object ? object->find(name) : std::nullopt;
  return member ? member->integer().value_or(otherwise) : otherwise;
}

}  // namespace

Result<Job> read_job(std::string_view text, WallTime now, const JobLimits& limits) {
  if (text.size() > limits.bytes.count)
    return fail(Errc::invalid, fmt::format("Invalid job: longer than {}", to_string(limits.bytes)));
  auto document = parse(text, limits.bytes);
  if (!document) return pass(document, "Invalid job");
  if (document->root().kind() != json::Kind::object)
    return fail(Errc::invalid, "Invalid job: expected an object");
  auto job = JobReader(text, document->root(), now).read();
  if (!job) return pass(job, "Invalid job");
  return job;
}

namespace {

struct Tries {
  std::int64_t failed = 0;     // before this one
  std::int64_t remaining = 0;  // after it
};

// The text with its `failure`; `next`: of its next try, 0 when there is none.
std::string with_failure(std::string_view text, const Failure& failure, const Tries& tries,
                         WallTime now, WallTime next) {
  std::string body = "{";
  append_members(body, text, {"failure"});
  body += R"("failure":)";
  json::Writer out(body);
  out.begin_object().field("retry_count", tries.failed).field("remaining", tries.remaining);
  out.field("failed_at", format_time(now));
  if (next != 0) out.field("next_at", format_time(next));
  out.field("errtype", failure.errtype)
      .field("message", failure.message)
      .field("backtrace", failure.backtrace);
  out.end_object();
  body += '}';
  return body;
}

std::int64_t failures_before(json::Value root) {
  const auto before = root.find("failure");
  return before ? member_or(before, "retry_count", -1) + 1 : 0;
}

}  // namespace

Verdict judge(const Job& job, const Failure& failure, WallTime now, const Backoffs& backoffs,
              Random& random) {
  auto document = parse(job.body, Bytes{job.body.size()});
  if (!document)
    return {.next = Verdict::Next::dead, .at = 0, .body = job.body};  // it was valid when it came
  const json::Value root = document->root();
  const std::int64_t retry = member_or(root, "retry", kStandardRetry);
  const std::int64_t failed = failures_before(root);
  Verdict verdict;
  if (retry == 0) {
    verdict.next = Verdict::Next::discarded;
  } else if (failed >= retry) {
    verdict.next = Verdict::Next::dead;
  } else {
    const std::string type = job.jobtype.empty() ? type_of(job) : job.jobtype;
    verdict.at = std::max(now + backoffs.wait(type, static_cast<std::uint64_t>(failed), random),
                          failure.retry_at);
  }
  const Tries tries{failed, std::max<std::int64_t>(retry - failed - 1, 0)};
  verdict.body = with_failure(job.body, failure, tries, now, verdict.at);
  return verdict;
}

std::string buried(const Job& job, const Failure& failure, WallTime now) {
  auto document = parse(job.body, Bytes{job.body.size()});
  if (!document) return job.body;
  return with_failure(job.body, failure, {failures_before(document->root()), 0}, now, 0);
}

std::string type_of(const Job& job) {
  auto document = parse(job.body, Bytes{job.body.size()});
  const auto type = document ? document->root().find("jobtype") : std::nullopt;
  return std::string(type ? type->string().value_or("") : "");
}

namespace {

// Names may be written with escapes.
bool is_name(std::string_view raw, std::string_view name) {
  if (!raw.contains('\\')) return raw.substr(1, raw.size() - 2) == name;
  const auto document = json::parse(raw, {.bytes = Bytes{raw.size()}});
  return document && document->root().string() == name;
}

}  // namespace

void append_members(std::string& out, std::string_view object,
                    std::initializer_list<std::string_view> without) {
  const auto members = fwp::members_of(object);
  for (std::size_t i = 0; members && i < members->size(); ++i) {
    const auto [name, value] = (*members)[i];
    if (std::ranges::any_of(without, [&](std::string_view each) { return is_name(name, each); }))
      continue;
    out.append(name).append(":").append(value) += ',';
  }
}

std::string with_member(std::string_view text, std::string_view name, std::string_view value) {
  const std::size_t open = text.find('{') + 1;
  std::string out(text.substr(0, open));
  json::append_string(out, name);
  out.append(":").append(value);
  const std::string_view rest = text.substr(open);
  const std::size_t first = rest.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && rest[first] != '}') out += ',';
  return out.append(rest);
}

std::string with_jid(std::string_view text, std::string_view jid) {
  auto document = parse(text, Bytes{text.size()});
  if (!document || document->root().kind() != json::Kind::object || document->root().find("jid"))
    return std::string(text);
  std::string quoted;
  json::append_string(quoted, jid);
  return with_member(text, "jid", quoted);
}

Result<std::string> next_in_chain(std::string_view text, std::string_view jid) {
  const auto chain = json::raw_member(json::raw_member(text, "custom"), "chain");
  if (chain.empty()) return fail(Errc::not_found, "nothing follows");
  const auto jobs = fwp::elements_of(chain);
  if (!jobs || jobs->empty()) return fail(Errc::not_found, "nothing follows");
  std::string whole = "{";
  append_members(whole, jobs->front(), {"custom"});
  whole += R"("custom":{)";
  const auto own = json::raw_member(jobs->front(), "custom");
  if (own.starts_with('{')) append_members(whole, own, {"chain"});
  if (jobs->size() > 1) {
    whole += R"("chain":[)";
    for (std::size_t i = 1; i < jobs->size(); ++i) whole.append((*jobs)[i]) += ',';
    whole.back() = ']';
  }
  if (whole.ends_with(',')) whole.pop_back();
  whole += "}}";
  return with_jid(whole, jid);
}

}  // namespace headroom::tasks
