#include "headroom/base/metrics.h"

#include <algorithm>
#include <map>
#include <utility>

#include "headroom/base/assert.h"

namespace headroom::metrics {

namespace {
constexpr std::size_t kLineBytes = 128;  // two cache lines: neighbours are prefetched in pairs
constexpr std::size_t kChunkCells = 512;
constexpr std::string_view kOther = "_other";
}  // namespace

// One slot's memory. Large requests get memory of their own, zero pages until written.
struct Registry::Arena {
  struct Free {
    void operator()(Cell* cells) const { std::free(cells); }  // NOLINT: from aligned_alloc
  };
  std::vector<std::unique_ptr<Cell, Free>> chunks;
  std::size_t left = 0;
  Cell* next = nullptr;

  Cell* chunk(std::size_t cells) {
    const std::size_t bytes = (cells * sizeof(Cell) + kLineBytes - 1) / kLineBytes * kLineBytes;
    void* memory = std::aligned_alloc(kLineBytes, bytes);
    HR_ASSERT(memory != nullptr);
    auto* made = static_cast<Cell*>(memory);
    std::uninitialized_value_construct_n(made, bytes / sizeof(Cell));
    chunks.emplace_back(made);
    return made;
  }
  Cell* take(std::size_t cells) {
    if (cells > kChunkCells / 4) return chunk(cells);
    if (cells > left) {
      next = chunk(kChunkCells);
      left = kChunkCells;
    }
    Cell* taken = next;
    next += cells;
    left -= cells;
    return taken;
  }
};

struct Registry::FamilySeries {
  const Family* family = nullptr;
  std::map<Labels, Counter> counters;
  std::map<Labels, Histogram> histograms;
  std::vector<Gauge> gauges;
};

std::size_t Family::label_count() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(labels, [](std::string_view name) { return !name.empty(); }));
}

std::uint64_t Counter::total() const {
  std::uint64_t sum = 0;
  for (const Cell* cell : cells_) sum += cell->load();
  return sum;
}

std::uint64_t HistogramValues::count() const {
  std::uint64_t all = 0;
  for (const std::uint64_t n : buckets) all += n;
  return all;
}

Duration HistogramValues::quantile(double q) const {
  const std::uint64_t all = count();
  if (all == 0) return Duration::zero();
  const double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(all);
  double below = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const auto here = static_cast<double>(buckets[i]);
    if (here > 0 && below + here >= rank) {
      const Duration from = Scale::lower_bound(i);
      const Duration width = Scale::lower_bound(i + 1) - from;
      const double share = std::clamp((rank - below) / here, 0.0, 1.0);
      return from + Duration(static_cast<std::int64_t>(share * static_cast<double>(width.count())));
    }
    below += here;
  }
  return Scale::lower_bound(Scale::kBuckets);
}

Duration HistogramValues::mean() const {
  const std::uint64_t all = count();
  return all == 0 ? Duration::zero() : sum / static_cast<std::int64_t>(all);
}

void HistogramValues::merge(const HistogramValues& other) {
  for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
  sum += other.sum;
}

Histogram::Recorder Histogram::at(std::size_t worker) {
  Recorder recorder;
  recorder.buckets_ = cells_[worker];
  recorder.sum_ns_ = cells_[worker] + Scale::kBuckets;
  return recorder;
}

HistogramValues Histogram::values() const {
  HistogramValues values;
  for (const Cell* cells : cells_) {
    for (std::size_t i = 0; i < Scale::kBuckets; ++i) values.buckets[i] += cells[i].load();
    values.sum += Duration(static_cast<std::int64_t>(cells[Scale::kBuckets].load()));
  }
  return values;
}

GaugeHandle& GaugeHandle::operator=(GaugeHandle&& other) noexcept {
  if (this != &other) {
    end();
    registry_ = std::exchange(other.registry_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

void GaugeHandle::end() {
  if (registry_ == nullptr) return;
  std::function<double()> ended;  // ends outside the lock: what it holds may end gauges of its own
  const std::scoped_lock lock(registry_->mutex_);
  for (auto& series : registry_->families_) {
    const auto at = std::ranges::find(series->gauges, id_, &Registry::Gauge::id);
    if (at == series->gauges.end()) continue;
    ended = std::move(at->read);
    series->gauges.erase(at);
  }
  registry_ = nullptr;
}

Registry::Registry(std::size_t workers, std::size_t max_series)
    : workers_(workers), max_series_(max_series) {
  HR_ASSERT(workers <= kMaxWorkers);
  for (std::size_t slot = 0; slot <= workers; ++slot) arenas_.push_back(std::make_unique<Arena>());
}

Registry::~Registry() = default;

Registry::FamilySeries& Registry::series_of(const Family& family) {
  const auto at = std::ranges::lower_bound(families_, family.name, {},
                                           [](const auto& s) { return s->family->name; });
  if (at != families_.end() && (*at)->family->name == family.name) {
    HR_ASSERT((*at)->family->kind == family.kind);
    return **at;
  }
  auto made = std::make_unique<FamilySeries>();
  made->family = &family;
  return **families_.insert(at, std::move(made));
}

Labels Registry::admit(FamilySeries& series, const Labels& labels) const {
  HR_ASSERT(labels.size() == series.family->label_count());
  const std::size_t used = series.counters.size() + series.histograms.size();
  if (used < max_series_ || series.counters.contains(labels) ||
      series.histograms.contains(labels)) {
    return labels;
  }
  return Labels(labels.size(), std::string(kOther));
}

std::vector<Cell*> Registry::make_cells(std::size_t per_slot) {
  std::vector<Cell*> cells;
  cells.reserve(arenas_.size());
  for (auto& arena : arenas_) cells.push_back(arena->take(per_slot));
  return cells;
}

Counter& Registry::counter(const Family& family, const Labels& labels) {
  HR_ASSERT(family.kind == Kind::counter);
  const std::scoped_lock lock(mutex_);
  FamilySeries& series = series_of(family);
  Counter& counter = series.counters[admit(series, labels)];
  if (counter.cells_.empty()) counter.cells_ = make_cells(1);
  return counter;
}

Histogram& Registry::histogram(const Family& family, const Labels& labels) {
  HR_ASSERT(family.kind == Kind::histogram);
  const std::scoped_lock lock(mutex_);
  FamilySeries& series = series_of(family);
  Histogram& histogram = series.histograms[admit(series, labels)];
  if (histogram.cells_.empty()) histogram.cells_ = make_cells(Scale::kBuckets + 1);
  return histogram;
}

GaugeHandle Registry::gauge(const Family& family, Labels labels, std::function<double()> read) {
  HR_ASSERT(family.kind == Kind::gauge);
  const std::scoped_lock lock(mutex_);
  GaugeHandle handle;
  handle.registry_ = this;
  handle.id_ = next_gauge_++;
  series_of(family).gauges.push_back({handle.id_, std::move(labels), std::move(read)});
  return handle;
}

void Registry::visit(Visitor& visitor) const {
  const std::scoped_lock lock(mutex_);
  for (const auto& series : families_) {
    if (series->counters.empty() && series->histograms.empty() && series->gauges.empty()) continue;
    visitor.family(*series->family);
    for (const auto& [labels, counter] : series->counters) visitor.counter(labels, counter.total());
    // A successor is there before its predecessor is gone (a reload): only the newest of equals is shown.
    std::map<std::reference_wrapper<const Labels>, const Gauge*, std::less<Labels>> newest;
    for (const Gauge& gauge : series->gauges) newest.insert_or_assign(gauge.labels, &gauge);
    for (const auto& [labels, gauge] : newest) visitor.gauge(gauge->labels, gauge->read());
    for (const auto& [labels, histogram] : series->histograms) {
      visitor.histogram(labels, histogram.values());
    }
  }
}

}  // namespace headroom::metrics
