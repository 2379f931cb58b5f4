// headroom/base/metrics.h - metric cells: counting costs one plain add in the worker's own memory; reading sums the cells.
//
// Owns: the cells of every series, for the life of the Registry. A series is a family (name, help, labels' names) with its labels' values.
// Workers: slot w belongs to worker w alone (one writer: load, add, store, no locked instruction); the last slot is shared by all other
//   threads, which add with a locked instruction (add_shared). Making series takes a lock: do it when settings change, never per request.
// Invariants: (1) a cell never moves or disappears, so a handle may be kept; (2) a counter never goes backwards; (3) the count of a
//   histogram is the sum of its buckets; (4) cells of two workers never share a cache line.
// Limits: 64 workers; max_series per family, beyond which all further label values share one series labelled "_other".
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/clock.h"

namespace headroom::metrics {

inline constexpr std::size_t kMaxWorkers = 64;

enum class Kind : std::uint8_t { counter, gauge, histogram };

// One row of a room's table of metrics. Counters end in `_total`; histograms are in seconds.
struct Family {
  std::string_view name;
  Kind kind = Kind::counter;
  std::string_view help;
  std::array<std::string_view, 3> labels{};  // names; unused ones are empty
  [[nodiscard]] std::size_t label_count() const;
};

class Cell {
 public:
  void add(std::uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void add_shared(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t load() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Counter {
 public:
  Cell& at(std::size_t worker) { return *cells_[worker]; }
  void add_shared(std::uint64_t n = 1) { cells_.back()->add_shared(n); }
  [[nodiscard]] std::uint64_t total() const;

 private:
  friend class Registry;
  std::vector<Cell*> cells_;  // one a worker, then the shared one
};

// The log-linear scale: values in units of 1024 ns, 32 steps an octave (3 % wide), from 1 us to about 73 minutes.
struct Scale {
  static constexpr unsigned kStepBits = 5;
  static constexpr unsigned kUnitBits = 10;
  static constexpr unsigned kTopBit = 32;
  static constexpr std::size_t kBuckets = (kTopBit - kStepBits + 2) << kStepBits;

  static constexpr std::size_t index(Duration value) {
    const auto ns = value.count() < 0 ? 0U : static_cast<std::uint64_t>(value.count());
    const std::uint64_t units = ns >> kUnitBits;
    if (units < (1U << kStepBits)) return static_cast<std::size_t>(units);
    const auto top = static_cast<unsigned>(63 - __builtin_clzll(units));
    if (top > kTopBit) return kBuckets - 1;
    const std::uint64_t step = (units >> (top - kStepBits)) & ((1U << kStepBits) - 1);
    return ((top - kStepBits + 1) << kStepBits) + static_cast<std::size_t>(step);
  }
  // The smallest value of bucket `i`; of kBuckets: the upper end of the last.
  static constexpr Duration lower_bound(std::size_t i) {
    const std::size_t octave = i >> kStepBits;
    const std::size_t step = i & ((1U << kStepBits) - 1);
    if (octave == 0) return Duration(static_cast<std::int64_t>(step << kUnitBits));
    const std::uint64_t units = ((1ULL << kStepBits) + step) << (octave - 1);
    return Duration(static_cast<std::int64_t>(units << kUnitBits));
  }
};

struct HistogramValues {
  std::vector<std::uint64_t> buckets = std::vector<std::uint64_t>(Scale::kBuckets);
  Duration sum{};

  [[nodiscard]] std::uint64_t count() const;
  // The value below which the share q (0 to 1) of all values lies, interpolated in its bucket; 0 when there are none.
  [[nodiscard]] Duration quantile(double q) const;
  [[nodiscard]] Duration mean() const;
  void merge(const HistogramValues& other);
};

class Histogram {
 public:
  // One worker's buckets: a handle to be kept where values are recorded.
  class Recorder {
   public:
    void record(Duration value) {
      buckets_[Scale::index(value)].add();
      sum_ns_->add(value.count() < 0 ? 0U : static_cast<std::uint64_t>(value.count()));
    }

   private:
    friend class Histogram;
    Cell* buckets_ = nullptr;
    Cell* sum_ns_ = nullptr;
  };

  Recorder at(std::size_t worker);
  [[nodiscard]] HistogramValues values() const;

 private:
  friend class Registry;
  std::vector<Cell*> cells_;  // per slot: kBuckets cells, then the sum
};

// A gauge is asked when metrics are read; it must be callable from any thread. Ends with its handle.
class GaugeHandle {
 public:
  GaugeHandle() = default;
  GaugeHandle(GaugeHandle&& other) noexcept { *this = std::move(other); }
  GaugeHandle& operator=(GaugeHandle&& other) noexcept;
  ~GaugeHandle() { end(); }

 private:
  friend class Registry;
  void end();
  class Registry* registry_ = nullptr;
  std::uint64_t id_ = 0;
};

using Labels = std::vector<std::string>;

class Registry {
 public:
  explicit Registry(std::size_t workers, std::size_t max_series = 1000);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();

  // The series of `family` with these label values, made on first use. `family` must outlive the registry (a table row).
  Counter& counter(const Family& family, const Labels& labels = {});
  Histogram& histogram(const Family& family, const Labels& labels = {});
  [[nodiscard]] GaugeHandle gauge(const Family& family, Labels labels,
                                  std::function<double()> read);

  // Every series, family by family in order of name. Takes a lock that no worker's counting needs.
  struct Visitor {
    virtual ~Visitor() = default;
    virtual void family(const Family& family) = 0;
    virtual void counter(const Labels& labels, std::uint64_t value) = 0;
    virtual void gauge(const Labels& labels, double value) = 0;
    virtual void histogram(const Labels& labels, const HistogramValues& values) = 0;
  };
  void visit(Visitor& visitor) const;

  [[nodiscard]] std::size_t workers() const { return workers_; }

 private:
  friend class GaugeHandle;
  struct Gauge {
    std::uint64_t id;
    Labels labels;
    std::function<double()> read;
  };
  struct FamilySeries;
  struct Arena;

  FamilySeries& series_of(const Family& family);
  Labels admit(FamilySeries& series, const Labels& labels) const;
  std::vector<Cell*> make_cells(std::size_t per_slot);

  const std::size_t workers_;
  const std::size_t max_series_;
  mutable std::mutex mutex_;  // series are made and read rarely; counting never takes it
  std::vector<std::unique_ptr<Arena>> arenas_;
  std::vector<std::unique_ptr<FamilySeries>> families_;  // by name
  std::uint64_t next_gauge_ = 1;
};

}  // namespace headroom::metrics
