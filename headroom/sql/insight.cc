#include "headroom/sql/insight.h"

#include <algorithm>
#include <bit>

#include "headroom/base/hash.h"
#include "headroom/sql/effects.h"

namespace headroom::sql {
namespace {

constexpr std::uint64_t kOther = 0;

std::size_t bucket_of(std::uint64_t us) {
  return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(us)), kTimeBuckets - 1);
}

}  // namespace

void ShapeReport::merge(const ShapeReport& other) {
  calls += other.calls;
  errors += other.errors;
  total += other.total;
  slowest = std::max(slowest, other.slowest);
  for (std::size_t i = 0; i < kTimeBuckets; ++i) times[i] += other.times[i];
}

Duration ShapeReport::quantile(double q) const {
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kTimeBuckets; ++i) {
    seen += times[i];
    if (static_cast<double>(seen) >= q * static_cast<double>(calls) && seen > 0)
      return std::min(slowest, Duration(std::chrono::microseconds(1ULL << i)));
  }
  return slowest;
}

Insight::Shape& Insight::note(std::uint64_t fingerprint, std::string_view text,
                              const std::string& database, const std::string& user) {
  const std::uint64_t key = hash64(database, hash64(user, fingerprint));
  const auto found = shapes_.find(key);
  if (found != shapes_.end()) return *found->second;
  const bool full = shapes_.size() >= kMostShapes;
  if (full) {
    const auto other = shapes_.find(kOther);
    if (other != shapes_.end()) return *other->second;
  }
  auto shape = std::make_unique<Shape>();
  shape->database = full ? "" : database;
  shape->user = full ? "" : user;
  shape->query = full ? "(further queries)" : normalised(text).substr(0, kLongestText);
  const std::scoped_lock lock(mutex_);
  return *(shapes_[full ? kOther : key] = std::move(shape));
}

void Insight::record(Shape& shape, Duration time, bool failed) {
  const auto us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count());
  shape.calls.add();
  if (failed) shape.errors.add();
  shape.total_us.add(us);
  if (us > shape.slowest_us.load()) shape.slowest_us.add(us - shape.slowest_us.load());
  shape.times[bucket_of(us)].add();
}

void Insight::snapshot(std::unordered_map<std::string, ShapeReport>& all) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, shape] : shapes_) {
    ShapeReport report{.fingerprint = key,
                       .database = shape->database,
                       .user = shape->user,
                       .query = shape->query};
    report.calls = shape->calls.load();
    report.errors = shape->errors.load();
    report.total = std::chrono::microseconds(shape->total_us.load());
    report.slowest = std::chrono::microseconds(shape->slowest_us.load());
    for (std::size_t i = 0; i < kTimeBuckets; ++i) report.times[i] = shape->times[i].load();
    if (report.calls == 0) continue;
    auto& into = all[shape->database + '\0' + shape->user + '\0' + shape->query];
    if (into.query.empty())
      into = std::move(report);
    else
      into.merge(report);
  }
}

}  // namespace headroom::sql
