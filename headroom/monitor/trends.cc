#include "headroom/monitor/trends.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/monitor/metrics.h"

namespace headroom::monitor {
namespace {

constexpr std::int64_t kWriteEvery = 10;
constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kForgotten = 600;  // a series that has not been read for so long begins anew

std::vector<std::pair<std::string, std::string>> named(const metrics::Family& family,
                                                       const metrics::Labels& values) {
  std::vector<std::pair<std::string, std::string>> labels;
  for (std::size_t i = 0; i < values.size(); ++i) labels.emplace_back(family.labels[i], values[i]);
  return labels;
}

// The finest tier whose slots reach back to `from` and whose step is not above `step`.
std::size_t tier_for(std::int64_t from, std::int64_t step, std::int64_t now) {
  std::size_t tier = 0;
  while (tier + 1 < kTiers.size() &&
         (now - kTiers[tier].kept > from ||
          (kTiers[tier + 1].step <= step && step % kTiers[tier + 1].step == 0)))
    ++tier;
  return tier;
}

}  // namespace

// Takes one second's values out of the registry.
class Trends::Reader final : public metrics::Registry::Visitor {
 public:
  Reader(Trends& trends, std::int64_t now) : trends_(trends), now_(now) {}

  void family(const metrics::Family& family) override {
    end_family();
    family_ = &family;
    const auto& detail = trends_.options_.detail;
    together_ = family.kind == metrics::Kind::histogram && family.label_count() > 0 &&
                std::ranges::find(detail, family.name) == detail.end();
  }
  void counter(const metrics::Labels& labels, std::uint64_t value) override {
    count(labels, static_cast<double>(value), 0);
  }
  void gauge(const metrics::Labels& labels, double value) override {
    if (Live* live = trends_.live(*family_, labels, now_)) keep(*live->id, Value::seen(value));
  }
  void histogram(const metrics::Labels& labels, const metrics::HistogramValues& values) override {
    if (!together_) return observe(labels, values);
    if (!all_) all_.emplace();
    all_->merge(values);
  }
  // Of the machine, whose counters began long before us.
  void own(const SampleFamily& from) {
    family(*from.family);
    for (const Sample& sample : from.samples) {
      if (from.family->kind == metrics::Kind::gauge) {
        gauge(sample.labels, sample.value);
      } else {
        count(sample.labels, sample.value, sample.value);
      }
    }
  }
  Slot slot() {
    end_family();
    std::ranges::sort(slot_, {}, [](const auto& each) { return each.first; });
    return std::move(slot_);
  }

 private:
  void end_family() {
    if (!all_) return;
    static const metrics::Family none{};
    metrics::Family bare = *family_;
    bare.labels = none.labels;
    std::swap(bare_, bare);
    family_ = &bare_;
    observe({}, *std::exchange(all_, std::nullopt));
  }
  void count(const metrics::Labels& labels, double value, double first) {
    Live* live = trends_.live(*family_, labels, now_);
    if (live == nullptr) return;
    const double before = live->begun ? live->counted : first;
    live->begun = true;
    live->counted = value;
    const double added = value >= before ? value - before : value;
    if (added > 0) keep(*live->id, Value::counted(added));
  }
  void observe(const metrics::Labels& labels, const metrics::HistogramValues& values) {
    Live* live = trends_.live(*family_, labels, now_);
    if (live == nullptr) return;
    live->buckets.resize(CoarseScale::kBuckets);
    Value value;
    value.kind = metrics::Kind::histogram;
    for (std::size_t i = 0; i < CoarseScale::kBuckets; ++i) {
      std::uint64_t count = 0;
      for (std::size_t fine = i << CoarseScale::kShift; fine < (i + 1) << CoarseScale::kShift;
           ++fine)
        count += values.buckets[fine];
      if (count > live->buckets[i])
        value.buckets.emplace_back(static_cast<std::uint32_t>(i), count - live->buckets[i]);
      live->buckets[i] = count;
    }
    const auto sum = static_cast<std::uint64_t>(values.sum.count());
    value.sum_ns = sum >= live->sum_ns ? sum - live->sum_ns : sum;
    live->sum_ns = sum;
    if (!value.buckets.empty()) keep(*live->id, std::move(value));
  }
  void keep(SeriesId id, Value value) { slot_.emplace_back(id, std::move(value)); }

  Trends& trends_;
  const std::int64_t now_;
  const metrics::Family* family_ = nullptr;
  metrics::Family bare_{};
  bool together_ = false;
  std::optional<metrics::HistogramValues> all_;
  Slot slot_;
};

Trends::Trends(metrics::Registry& registry, Own own, const TrendOptions& options)
    : registry_(registry),
      own_(std::move(own)),
      options_(options),
      failures_(registry.counter(kTrendFailures)),
      shortened_(registry.counter(kTrendShortened)) {
  const auto show = [&](const Family& family, const std::atomic<std::uint64_t>& value) {
    gauges_.push_back(
        registry.gauge(family, {}, [&value] { return static_cast<double>(value.load()); }));
  };
  show(kTrendSeries, series_);
  show(kTrendLeftOut, left_out_);
  show(kTrendBytes, bytes_);
}

Result<> Trends::open(const std::filesystem::path& path) {
  path_ = path;
  auto store =
      TrendStore::open(path, {.disk = options_.disk_limit, .series = options_.series_limit});
  if (!store) return pass(store);
  store_ = std::move(*store);
  return {};
}

void Trends::close(std::int64_t now) {
  if (!store_) return;
  write(now);
  store_.reset();
  path_.clear();
}

Trends::Live* Trends::live(const metrics::Family& family, const metrics::Labels& labels,
                           std::int64_t now) {
  std::string key(family.name);
  for (const std::string& label : labels) key.append(1, '\x1f').append(label);
  Live& live = live_[key];
  live.seen = now;
  const std::int64_t hour = now - (now % kHour);
  // Once an hour the store is told that it is still used; what had no room is offered again.
  if (live.asked != hour) {
    live.asked = hour;
    live.id = store_->id_of({std::string(family.name), named(family, labels)}, family.kind, now);
  }
  if (live.id) return &live;
  left_out_.fetch_add(1, std::memory_order_relaxed);
  return nullptr;
}

Slot Trends::take_slot(std::int64_t now) {
  left_out_ = 0;
  Reader reader(*this, now);
  registry_.visit(reader);
  for (const SampleFamily& family : own_()) reader.own(family);
  std::erase_if(live_, [now](const auto& each) { return each.second.seen + kForgotten < now; });
  return reader.slot();
}

void Trends::sample(std::int64_t now) {
  if (!store_) {
    if (path_.empty()) return;
    if (auto opened = open(path_); !opened) return say(opened.error());
  }
  const bool jumped = now < sampled_ || now > sampled_ + kLongestTick;
  if (jumped) even_since_ = now;
  sampled_ = now;
  Slot slot = take_slot(now);
  const auto [at, fresh] = pending_.try_emplace(now);
  if (fresh) {
    at->second = std::move(slot);
  } else {
    merge(at->second, slot);
  }
  if (now / kWriteEvery != written_) write(now);
}

void Trends::write(std::int64_t now) {
  auto done = store_->write(
      pending_, now,
      now - even_since_ >= kBelieved ? TrendStore::Clock::even : TrendStore::Clock::doubtful);
  series_ = store_->series_count();
  bytes_ = store_->size().count;
  shortened_.add_shared(store_->shortened() - shortened_told_);
  shortened_told_ = store_->shortened();
  if (done) {
    written_ = now / kWriteEvery;
    pending_.clear();
    if (failing_.exchange(false)) log::info("monitor", "trends are written again");
    return;
  }
  say(done.error());
  while (pending_.size() > kKept) pending_.erase(pending_.begin());
}

void Trends::say(const Error& error) {
  failures_.add_shared();
  if (!failing_.exchange(true))
    log::error("monitor", "trends cannot be written, trying again: {}", error.message);
}

std::vector<net::HealthReport> Trends::health() const {
  using State = net::HealthReport::State;
  if (!failing_.load()) return {{"monitor", State::ok, ""}};
  return {{"monitor", State::degraded, "trends cannot be written"}};
}

std::vector<std::string> Trends::metrics() const {
  return store_ ? store_->metrics() : std::vector<std::string>{};
}

Result<TrendAnswer> Trends::query(const TrendQuery& query) {
  if (!store_) return fail(Errc::unavailable, "trends are not kept now");
  if (query.to <= query.from || query.from < 0 || query.step < 0)
    return fail(Errc::invalid, "from must be before to");
  const auto series = store_->series_of(query.metric);
  if (series.empty()) return fail(Errc::not_found, "no trend of a metric of that name is kept");
  TrendAnswer answer;
  answer.metric = query.metric;
  answer.kind = series.back().kind;
  std::int64_t step =
      query.step > 0 ? query.step : std::max<std::int64_t>(1, (query.to - query.from + 299) / 300);
  const std::size_t tier = tier_for(query.from + kWriteEvery, step, std::max(sampled_, query.to));
  answer.tier_step = kTiers[tier].step;
  step = (step + answer.tier_step - 1) / answer.tier_step * answer.tier_step;
  answer.step = step;
  answer.from = query.from - (query.from % step);
  if ((query.to - answer.from) / step > kMostPoints)
    return fail(Errc::invalid, "that is more points than an answer may have");
  answer.known_to = sampled_ > 0 ? std::min(query.to, sampled_ + 1) : query.to;
  answer.points = static_cast<std::size_t>((query.to - answer.from + step - 1) / step);

  std::unordered_map<SeriesId, std::size_t> curve_of;
  std::map<std::vector<std::pair<std::string, std::string>>, std::size_t> curves;
  for (const Series& each : series) {
    const auto& labels = each.name.labels;
    if (!std::ranges::all_of(query.where, [&](const auto& wanted) {
          return std::ranges::find(labels, wanted) != labels.end();
        }))
      continue;
    auto kept = labels;
    if (query.by)
      std::erase_if(kept, [&](const auto& label) {
        return std::ranges::find(*query.by, label.first) == query.by->end();
      });
    const auto [at, fresh] = curves.try_emplace(kept, answer.curves.size());
    if (fresh && (answer.curves.size() + 1) * answer.points > kMostValues)
      return fail(Errc::invalid,
                  "that is more values than an answer may have: a larger step, or by=");
    if (fresh) answer.curves.push_back({kept, std::vector<std::optional<Value>>(answer.points)});
    curve_of[each.id] = at->second;
  }
  // Series of one curve lie side by side in a slot; then slots follow each other.
  const auto take = [&](std::int64_t at, std::unordered_map<std::size_t, Value>& beside) {
    const auto point = static_cast<std::size_t>((at - answer.from) / step);
    for (auto& [curve, value] : beside) {
      auto& into = answer.curves[curve].points[point];
      into ? into->merge(value) : void(into = std::move(value));
    }
  };
  const auto lay = [&](std::unordered_map<std::size_t, Value>& beside, SeriesId id, Value&& value) {
    const auto [at, fresh] = beside.try_emplace(curve_of.at(id));
    fresh ? void(at->second = std::move(value)) : at->second.add(value);
  };
  const auto wanted = [&](SeriesId id) { return curve_of.contains(id); };
  // What a tier has not rolled up yet is still in the finer ones, and the last seconds are here.
  std::int64_t cursor = answer.from;
  for (std::size_t finer = tier + 1; finer-- > 0;) {
    auto read = store_->read(finer, cursor, query.to,
                             [&](std::int64_t at, std::string_view bytes) -> Result<> {
                               std::unordered_map<std::size_t, Value> beside;
                               auto good = decode(bytes, wanted, [&](SeriesId id, Value&& value) {
                                 lay(beside, id, std::move(value));
                               });
                               take(at, beside);
                               return good;
                             });
    if (!read) return pass(read);
    auto border = store_->rolled_up(finer, query.to);
    if (!border) return pass(border);
    cursor = std::max(cursor, *border);
  }
  for (const auto& [at, slot] : pending_) {
    if (at < answer.from || at >= query.to) continue;
    std::unordered_map<std::size_t, Value> beside;
    for (const auto& [id, value] : slot) {
      if (wanted(id)) lay(beside, id, Value(value));
    }
    take(at, beside);
  }
  return answer;
}

}  // namespace headroom::monitor
