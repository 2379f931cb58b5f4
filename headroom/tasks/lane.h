// headroom/tasks/lane.h - one lane in memory: its first jobs, in order, and how many more the store holds behind them.
//
// Owns: nothing; entries are the board's. Worker and threads: the engine's thread.
// Invariants: (1) every job of the lane up to the horizon that is not leased is in the window; (2) spilled() counts the jobs behind it that
//   are not leased; (3) with nothing spilled the horizon is the end of all keys.
// Limits: the board spills and refills it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>

#include "headroom/tasks/store.h"

namespace headroom::tasks {

struct Entry;

class Lane {
 public:
  explicit Lane(LaneId id) : id_(id) {}

  [[nodiscard]] LaneId id() const { return id_; }
  [[nodiscard]] std::uint64_t size() const { return window_.size() + spilled_; }
  [[nodiscard]] std::uint64_t spilled() const { return spilled_; }
  [[nodiscard]] std::size_t held() const { return window_.size(); }
  [[nodiscard]] const Key& horizon() const { return horizon_; }
  [[nodiscard]] const std::map<Key, Entry*>& window() const { return window_; }
  [[nodiscard]] Entry* first() const { return window_.empty() ? nullptr : window_.begin()->second; }

  // Whether a job with this key belongs into the window.
  [[nodiscard]] bool reaches(const Key& key) const { return spilled_ == 0 || key <= horizon_; }
  void hold(const Key& key, Entry* entry) { window_.emplace(key, entry); }
  void let_go(const Key& key) { window_.erase(key); }
  // The last of the window goes to the store alone; its entry, which the caller ends.
  [[nodiscard]] Entry* spill_last() {
    const auto last = std::prev(window_.end());
    Entry* entry = last->second;
    window_.erase(last);
    ++spilled_;
    horizon_ = window_.empty() ? Key{std::numeric_limits<std::int64_t>::min(), 0}
                               : std::prev(window_.end())->first;
    return entry;
  }
  // Jobs of it that are leased: they may come back.
  void lend() { ++lent_; }
  void take_back() { --lent_; }
  [[nodiscard]] bool unused() const { return size() == 0 && lent_ == 0; }
  void count_spilled() { ++spilled_; }
  void uncount_spilled() {
    if (--spilled_ == 0) horizon_ = kEnd;
  }
  // Read from the store as the next one behind the horizon.
  void refill(const Key& key, Entry* entry) {
    hold(key, entry);
    pass(key);
    uncount_spilled();
  }
  // The next one behind the horizon is leased.
  void pass(const Key& key) { horizon_ = key; }
  // All of it is in the store alone.
  void begin_spilled(std::uint64_t jobs) {
    spilled_ = jobs;
    horizon_ = jobs == 0 ? kEnd : Key{std::numeric_limits<std::int64_t>::min(), 0};
  }
  void clear() {
    window_.clear();
    lent_ = 0;
    begin_spilled(0);
  }

 private:
  static constexpr Key kEnd{std::numeric_limits<std::int64_t>::max(),
                            std::numeric_limits<std::uint64_t>::max()};

  LaneId id_;
  std::map<Key, Entry*> window_;
  std::uint64_t spilled_ = 0;
  std::uint64_t lent_ = 0;
  Key horizon_ = kEnd;
};

}  // namespace headroom::tasks
