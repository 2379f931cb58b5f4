// headroom/sql/insight.h - what is asked of the database: for each shape of query how often, how long, how wrong.
//
// Owns: the shapes of one worker. Worker: note() and record() are its own; snapshot() is for any thread and takes a short lock that note() takes for
//   a new shape only.
// Invariants: (1) no literal of a query is kept: shapes have them blanked; (2) a shape, once there, stays where it is; (3) a fingerprint counts and
//   groups, nothing else is decided by it.
// Limits: kMostShapes for each worker, all further ones count as one; texts of kLongestText.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/metrics.h"

namespace headroom::sql {

// Times by powers of two of a microsecond.
inline constexpr std::size_t kTimeBuckets = 32;

struct ShapeReport {
  std::uint64_t fingerprint = 0;
  std::string database, user, query;
  std::uint64_t calls = 0, errors = 0;
  Duration total{}, slowest{};
  std::array<std::uint64_t, kTimeBuckets> times{};

  void merge(const ShapeReport& other);
  // Upper bound of the bucket that the share q lies in, at most `slowest`.
  [[nodiscard]] Duration quantile(double q) const;
};

class Insight {
 public:
  static constexpr std::size_t kMostShapes = 2000;
  static constexpr std::size_t kLongestText = 2000;

  struct Shape {
    std::string database, user, query;
    metrics::Cell calls, errors, total_us, slowest_us;
    std::array<metrics::Cell, kTimeBuckets> times;
  };

  // The shape of a query of this fingerprint; its text is made on the first call.
  [[nodiscard]] Shape& note(std::uint64_t fingerprint, std::string_view text,
                            const std::string& database, const std::string& user);
  static void record(Shape& shape, Duration time, bool failed);
  // Adds its shapes to `all`, one for each fingerprint, database and user.
  void snapshot(std::unordered_map<std::string, ShapeReport>& all) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Shape>> shapes_;
};

}  // namespace headroom::sql
