#include "headroom/sql/insight.h"

#include <algorithm>

#include "headroom/base/hash.h"
#include "headroom/base/text.h"
#include "headroom/pgwire/frame.h"
#include "headroom/sql/effects.h"

namespace headroom::sql {
namespace {

constexpr Duration kSampleLife = std::chrono::minutes(10);
constexpr std::size_t kForgottenAtOnce = 20;  // one in so many

std::uint64_t microseconds(Duration time) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  return us < 0 ? 0U : static_cast<std::uint64_t>(us);
}

Duration of_microseconds(const metrics::Cell& cell) {
  return std::chrono::microseconds(cell.load());
}

// "23505": 23.
std::uint16_t class_of(std::string_view sqlstate) {
  if (sqlstate.size() < 2) return 0;
  return static_cast<std::uint16_t>(static_cast<unsigned char>(sqlstate[0]) << 8U |
                                    static_cast<unsigned char>(sqlstate[1]));
}

void count_class(Insight::Shape& shape, std::string_view sqlstate) {
  const std::uint16_t name = class_of(sqlstate);
  for (auto& each : shape.classes) {
    if (each.name.load(std::memory_order_relaxed) == 0)
      each.name.store(name, std::memory_order_relaxed);
    if (each.name.load(std::memory_order_relaxed) == name) return each.count.add();
  }
}

void add_class(ShapeReport& report, const std::string& name, std::uint64_t count) {
  const auto found =
      std::ranges::find(report.classes, name, &decltype(report.classes)::value_type::first);
  if (found != report.classes.end())
    found->second += count;
  else
    report.classes.emplace_back(name, count);
}

}  // namespace

std::vector<std::optional<std::string>> parameters_of(const Sample& sample) {
  pgwire::Reader in(sample.values);
  std::vector<std::uint16_t> formats;
  for (unsigned left = sample.values.empty() ? 0 : in.u16(); left > 0 && !in.failed(); --left)
    formats.push_back(in.u16());
  std::vector<std::optional<std::string>> all;
  for (unsigned left = sample.values.empty() ? 0 : in.u16(); left > 0 && !in.failed(); --left) {
    const std::uint32_t size = in.u32();
    auto& value = all.emplace_back();
    if (size == 0xffffffff) continue;
    const std::string_view bytes = in.bytes(size);
    const std::size_t at = all.size() - 1;
    const bool binary =
        formats.size() == 1 ? formats[0] != 0 : at < formats.size() && formats[at] != 0;
    value = binary ? "\\x" + text::hex(bytes) : std::string(bytes);
  }
  return all;
}

std::uint64_t Times::count() const {
  std::uint64_t all = 0;
  for (const std::uint64_t each : buckets) all += each;
  return all;
}

Duration Times::quantile(double q) const {
  const double wanted = q * static_cast<double>(count());
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    seen += buckets[i];
    if (seen > 0 && static_cast<double>(seen) >= wanted) return TimeScale::upper(i);
  }
  return {};
}

void Times::merge(const Times& other) {
  for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
}

void ShapeReport::merge(const ShapeReport& other) {
  calls += other.calls;
  errors += other.errors;
  rows += other.rows;
  bytes += other.bytes;
  waits += other.waits;
  hits += other.hits;
  replica_reads += other.replica_reads;
  total += other.total;
  waited += other.waited;
  slowest = std::max(slowest, other.slowest);
  last_used = std::max(last_used, other.last_used);
  times.merge(other.times);
  first_rows.merge(other.first_rows);
  for (const auto& [name, count] : other.classes) add_class(*this, name, count);
  sampled = sampled || other.sampled;
}

Duration ShapeReport::mean() const {
  return calls > hits ? total / static_cast<Duration::rep>(calls - hits) : Duration();
}

Insight::Asking::Asking(std::string its_database, std::string its_user)
    : database(std::move(its_database)),
      user(std::move(its_user)),
      seed(hash64(database, hash64(user))) {}

Insight::Use Insight::note(std::uint64_t fingerprint, std::string_view text, const Asking& who) {
  const std::uint64_t id = Random(fingerprint ^ who.seed).next();
  const auto found = shapes_.find(id);
  if (found != shapes_.end()) return Use(*found->second);
  auto shape = std::make_unique<Shape>();
  shape->id = id;
  shape->database = who.database;
  shape->user = who.user;
  shape->query = normalised(text.substr(0, 2 * kLongestText));
  shape->cut = text.size() > 2 * kLongestText || shape->query.size() > kLongestText;
  shape->query.resize(std::min(shape->query.size(), kLongestText));
  shape->last_used.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  const std::scoped_lock lock(mutex_);
  if (shapes_.size() >= kMostShapes) forget_some();
  if (shapes_.size() < kMostShapes) return Use(*(shapes_[id] = std::move(shape)));
  auto& others = shapes_[0];  // all that are kept are in use
  if (!others) {
    others = std::make_unique<Shape>();
    others->query = "(further queries)";
    others->cut = true;
  }
  return Use(*others);
}

// Under the lock.
void Insight::forget_some() {
  std::vector<std::pair<Clock::rep, std::uint64_t>> by_age;
  for (const auto& [id, shape] : shapes_) {
    if (shape->users_ == 0) by_age.emplace_back(shape->last_used.load(), id);
  }
  const std::size_t most = std::min(by_age.size(), kMostShapes / kForgottenAtOnce);
  std::ranges::partial_sort(by_age, by_age.begin() + static_cast<std::ptrdiff_t>(most));
  for (std::size_t i = 0; i < most; ++i) shapes_.erase(by_age[i].second);
  forgotten_.add(most);
}

void Insight::record(Shape& shape, const Observation& seen) {
  const std::uint64_t us = microseconds(seen.time);
  shape.calls.add();
  shape.total_us.add(us);
  if (us > shape.slowest_us.load()) shape.slowest_us.add(us - shape.slowest_us.load());
  shape.times[TimeScale::index(seen.time)].add();
  if (seen.first_row) shape.first_rows[TimeScale::index(*seen.first_row)].add();
  shape.rows.add(seen.rows);
  shape.bytes.add(seen.bytes);
  if (seen.on_replica) shape.replica_reads.add();
  if (seen.waited > Duration::zero()) {
    shape.waits.add();
    shape.waited_us.add(microseconds(seen.waited));
  }
  if (!seen.sqlstate.empty()) {
    shape.errors.add();
    count_class(shape, seen.sqlstate);
  }
  shape.last_used.store(seen.now.time_since_epoch().count(), std::memory_order_relaxed);
}

void Insight::record_hit(Shape& shape, TimePoint now, std::uint64_t bytes) {
  shape.calls.add();
  shape.hits.add();
  shape.bytes.add(bytes);
  shape.last_used.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

bool Insight::wants_sample(const Shape& shape, Duration time, TimePoint now) {
  return !shape.sample_ || time >= shape.sample_->time || now - shape.sample_->at > kSampleLife;
}

void Insight::keep_sample(Shape& shape, Sample sample) {
  if (sample.size() > kLongestSample) return;
  auto kept = std::make_unique<Sample>(std::move(sample));
  const std::scoped_lock lock(mutex_);
  shape.sample_ = std::move(kept);
}

std::optional<Sample> Insight::sample(std::uint64_t id) const {
  const std::scoped_lock lock(mutex_);
  const auto found = shapes_.find(id);
  if (found == shapes_.end() || !found->second->sample_) return std::nullopt;
  return *found->second->sample_;
}

void Insight::snapshot(std::unordered_map<std::uint64_t, ShapeReport>& all) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& [id, shape] : shapes_) {
    if (shape->calls.load() == 0) continue;
    ShapeReport report{.id = id,
                       .database = shape->database,
                       .user = shape->user,
                       .query = shape->query,
                       .calls = shape->calls.load(),
                       .errors = shape->errors.load(),
                       .rows = shape->rows.load(),
                       .bytes = shape->bytes.load(),
                       .waits = shape->waits.load(),
                       .hits = shape->hits.load(),
                       .replica_reads = shape->replica_reads.load(),
                       .total = of_microseconds(shape->total_us),
                       .waited = of_microseconds(shape->waited_us),
                       .slowest = of_microseconds(shape->slowest_us),
                       .last_used = TimePoint(Clock::duration(shape->last_used.load())),
                       .times = {},
                       .first_rows = {},
                       .classes = {},
                       .sampled = shape->sample_ != nullptr,
                       .cut = shape->cut};
    for (std::size_t i = 0; i < TimeScale::kBuckets; ++i) {
      report.times.buckets[i] = shape->times[i].load();
      report.first_rows.buckets[i] = shape->first_rows[i].load();
    }
    for (const auto& each : shape->classes) {
      const std::uint16_t name = each.name.load();
      if (name == 0) break;
      add_class(report, {static_cast<char>(name >> 8U), static_cast<char>(name & 0xffU)},
                each.count.load());
    }
    const auto [there, is_new] = all.try_emplace(id);
    if (is_new)
      there->second = std::move(report);
    else
      there->second.merge(report);
  }
}

}  // namespace headroom::sql
