// headroom/sql/insight.h - what is asked of the database: for each shape of query how often, how long, how much, how wrong.
//
// Owns: the shapes of one worker. Worker: all but snapshot() and sample() are its own; these two are for any thread and take a short lock, which
//   the worker takes for a new shape and for a sample only.
// Invariants: (1) no literal of a query is kept: shapes have them blanked, and samples are taken only where they are asked for (sql.samples);
//   (2) a shape stays where it is while somebody uses it (Use, keep()); (3) a fingerprint counts and groups, nothing else is decided by it.
// Limits: kMostShapes for each worker: of more, those that were used longest ago are forgotten; texts of kLongestText; one sample of
//   kLongestSample a shape; kMostClasses of SQLSTATEs a shape, all further ones count as errors only.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/metrics.h"

namespace headroom::sql {

// Times in four steps to each doubling, from 1 us to 9 minutes: a value is known within a quarter of itself.
struct TimeScale {
  static constexpr std::size_t kBuckets = 112;
  static constexpr std::size_t index(Duration time) {
    const auto ns = time.count() < 0 ? 0U : static_cast<std::uint64_t>(time.count());
    const std::uint64_t us = ns / 1000;
    if (us < 4) return static_cast<std::size_t>(us);
    const auto top = static_cast<std::size_t>(std::bit_width(us)) - 1;
    return std::min(kBuckets - 1, (top - 1) * 4 + static_cast<std::size_t>((us >> (top - 2)) & 3U));
  }
  // The end of bucket i.
  static constexpr Duration upper(std::size_t i) {
    const std::uint64_t us = i < 4 ? i + 1 : (5 + i % 4) << (i / 4 - 1);
    return std::chrono::microseconds(us);
  }
};

struct Times {
  std::array<std::uint64_t, TimeScale::kBuckets> buckets{};
  [[nodiscard]] std::uint64_t count() const;
  // The end of the bucket that the share q lies in.
  [[nodiscard]] Duration quantile(double q) const;
  void merge(const Times& other);
};

// A statement as it came, with its values.
struct Sample {
  std::string query{};
  std::string types{};   // of a Parse: count and oids; empty: a simple query
  std::string values{};  // of a Bind: formats and values
  std::string search_path{};
  Duration time{};
  TimePoint at{};
  [[nodiscard]] std::size_t size() const { return query.size() + types.size() + values.size(); }
};

// Values as texts; those that came in binary as \x and hexadecimal.
[[nodiscard]] std::vector<std::optional<std::string>> parameters_of(const Sample& sample);

// What became of one statement.
struct Observation {
  TimePoint now{};
  Duration time{};                      // at the server
  std::optional<Duration> first_row{};  // nothing: it had none
  Duration waited{};                    // for a server connection, before it
  std::uint64_t rows = 0;               // returned, or changed
  std::uint64_t bytes = 0;              // of its answer
  std::string_view sqlstate{};          // empty: it did not fail
  bool on_replica = false;
};

struct ShapeReport {
  std::uint64_t id = 0;
  std::string database, user, query;
  std::uint64_t calls = 0, errors = 0, rows = 0, bytes = 0, waits = 0, hits = 0, replica_reads = 0;
  Duration total{}, waited{}, slowest{};
  TimePoint last_used{};
  Times times, first_rows;
  std::vector<std::pair<std::string, std::uint64_t>> classes;  // of SQLSTATEs
  bool sampled = false;
  bool cut = false;  // `query` is the beginning of it

  void merge(const ShapeReport& other);
  // Those that a server has run: neither answered from the cache nor at fault.
  [[nodiscard]] Duration mean() const;
  // At most `slowest`.
  [[nodiscard]] Duration quantile(double q) const { return std::min(slowest, times.quantile(q)); }
};

class Insight {
 public:
  static constexpr std::size_t kMostShapes = 2000;
  static constexpr std::size_t kLongestText = 2000;
  static constexpr std::size_t kLongestSample = 8U << 10U;
  static constexpr std::size_t kMostClasses = 8;

  // Whose queries; their ids differ by `seed`.
  struct Asking {
    Asking() = default;
    Asking(std::string its_database, std::string its_user);
    std::string database{}, user{};
    std::uint64_t seed = 0;
  };

  struct Shape {
    std::uint64_t id = 0;
    std::string database, user, query;
    bool cut = false;
    metrics::Cell calls, errors, rows, bytes, waits, waited_us, hits, replica_reads, total_us,
        slowest_us;
    std::atomic<Clock::rep> last_used{0};
    std::array<metrics::Cell, TimeScale::kBuckets> times, first_rows;
    struct Class {
      std::atomic<std::uint16_t> name{0};  // its two characters
      metrics::Cell count;
    };
    std::array<Class, kMostClasses> classes;
    // It is never forgotten from now on.
    void keep() const { ++users_; }

   private:
    friend class Insight;
    mutable unsigned users_ = 0;      // of its worker
    std::unique_ptr<Sample> sample_;  // under the lock
  };

  // Holds a shape where it is. On its worker.
  class Use {
   public:
    Use() = default;
    explicit Use(Shape& shape) : shape_(&shape) { ++shape.users_; }
    Use(Use&& other) noexcept : shape_(std::exchange(other.shape_, nullptr)) {}
    Use& operator=(Use&& other) noexcept {
      std::swap(shape_, other.shape_);
      return *this;
    }
    ~Use() {
      if (shape_ != nullptr) --shape_->users_;
    }
    explicit operator bool() const { return shape_ != nullptr; }
    Shape& operator*() const { return *shape_; }
    Shape* operator->() const { return shape_; }

   private:
    Shape* shape_ = nullptr;
  };

  // The shape of a query of this fingerprint; its text is made on the first call.
  [[nodiscard]] Use note(std::uint64_t fingerprint, std::string_view text, const Asking& who);
  static void record(Shape& shape, const Observation& seen);
  // Answered from the cache of results.
  static void record_hit(Shape& shape, TimePoint now, std::uint64_t bytes);
  // Whether a call that took `time` would be kept as the sample: the slowest of the last kSampleLife.
  [[nodiscard]] static bool wants_sample(const Shape& shape, Duration time, TimePoint now);
  void keep_sample(Shape& shape, Sample sample);

  // Adds its shapes to `all`, one for each fingerprint, database and user. Any thread.
  void snapshot(std::unordered_map<std::uint64_t, ShapeReport>& all) const;
  // The sample of that shape, if it has one. Any thread.
  [[nodiscard]] std::optional<Sample> sample(std::uint64_t id) const;
  [[nodiscard]] std::uint64_t forgotten() const { return forgotten_.load(); }

 private:
  void forget_some();

  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Shape>> shapes_;
  metrics::Cell forgotten_;
};

}  // namespace headroom::sql
