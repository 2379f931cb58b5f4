// The cache of results for people: SHOW CACHE and /api/v1/sql/cache say the same.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "headroom/sql/admin.h"

namespace headroom::sql {
namespace {

CachedDatabaseReport report_of(const std::string& name, const ChangeStream& stream) {
  using Event = CacheEvent;
  const StreamReport now = stream.report();
  const DatabaseCounts::Totals all = stream.counts().totals();
  const auto of = [&all](Event event) { return all.events[static_cast<std::size_t>(event)]; };
  CachedDatabaseReport made{.database = name,
                            .state = now.state,
                            .current = now.current,
                            .lag = now.behind,
                            .bypassed = now.bypassed,
                            .commits = now.commits,
                            .flushes = now.flushes,
                            .tables = now.tables,
                            .hits = of(Event::hit),
                            .misses = of(Event::miss),
                            .refused = of(Event::refused),
                            .passed_by = of(Event::passed_by),
                            .stored = all.stored,
                            .not_stored = all.not_stored};
  for (const std::uint64_t each : all.drops) made.drops += each;
  for (std::size_t i = 1; i < kRefusals; ++i) {
    if (all.refused[i] > 0) made.reasons.emplace(name_of(static_cast<Refusal>(i)), all.refused[i]);
  }
  return made;
}

}  // namespace

std::string state_of(const CacheLine& line) {
  if (!line.rests()) return line.why_not;
  return fmt::format(
      "its tables are written too often for it to pay: {} hits in {} look-ups, {} drops; it is "
      "tried again in {:.0f} s",
      line.verdict.hits, line.verdict.look_ups, line.verdict.drops,
      std::ceil(seconds(line.verdict.rest_left)));
}

std::vector<CacheLine> all_cache_lines(Room& room) {
  std::map<std::pair<std::string, std::string>, CacheLine> all;
  std::mutex mutex;
  if (!room.results) return {};
  room.workers.each([&](net::Worker& worker) {
    const std::vector<CacheLine> mine = room.results->lines(worker.index());
    const std::scoped_lock lock(mutex);
    for (const CacheLine& each : mine) {
      all.try_emplace({each.database, each.query}, CacheLine{each.database, each.query, {}})
          .first->second.merge(each);
    }
  });
  std::vector<CacheLine> lines;
  for (auto& [name, line] : all) lines.push_back(std::move(line));
  return lines;
}

CacheReport cache_report(Room& room, std::size_t most) {
  CacheReport made{.on = room.results && room.options().cache.on()};
  if (!room.results) return made;
  const cache::ClassUse use = room.results->cache().memory().use_of(cache::Space::sql);
  made.entries = use.entries;
  made.bytes = use.bytes;
  made.limit_bytes = room.results->cache().options().memory_limit.count;
  for (const auto& [name, stream] : room.results->streams())
    made.databases.push_back(report_of(name, *stream));
  std::vector<CacheLine> lines = all_cache_lines(room);
  std::ranges::sort(lines, std::ranges::greater{}, &CacheLine::lookups);
  if (lines.size() > most) lines.resize(most);
  for (CacheLine& line : lines)
    made.queries.push_back({line.database, line.query, state_of(line), line.hits, line.misses,
                            line.stored, line.refused, line.passed_by, line.hits + line.misses > 0,
                            line.rests()});
  return made;
}

}  // namespace headroom::sql
