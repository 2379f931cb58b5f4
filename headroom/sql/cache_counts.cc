#include "headroom/sql/cache_counts.h"

#include "headroom/sql/metrics.h"

namespace headroom::sql {
namespace {

constexpr std::array<std::string_view, 4> kEvents{"hit", "miss", "refused", "passed_by"};
constexpr std::array<std::string_view, kDropBys> kDrops{"proxy", "stream", "flush"};

}  // namespace

void ShapeCounts::note(CacheEvent event, std::string_view why_not_now) {
  switch (event) {
    case CacheEvent::hit: ++hits; break;
    case CacheEvent::miss: ++misses; break;
    case CacheEvent::refused: ++refused; break;
    case CacheEvent::passed_by: ++passed_by; break;
  }
  if (event == CacheEvent::hit)
    why_not.clear();
  else if (!why_not_now.empty() && why_not != why_not_now)
    why_not = why_not_now;
}

void CacheLine::merge(const CacheLine& other) {
  hits += other.hits;
  misses += other.misses;
  stored += other.stored;
  refused += other.refused;
  passed_by += other.passed_by;
  if (why_not.empty()) why_not = other.why_not;
  if (other.verdict.rest_left >= verdict.rest_left) verdict = other.verdict;
}

DatabaseCounts::DatabaseCounts(metrics::Registry& registry, const std::string& database)
    : stored_(&registry.counter(kCacheFills, {database, "stored"})),
      not_stored_(&registry.counter(kCacheFills, {database, "not_stored"})) {
  for (std::size_t i = 0; i < kEvents.size(); ++i)
    events_[i] = &registry.counter(kCacheLookups, {database, std::string(kEvents[i])});
  for (std::size_t i = 1; i < kRefusals; ++i)
    refused_[i] =
        &registry.counter(kCacheRefused, {database, std::string(name_of(static_cast<Refusal>(i)))});
  for (std::size_t i = 0; i < kDropBys; ++i)
    drops_[i] = &registry.counter(kCacheDrops, {database, std::string(kDrops[i])});
}

void DatabaseCounts::note(std::size_t worker, CacheEvent event, Refusal reason) {
  events_[static_cast<std::size_t>(event)]->at(worker).add();
  if (reason != Refusal::none) refused(worker, reason);
}

DatabaseCounts::Totals DatabaseCounts::totals() const {
  Totals all;
  for (std::size_t i = 0; i < events_.size(); ++i) all.events[i] = events_[i]->total();
  for (std::size_t i = 1; i < kRefusals; ++i) all.refused[i] = refused_[i]->total();
  for (std::size_t i = 0; i < kDropBys; ++i) all.drops[i] = drops_[i]->total();
  all.stored = stored_->total();
  all.not_stored = not_stored_->total();
  return all;
}

}  // namespace headroom::sql
