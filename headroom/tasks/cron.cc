#include "headroom/tasks/cron.h"

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "headroom/base/text.h"

namespace headroom::tasks {
namespace {

constexpr std::int64_t kMinute = 60;
constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kDay = 86400;
constexpr std::int64_t kHorizon = 10 * 366 * kDay;
constexpr std::int64_t kLargestFold = 3 * kHour;

constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays{"sun", "mon", "tue", "wed",
                                                    "thu", "fri", "sat"};

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kShort{
    {{"@hourly", "0 * * * *"},
     {"@daily", "0 0 * * *"},
     {"@weekly", "0 0 * * 0"},
     {"@monthly", "0 0 1 * *"},
     {"@yearly", "0 0 1 1 *"},
     {"@annually", "0 0 1 1 *"}}};

struct Field {
  std::string_view name;
  unsigned least;
  unsigned most;
};
constexpr std::array<Field, 6> kFields{{{"second", 0, 59},
                                        {"minute", 0, 59},
                                        {"hour", 0, 23},
                                        {"day", 1, 31},
                                        {"month", 1, 12},
                                        {"weekday", 0, 7}}};

std::optional<unsigned> number_of(std::string_view word, const Field& field) {
  const auto named = [&](const auto& names, unsigned first) -> std::optional<unsigned> {
    const auto at = std::ranges::find_if(
        names, [&](std::string_view name) { return text::equal_ignoring_case(name, word); });
    if (at == names.end()) return std::nullopt;
    return static_cast<unsigned>(at - names.begin()) + first;
  };
  std::optional<unsigned> found;
  if (field.name == "month") found = named(kMonths, 1);
  if (field.name == "weekday") found = named(kWeekdays, 0);
  if (found) return found;
  const auto number = text::to_u64(word);
  if (!number || *number < field.least || *number > field.most) return std::nullopt;
  return static_cast<unsigned>(*number);
}

// "1-5/2" into the set.
bool add_part(std::string_view part, const Field& field, std::bitset<64>& set) {
  const std::size_t slash = part.find('/');
  std::string_view range = part.substr(0, slash);
  std::uint64_t step = 1;
  if (slash != std::string_view::npos) {
    const auto given = text::to_u64(part.substr(slash + 1));
    if (!given || *given == 0 || *given > 60) return false;
    step = *given;
  }
  unsigned first = field.least;
  unsigned last = field.name == "weekday" ? 6 : field.most;
  if (range != "*" && range != "?") {
    const std::size_t dash = range.find('-');
    const auto from = number_of(range.substr(0, dash), field);
    const auto to =
        dash == std::string_view::npos ? from : number_of(range.substr(dash + 1), field);
    if (!from || !to || *from > *to) return false;
    first = *from;
    last = dash == std::string_view::npos && slash != std::string_view::npos ? last : *to;
  }
  for (std::uint64_t value = first; value <= last; value += step) set.set(value);
  return true;
}

Result<std::bitset<64>> read_field(std::string_view text, const Field& field) {
  std::bitset<64> set;
  for (const std::string_view part : text::split(text, ',')) {
    if (!add_part(part, field, set))
      return fail(
          Errc::invalid,
          fmt::format(
              "cron: field '{}' is wrong: '{}'; expected {} to {}, *, ranges, lists or steps",
              field.name, text, field.least, field.most));
  }
  return set;
}

template <std::size_t N>
std::bitset<N> narrowed(const std::bitset<64>& set) {
  std::bitset<N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = set[i];
  return out;
}

const date::time_zone* find_zone(const std::string& name) {
  try {
    return date::locate_zone(name.empty() ? "UTC" : name);
  } catch (const std::runtime_error&) {
    return nullptr;
  }
}

}  // namespace

Result<Cron> Cron::parse(std::string_view given, const std::string& zone, Gap gap, Fold fold) {
  std::string_view text = text::trimmed(given);
  for (const auto& [name, meaning] : kShort) {
    if (text == name) text = meaning;
  }
  std::vector<std::string_view> words;
  for (const std::string_view word : text::split(text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  if (words.size() == 5) words.insert(words.begin(), "0");
  if (words.size() != 6)
    return fail(Errc::invalid, "cron: expected five fields, or six with seconds first");
  std::array<std::bitset<64>, 6> sets;
  for (std::size_t i = 0; i < sets.size(); ++i) {
    auto set = read_field(words[i], kFields[i]);
    if (!set) return pass(set);
    sets[i] = *set;
  }
  Cron cron;
  cron.seconds_ = narrowed<60>(sets[0]);
  cron.minutes_ = narrowed<60>(sets[1]);
  cron.hours_ = narrowed<24>(sets[2]);
  cron.days_ = narrowed<32>(sets[3]);
  cron.months_ = narrowed<13>(sets[4]);
  cron.weekdays_ = narrowed<7>(sets[5]);
  if (sets[5][7]) cron.weekdays_.set(0);
  cron.any_day_ = words[3].starts_with('*') || words[3] == "?";
  cron.any_weekday_ = words[5].starts_with('*') || words[5] == "?";
  cron.gap_ = gap;
  cron.fold_ = fold;
  cron.zone_ = find_zone(zone);
  if (cron.zone_ == nullptr)
    return fail(Errc::invalid, fmt::format("cron: no such time zone: '{}'", zone));
  return cron;
}

// `day`: the local second with which it begins.
bool Cron::day_matches(LocalSeconds day) const {
  const date::local_days at{date::days(day / kDay)};
  const date::year_month_day calendar(at);
  if (!months_[static_cast<unsigned>(calendar.month())]) return false;
  const bool by_day = days_[static_cast<unsigned>(calendar.day())];
  const bool by_weekday = weekdays_[date::weekday(at).c_encoding()];
  if (any_day_ || any_weekday_) return by_day && by_weekday;
  return by_day || by_weekday;
}

// The first local time from `from` on that the fields allow.
std::optional<Cron::LocalSeconds> Cron::next_local(LocalSeconds from) const {
  const LocalSeconds end = from + kHorizon;
  for (LocalSeconds day = from - from % kDay; day < end; day += kDay) {
    if (!day_matches(day)) continue;
    for (LocalSeconds hour = 0; hour < 24; ++hour) {
      const LocalSeconds begin = day + hour * kHour;
      if (!hours_[static_cast<std::size_t>(hour)] || begin + kHour <= from) continue;
      for (LocalSeconds minute = 0; minute < 60; ++minute) {
        const LocalSeconds at = begin + minute * kMinute;
        if (!minutes_[static_cast<std::size_t>(minute)] || at + kMinute <= from) continue;
        for (LocalSeconds second = 0; second < 60; ++second) {
          if (seconds_[static_cast<std::size_t>(second)] && at + second >= from) return at + second;
        }
      }
    }
  }
  return std::nullopt;
}

std::array<std::optional<Cron::LocalSeconds>, 2> Cron::moments(LocalSeconds local) const {
  const auto* zone = static_cast<const date::time_zone*>(zone_);
  const date::local_info info = zone->get_info(date::local_seconds(std::chrono::seconds(local)));
  const auto by = [local](const date::sys_info& period) { return local - period.offset.count(); };
  switch (info.result) {
    case date::local_info::nonexistent:
      if (gap_ == Gap::skip) return {};
      return {info.first.end.time_since_epoch().count(), std::nullopt};
    case date::local_info::ambiguous:
      if (fold_ == Fold::first) return {by(info.first), std::nullopt};
      if (fold_ == Fold::last) return {by(info.second), std::nullopt};
      return {by(info.first), by(info.second)};
    default: return {by(info.first), std::nullopt};
  }
}

// Near a change of the clocks local times are not in the order of moments: there all those around are looked at.
std::optional<WallTime> Cron::next(WallTime after) const {
  const auto* zone = static_cast<const date::time_zone*>(zone_);
  const std::int64_t now = after >= 0 ? after / kSecond : 0;
  const date::sys_info info = zone->get_info(date::sys_seconds(std::chrono::seconds(now)));
  const std::int64_t since_change = now - info.begin.time_since_epoch().count();
  const std::int64_t till_change = info.end.time_since_epoch().count() - now;
  const bool near = since_change < kLargestFold || till_change < kLargestFold;
  LocalSeconds local = now + info.offset.count() - (near ? kLargestFold : 0);
  std::optional<std::int64_t> best;
  for (LocalSeconds last = 0;;) {
    const auto found = next_local(local);
    if (!found) break;
    local = *found + 1;
    if (best && *found > last) break;
    for (const auto& moment : moments(*found)) {
      if (!moment || *moment <= now || (best && *moment >= *best)) continue;
      if (!best) last = *found + kLargestFold;
      best = *moment;
      if (!near && till_change > kDay) return *best * kSecond;
    }
  }
  if (!best) return std::nullopt;
  return *best * kSecond;
}

}  // namespace headroom::tasks
