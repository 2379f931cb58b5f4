// headroom/net/wheel.h - deadlines by the thousand: a timer wheel whose re-arming costs a compare and a store.
//
// Owns: nothing; entries are linked in place. Worker: one wheel per worker, all calls on that worker's thread.
// Invariants: (1) an entry expires at most one tick (32 ms) after it is due, never before; (2) an entry that moves its due time later is not
//   relinked until its old slot comes round; (3) an entry unlinks itself when it ends.
// Limits: none on entries; a due time beyond one turn (16 s) goes round more than once.
#pragma once

#include <array>
#include <cstdint>

#include "headroom/base/clock.h"

namespace headroom::net {

class Wheel;

// Something that wants to hear when a moment has passed. `expired` runs on the worker, may set the entry again.
class WheelEntry {
 public:
  explicit WheelEntry(Wheel& wheel) : wheel_(wheel) {}
  WheelEntry(const WheelEntry&) = delete;
  WheelEntry& operator=(const WheelEntry&) = delete;

  // Expires at `due`; kNever clears.
  void set(TimePoint due);
  void clear() { due_ = kNever; }
  [[nodiscard]] TimePoint due() const { return due_; }

 protected:
  virtual ~WheelEntry() { unlink(); }
  virtual void expired() = 0;

 private:
  friend class Wheel;
  void unlink();

  Wheel& wheel_;
  TimePoint due_ = kNever;
  std::int64_t linked_tick_ = 0;
  WheelEntry** link_ = nullptr;  // what points to this entry; null while not linked
  WheelEntry* next_ = nullptr;
};

class Wheel {
 public:
  static constexpr Duration kTick = 32ms;
  static constexpr std::size_t kSlots = 512;

  explicit Wheel(TimePoint now);
  Wheel(const Wheel&) = delete;
  Wheel& operator=(const Wheel&) = delete;

  // Expires everything due by `now`. What an entry throws is thrown here: called again, it goes on with the next one.
  void advance(TimePoint now);
  [[nodiscard]] bool empty() const { return linked_ == 0; }

 private:
  friend class WheelEntry;
  [[nodiscard]] std::int64_t tick_of(TimePoint due) const;
  void link(WheelEntry& entry, std::int64_t tick);
  void begin_slot(std::size_t slot);
  void run_begun();

  TimePoint start_;
  std::int64_t tick_ = 0;  // every slot up to this tick has been run
  std::size_t linked_ = 0;
  WheelEntry* begun_ = nullptr;              // of the slot that is being run, those still to come
  std::array<WheelEntry*, kSlots> slots_{};  // singly entered, doubly linked lists
};

}  // namespace headroom::net
