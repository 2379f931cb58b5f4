// headroom/sql/worth.h - whether it pays to keep the results of one shape of query: what is written too often is not looked up for a while.
//
// A value of one worker. Threads: none.
// Invariants: (1) it only ever says when NOT to look: what is answered from the cache is as right as ever; (2) without drops it always pays, however few
//   the hits, so that a cache that is still empty fills; (3) a rest ends by itself, at the latest after kLongestRest, and early where nothing is written any more.
// Limits: some 100 bytes.
#pragma once

#include <cstdint>

#include "headroom/base/clock.h"

namespace headroom::sql {

class Worth {
 public:
  static constexpr std::uint64_t kLookUps = 128;  // judged together, at least
  static constexpr std::uint64_t kDrops = 8;      // within them, at least
  static constexpr std::uint64_t kFewHits =
      6;  // of look-ups one hit in so many must come, where a query is quick
  static constexpr Duration kQuick = 4ms;  // one that takes longer pays with fewer
  static constexpr Duration kFirstRest = 1s;
  static constexpr Duration kLongestRest = 8s;
  static constexpr Duration kQuiet = 500ms;  // without a drop: the rest is over

  // Whether it is not to be looked up now. `drops`: how often what it reads has been dropped, ever.
  [[nodiscard]] bool rests(std::uint64_t drops, TimePoint now);
  void looked_up() { ++look_ups_; }
  void hit() { ++hits_; }
  // The database has answered what was not there.
  void filled(Duration took) { quickest_ = took < quickest_ ? took : quickest_; }

  // Of the last look-ups that were judged, for people.
  struct Verdict {
    std::uint64_t look_ups = 0, hits = 0, drops = 0;
    Duration rest_left{};  // 0: it is looked up
  };
  [[nodiscard]] Verdict verdict(TimePoint now) const;

 private:
  void judge(std::uint64_t drops, TimePoint now);
  void begin(std::uint64_t drops);

  std::uint64_t look_ups_ = 0, hits_ = 0, drops_before_ = 0;
  Duration quickest_ = Duration::max();
  Duration rest_{};
  TimePoint rests_until_{};
  std::uint64_t drops_seen_ = 0;  // while it rests
  TimePoint dropped_at_{};
  Verdict last_;
};

}  // namespace headroom::sql
