#include "headroom/tasks/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "headroom/json/json.h"
#include "headroom/json/raw.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kNameLimit = 200;
constexpr std::uint32_t kMostJitter = 86400;
constexpr std::uint32_t kMostCatchUp = 1000;

constexpr std::array<std::string_view, 3> kCatchUps{"skip", "once", "all"};
constexpr std::array<std::string_view, 2> kGaps{"skip", "shift"};
constexpr std::array<std::string_view, 3> kFolds{"first", "last", "both"};

template <class E, std::size_t N>
void read_choice(json::Reader& in, std::string_view name,
                 const std::array<std::string_view, N>& words, E& to) {
  std::string word(words[static_cast<std::size_t>(to)]);
  in.optional(name, word);
  const auto at = std::ranges::find(words, word);
  if (at == words.end())
    return in.refuse(name, fmt::format("expected one of {}", fmt::join(words, ", ")));
  to = static_cast<E>(at - words.begin());
}

template <class E, std::size_t N>
std::string_view word_of(E value, const std::array<std::string_view, N>& words) {
  return words[static_cast<std::size_t>(value)];
}

}  // namespace

Result<Schedule> Schedule::read(std::string name, std::string_view text) {
  auto document = json::parse(text);
  if (!document) return pass(document);
  Schedule schedule;
  schedule.name = std::move(name);
  std::optional<json::Value> job;
  std::string last;
  std::string ran;
  json::Reader in(document->root());
  in.required("cron", schedule.cron);
  in.required("job", job);
  in.optional("zone", schedule.zone);
  in.optional("jitter_s", schedule.jitter_s);
  in.optional("catch_up_limit", schedule.catch_up_limit);
  in.optional("paused", schedule.paused);
  in.optional("last", last);
  in.optional("ran", ran);
  read_choice(in, "catch_up", kCatchUps, schedule.catch_up);
  read_choice(in, "gap", kGaps, schedule.gap);
  read_choice(in, "fold", kFolds, schedule.fold);
  if (job && job->kind() != json::Kind::object) in.refuse("job", "expected an object");
  if (job && job->find("jid")) in.refuse("job", "the jid is made from the name and the slot");
  if (schedule.jitter_s > kMostJitter) in.refuse("jitter_s", "expected 0 to 86400");
  if (schedule.catch_up_limit > kMostCatchUp) in.refuse("catch_up_limit", "expected 0 to 1000");
  if (auto read = in.finish(); !read) return pass(read);
  if (schedule.name.empty() || schedule.name.size() > kNameLimit)
    return fail(Errc::invalid, "a schedule's name has 1 to 200 characters");
  schedule.job = json::raw_member(text, "job");
  schedule.last = last.empty() ? 0 : parse_time(last).value_or(0);
  schedule.ran = ran.empty() ? 0 : parse_time(ran).value_or(0);
  auto cron = schedule.parsed();
  if (!cron) return pass(cron);
  if (!cron->next(wall_now())) return fail(Errc::invalid, "cron: that day never comes");
  if (auto made = job_of(schedule, 0, 0); !made) return pass(made);
  return schedule;
}

std::string Schedule::text() const {
  std::string text;
  json::Writer out(text);
  out.begin_object()
      .field("cron", cron)
      .field("zone", zone)
      .field("jitter_s", jitter_s)
      .field("catch_up_limit", catch_up_limit);
  out.field("catch_up", word_of(catch_up, kCatchUps))
      .field("gap", word_of(gap, kGaps))
      .field("fold", word_of(fold, kFolds));
  out.field("paused", paused)
      .field("last", format_time(last))
      .field("ran", ran == 0 ? "" : format_time(ran))
      .key("job")
      .raw(job)
      .end_object();
  return text;
}

namespace {

// The last slot in (after, until]. Whether a stretch has one is asked of next() alone, so it is halved, from its end first: slots are mostly near.
std::optional<WallTime> last_slot(const Cron& cron, WallTime after, WallTime until) {
  const auto has_slot = [&](WallTime from) {
    const auto slot = cron.next(from);
    return slot && *slot <= until;
  };
  WallTime from = until;
  for (WallTime step = kSecond; from > after; step *= 4) {
    from = std::max(after, from - step);
    if (has_slot(from)) break;
  }
  if (from < after || !has_slot(from)) return std::nullopt;
  WallTime none = until;  // there is a slot behind `from`, none behind this
  while (none - from > kSecond) {
    const WallTime middle = from + (none - from) / 2;
    (has_slot(middle) ? from : none) = middle;
  }
  auto slot = cron.next(from);
  for (auto later = cron.next(*slot); later && *later <= until; later = cron.next(*later))
    slot = later;
  return slot;
}

}  // namespace

DueSlots due_slots(const Schedule& schedule, const Cron& cron, WallTime now) {
  DueSlots due{.run = {}, .last = schedule.last};
  const std::size_t most =
      schedule.catch_up == CatchUp::all ? std::max<std::size_t>(schedule.catch_up_limit, 1) : 1;
  // The latest count: from the last one backwards.
  auto slot = last_slot(cron, schedule.last, now);
  if (slot) due.last = *slot;
  for (; slot && due.run.size() < most; slot = last_slot(cron, schedule.last, *slot - 1)) {
    if (schedule.catch_up == CatchUp::skip && now - *slot > Schedule::kOnTime) break;
    due.run.push_back(*slot);
  }
  std::ranges::reverse(due.run);
  return due;
}

Result<Job> job_of(const Schedule& schedule, WallTime slot, WallTime now) {
  const std::string jid = fmt::format("cron-{:016x}-{}", hash64(schedule.name), slot / kSecond);
  auto job = read_job(with_jid(schedule.job, jid), now);
  if (!job) return pass(job, "schedule");
  const WallTime jitter =
      schedule.jitter_s == 0
          ? 0
          : static_cast<WallTime>(hash64(jid) % (std::uint64_t{schedule.jitter_s} * kSecond));
  if (slot + jitter > now && job->at == 0) job->at = slot + jitter;
  return job;
}

}  // namespace headroom::tasks
