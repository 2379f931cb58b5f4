// headroom/sql/cache_counts.h - what became of look-ups in the cache of results: by shape of query for people, by database for the metrics.
//
// Owns: its counts. Worker: ShapeCounts are one worker's; DatabaseCounts are for all, each in a cell of its own.
// Invariants: (1) each look-up counts once: hit, miss, refused or passed by; (2) what is not answered from here has a reason.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/sql/plan.h"
#include "headroom/sql/worth.h"

namespace headroom::sql {

enum class CacheEvent : std::uint8_t { hit, miss, refused, passed_by };

// Of one shape of query, on one worker.
struct ShapeCounts {
  std::string database{}, query{};
  std::uint64_t hits = 0, misses = 0, stored = 0, refused = 0, passed_by = 0;
  std::string why_not{};  // of the last that was not answered from here
  Worth worth{};
  bool is_one = true;  // not that of all further shapes, which nothing can be said of

  void note(CacheEvent event, std::string_view why_not_now);
};

// For people: of one shape, all workers together.
struct CacheLine {
  std::string database{}, query{}, why_not{};
  std::uint64_t hits = 0, misses = 0, stored = 0, refused = 0, passed_by = 0;
  Worth::Verdict verdict{};  // of the worker that rests longest

  [[nodiscard]] std::uint64_t lookups() const { return hits + misses + refused + passed_by; }
  [[nodiscard]] bool rests() const { return verdict.rest_left > Duration::zero(); }
  void merge(const CacheLine& other);
};

// Who has dropped what was kept.
enum class DropBy : std::uint8_t {
  proxy,   // a commit through it, before it was confirmed
  stream,  // one that the server's log told of
  flush,   // everything of the database
};
inline constexpr std::size_t kDropBys = 3;

// Of one database.
class DatabaseCounts {
 public:
  DatabaseCounts(metrics::Registry& registry, const std::string& database);

  // On a worker.
  void note(std::size_t worker, CacheEvent event, Refusal reason = Refusal::none);
  void refused(std::size_t worker, Refusal reason) {
    refused_[static_cast<std::size_t>(reason)]->at(worker).add();
  }
  void filled(std::size_t worker, bool stored) {
    (stored ? stored_ : not_stored_)->at(worker).add();
  }
  // Any thread.
  void dropped(DropBy by) { drops_[static_cast<std::size_t>(by)]->add_shared(); }
  void bypassed(Duration time) {
    bypassed_ms_.fetch_add(static_cast<std::uint64_t>(milliseconds(time)),
                           std::memory_order_relaxed);
  }
  [[nodiscard]] Duration bypassed_time() const {
    return std::chrono::milliseconds(bypassed_ms_.load(std::memory_order_relaxed));
  }

  struct Totals {
    std::array<std::uint64_t, 4> events{};  // by CacheEvent
    std::array<std::uint64_t, kRefusals> refused{};
    std::array<std::uint64_t, kDropBys> drops{};
    std::uint64_t stored = 0, not_stored = 0;
  };
  [[nodiscard]] Totals totals() const;

 private:
  std::array<metrics::Counter*, 4> events_{};
  std::array<metrics::Counter*, kRefusals> refused_{};
  std::array<metrics::Counter*, kDropBys> drops_{};
  metrics::Counter* stored_;
  metrics::Counter* not_stored_;
  std::atomic<std::uint64_t> bypassed_ms_{0};
};

}  // namespace headroom::sql
