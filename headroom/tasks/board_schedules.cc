// Recurring tasks: kept, fired once a slot, shown; and where a job is.
#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"
#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

constexpr std::string_view kNote = "schedule/";
constexpr std::size_t kMostSchedules = 1000;
constexpr WallTime kAhead = 86400 * kSecond;  // a clock's smaller steps back are waited for

// Names stand in the log, and in JSON, where what is not UTF-8 would look like another name.
bool can_be_shown(std::string_view name) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto c = static_cast<unsigned char>(name[i]);
    const auto after = i + 1 < name.size() ? static_cast<unsigned char>(name[i + 1]) : 0U;
    if (c < 0x20 || c == 0x7f || (c == 0xc2 && after < 0xa0)) return false;  // C0, DEL, C1
  }
  std::string quoted;
  json::append_string(quoted, name);
  const auto document = json::parse(quoted);
  return document && document->root().string() == name;
}

}  // namespace

Result<> Board::restore_schedules(const Now&) {
  auto notes = store_.notes(kNote);
  if (!notes) return pass(notes);
  for (const Note& note : *notes) {
    const std::string name = note.name.substr(kNote.size());
    auto schedule = Schedule::read(name, note.text);
    auto cron = schedule ? schedule->parsed()
                         : Result<Cron>(fail(schedule.error().code, schedule.error().message));
    if (!cron) {
      log::error("tasks", "schedule '{}' is left out: {}", name, cron.error().message);
      continue;
    }
    const auto next = cron->next(schedule->last);
    schedules_.emplace(name, Planned{std::move(*schedule), *cron, next});
  }
  return {};
}

Result<> Board::put_schedule(Schedule schedule, const Now& now) {
  if (!can_be_shown(schedule.name))
    return fail(Errc::invalid, "a schedule's name: expected UTF-8 without control characters");
  auto cron = schedule.parsed();
  if (!cron) return pass(cron);
  const auto known = schedules_.find(schedule.name);
  if (known == schedules_.end() && schedules_.size() + staged_schedules_.size() >= kMostSchedules)
    return fail(Errc::overloaded, fmt::format("there are {} schedules already", schedules_.size()));
  schedule.last = now.wall;
  std::uint64_t runs = 0;
  if (known != schedules_.end()) {
    const Schedule& before = known->second.schedule;
    const bool goes_on = before.cron == schedule.cron && before.zone == schedule.zone &&
                         !before.paused && !schedule.paused;
    if (goes_on) schedule.last = before.last;
    runs = known->second.runs;
    schedule.ran = before.ran;
  }
  if (auto put =
          noted(store_.put_note({fmt::format("{}{}", kNote, schedule.name), schedule.text()}));
      !put)
    return put;
  const std::string name = schedule.name;
  const auto next = cron->next(schedule.last);
  staged_schedules_[name] = Planned{std::move(schedule), *cron, next, runs};
  return {};
}

Result<> Board::offer_schedule(const Schedule& schedule, const Now& now) {
  const std::string name = fmt::format("offered/{}", schedule.name);
  auto before = store_.note(name);
  if (!before) return noted(pass(before));
  if (*before || schedules_.contains(schedule.name)) return {};
  if (auto put = noted(store_.put_note({name, ""})); !put) return put;
  return put_schedule(schedule, now);
}

Result<> Board::remove_schedule(std::string_view name) {
  if (!schedules_.contains(name))
    return fail(Errc::not_found, fmt::format("there is no schedule '{}'", name));
  staged_schedules_[std::string(name)] = std::nullopt;
  return noted(store_.remove_note(fmt::format("{}{}", kNote, name)));
}

bool Board::is_ahead(const Planned& planned, const Now& now) {
  return planned.schedule.last > now.wall + kAhead;
}

// The clock was ahead when it last ran, and would keep it from running until that time comes.
Result<> Board::bring_back(const Planned& planned, const Now& now) {
  log::warn("tasks", "schedule '{}' last ran at {}, which is yet to come: it goes on from now",
            planned.schedule.name, format_time(planned.schedule.last));
  Planned after = planned;
  after.schedule.last = now.wall;
  after.next = after.cron.next(now.wall);
  const std::string name = after.schedule.name;
  if (auto put = noted(store_.put_note({fmt::format("{}{}", kNote, name), after.schedule.text()}));
      !put)
    return put;
  staged_schedules_[name] = std::move(after);
  return {};
}

// After a long absence there may be much to catch up: what is left over has its turn in the next round.
Result<> Board::fire_schedules(const Now& now) {
  const TimePoint until = Clock::now() + kSweepTime;
  for (auto& [name, planned] : schedules_) {
    if (Clock::now() >= until) return {};
    if (is_ahead(planned, now) && !staged_schedules_.contains(name)) {
      if (auto done = bring_back(planned, now); !done) return done;
    }
    if (planned.schedule.paused || !planned.next || *planned.next > now.wall ||
        staged_schedules_.contains(name))
      continue;
    if (auto fired = fire(planned, now); !fired) return fired;
  }
  return {};
}

// Its jobs and its last slot in one transaction: after a crash either both are there or neither.
Result<> Board::fire(Planned& planned, const Now& now) {
  Planned after = planned;
  const DueSlots due = due_slots(planned.schedule, planned.cron, now.wall);
  for (const WallTime slot : due.run) {
    auto job = job_of(planned.schedule, slot, now.wall);
    auto pushed = job ? push_own(std::move(*job), now) : Result<>(pass(job));
    if (store_error_) return pushed;
    if (pushed) {
      ++after.runs;
      after.schedule.ran = slot;
    } else {
      log::warn("tasks", "schedule '{}': the slot {} was left out: {}", planned.schedule.name,
                format_time(slot), pushed.error().message);
    }
  }
  after.schedule.last = due.last;
  after.next = planned.cron.next(due.last);
  if (auto put = noted(store_.put_note(
          {fmt::format("{}{}", kNote, after.schedule.name), after.schedule.text()}));
      !put)
    return put;
  const std::string name = after.schedule.name;
  staged_schedules_[name] = std::move(after);
  return {};
}

Board::Schedules Board::schedules(std::string_view after, std::size_t bytes) const {
  Schedules shown;
  std::size_t taken = 0;
  for (auto at = schedules_.upper_bound(after); at != schedules_.end(); ++at) {
    const Planned& planned = at->second;
    taken += planned.schedule.job.size();
    shown.more = taken > bytes && !shown.rows.empty();
    if (shown.more) break;
    shown.rows.push_back(
        {planned.schedule, planned.schedule.paused ? std::nullopt : planned.next, planned.runs});
  }
  return shown;
}

Result<std::optional<Board::Whereabouts>> Board::whereabouts(std::string_view jid, const Now& now) {
  const auto chain = by_jid_.find(hash64(jid));
  for (Entry* entry = chain == by_jid_.end() ? nullptr : chain->second; entry != nullptr;
       entry = entry->next_same) {
    if (entry->job.jid != jid || !entry->free()) continue;
    Whereabouts found{
        .stored = {entry->job, entry->place}, .wid = entry->wid, .leased = entry->leased};
    if (entry->leased) found.leased_s = seconds(elapsed(entry->leased_at, now.steady));
    if (found.stored.job.body.empty()) {
      auto body = store_.body(entry->job.seq);
      if (!body) return pass(body);
      found.stored.job.body = std::move(*body);
    }
    return found;
  }
  return std::nullopt;
}

std::vector<Board::Whereabouts> Board::running(std::uint64_t after, std::size_t limit,
                                               const Now& now) const {
  std::vector<std::uint64_t> numbers;
  for (const auto& [end, seq] : lease_ends_) {
    if (seq > after) numbers.push_back(seq);
  }
  std::ranges::sort(numbers);
  if (numbers.size() > limit) numbers.resize(limit);
  std::vector<Whereabouts> found;
  for (const std::uint64_t seq : numbers) {
    const Entry& entry = *entries_.at(seq);
    found.push_back(
        {{entry.job, entry.place}, entry.wid, true, seconds(elapsed(entry.leased_at, now.steady))});
  }
  return found;
}

}  // namespace headroom::tasks
