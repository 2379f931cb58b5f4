#include "headroom/tasks/throttles.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/hash.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"

namespace headroom::tasks {
namespace {

constexpr std::string_view kOthers = "\n";  // keys hold no line ends

std::byte* bytes_of(std::vector<std::uint64_t>& state) {
  return reinterpret_cast<std::byte*>(state.data());
}

bool counts_running(const limit::Budget& budget) {
  return budget.kind() == limit::Budget::Kind::concurrency;
}

}  // namespace

Throttles::Throttles(const std::vector<ThrottleOptions>& options) {
  for (const ThrottleOptions& each : options) {
    Throttle throttle{.options = each, .budgets = {}};
    if (each.rate) throttle.budgets.push_back(limit::Budget::sliding(*each.rate));
    if (each.at_once > 0) throttle.budgets.push_back(limit::Budget::concurrency(each.at_once));
    throttles_.push_back(std::move(throttle));
  }
}

bool Throttles::names_type(std::string_view jobtype) const {
  return std::ranges::any_of(throttles_, [&](const Throttle& each) {
    return !each.options.jobtype.empty() && each.options.jobtype == jobtype;
  });
}

bool Throttles::is_for(const Throttle& throttle, const Job& job) {
  const ThrottleOptions& options = throttle.options;
  return (options.queue.empty() || options.queue == job.queue) &&
         (options.jobtype.empty() || options.jobtype == job.jobtype) &&
         (!options.by_key || !job.key.empty());
}

std::vector<Throttles::State>& Throttles::counts_of(Throttle& throttle, const Job& job,
                                                    TimePoint now) {
  return counts_of_key(throttle, throttle.options.by_key ? job.key : "", now);
}

std::vector<Throttles::State>& Throttles::counts_of_key(Throttle& throttle, std::string key,
                                                        TimePoint now) {
  if (const auto known = throttle.counts.find(key); known != throttle.counts.end())
    return known->second;
  if (throttle.counts.size() >= kMostKeys) {
    for (auto at = throttle.counts.begin(); at != throttle.counts.end();) {
      bool idle = true;
      for (std::size_t i = 0; i < throttle.budgets.size(); ++i)
        idle = idle && throttle.budgets[i].idle(bytes_of(at->second[i]), now);
      at = idle ? throttle.counts.erase(at) : std::next(at);
    }
    if (throttle.counts.size() >= kMostKeys) key = kOthers;
  }
  auto& made = throttle.counts[key];
  for (std::size_t i = made.size(); i < throttle.budgets.size(); ++i) {
    State state((throttle.budgets[i].state_bytes() + sizeof(std::uint64_t) - 1) /
                sizeof(std::uint64_t));
    throttle.budgets[i].begin(bytes_of(state));
    made.push_back(std::move(state));
  }
  return made;
}

bool Throttles::allows(const Job& job, TimePoint now) {
  for (Throttle& throttle : throttles_) {
    if (!is_for(throttle, job)) continue;
    auto& counts = counts_of(throttle, job, now);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const limit::Standing standing = throttle.budgets[i].check(bytes_of(counts[i]), now, 1);
      if (standing.allowed) continue;
      if (!counts_running(throttle.budgets[i])) next_ = std::min(next_, now + standing.retry_after);
      return false;
    }
  }
  return true;
}

void Throttles::begin(const Job& job, TimePoint now, Begun begun) {
  for (Throttle& throttle : throttles_) {
    if (!is_for(throttle, job)) continue;
    auto& counts = counts_of(throttle, job, now);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const limit::Budget& budget = throttle.budgets[i];
      if (!counts_running(budget)) {
        if (begun == Begun::before || !budget.check(bytes_of(counts[i]), now, 1).allowed) continue;
        unnoted_ = true;
      }
      budget.take(bytes_of(counts[i]), now, 1);
    }
  }
}

bool Throttles::end(const Job& job) {
  bool room = false;
  for (Throttle& throttle : throttles_) {
    if (!is_for(throttle, job)) continue;
    auto known = throttle.counts.find(throttle.options.by_key ? job.key : "");
    if (known == throttle.counts.end()) known = throttle.counts.find(std::string(kOthers));
    for (std::size_t i = 0; known != throttle.counts.end() && i < known->second.size(); ++i) {
      std::byte* state = bytes_of(known->second[i]);
      if (!counts_running(throttle.budgets[i]) || throttle.budgets[i].idle(state, TimePoint{}))
        continue;
      throttle.budgets[i].give_back(state, 1);
      room = true;
    }
  }
  return room;
}

// By what it is for: a throttle that was changed begins anew.
std::string Throttles::name_of(const Throttle& throttle) {
  const ThrottleOptions& options = throttle.options;
  std::string whole;
  for (const std::string_view part :
       {std::string_view(options.queue), std::string_view(options.jobtype)})
    json::append_string(whole, part);
  return fmt::format("{}{:016x}", kNote,
                     hash64(fmt::format("{} {} {} {}", whole, options.by_key, options.rate->count,
                                        options.rate->period.count())));
}

// How much of a rate is used now.
std::uint64_t Throttles::used(const limit::Budget& rate, State& state, TimePoint now) {
  const limit::Standing standing = rate.check(bytes_of(state), now, 1);
  return standing.allowed ? rate.limit() - standing.remaining - 1 : rate.limit();
}

std::vector<Note> Throttles::notes(const Now& now) {
  unnoted_ = false;
  next_note_ = now.steady + kNoteEvery;
  std::vector<Note> notes;
  for (Throttle& throttle : throttles_) {
    if (!throttle.options.rate) continue;
    Note note{name_of(throttle), {}};
    json::Writer out(note.text);
    out.begin_object().field("at", now.wall).key("used").begin_object();
    std::size_t left = kMostNoted;
    for (auto& [key, states] : throttle.counts) {
      const std::uint64_t count = used(throttle.budgets[0], states[0], now.steady);
      if (count == 0 || key == kOthers) continue;
      if (left-- == 0) break;
      out.field(key, count);
    }
    out.end_object().end_object();
    notes.push_back(std::move(note));
  }
  return notes;
}

bool Throttles::restore(const Note& note, const Now& now) {
  const auto its = std::ranges::find_if(throttles_, [&](const Throttle& throttle) {
    return throttle.options.rate && name_of(throttle) == note.name;
  });
  const auto document = json::parse(note.text, {.bytes = Bytes::mib(8)});
  const auto at = document ? document->root().find("at") : std::nullopt;
  const auto counts = document ? document->root().find("used") : std::nullopt;
  if (its == throttles_.end() || !at || !counts) return false;
  // A clock that was set back makes it younger, never older than it is.
  const Duration ago =
      std::chrono::microseconds(std::max<WallTime>(now.wall - at->integer().value_or(now.wall), 0));
  const limit::Budget& rate = its->budgets[0];
  if (ago >= rate.window()) return false;
  counts->each_member([&](std::string_view key, json::Value value) {
    const std::uint64_t count = std::min(value.natural().value_or(0), rate.limit());
    if (count == 0) return;
    auto& states = counts_of_key(*its, std::string(key), now.steady);
    const TimePoint then = now.steady - ago;
    if (rate.check(bytes_of(states[0]), then, count).allowed)
      rate.take(bytes_of(states[0]), then, count);
  });
  return true;
}

bool Throttles::take_passed(TimePoint now) {
  if (now < next_) return false;
  next_ = kNever;
  return true;
}

}  // namespace headroom::tasks
