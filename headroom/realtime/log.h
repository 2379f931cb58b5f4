// headroom/realtime/log.h - a channel's messages of one priority, oldest first, with places that stay when old ones go.
//
// Owns: its entries (references to shared messages). Worker: its channel's. A copy shares the messages.
// Invariants: (1) the entry at a place never changes; places grow by one; (2) offsets grow with places; (3) bytes_from() is what the entries
//   from a place on count for; (4) after(offset) answers only when no message beyond `offset` has ever been dropped; (5) an empty log holds
//   no memory.
// Limits: the caller trims.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/realtime/message.h"

namespace headroom::realtime {

class Log {
 public:
  using Place = std::uint64_t;

  [[nodiscard]] Place begin() const { return begin_; }
  [[nodiscard]] Place end() const { return end_; }
  [[nodiscard]] std::uint64_t size() const { return end_ - begin_; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] const MessagePtr& at(Place place) const { return slot(place).message; }
  // `place` from begin() to end().
  [[nodiscard]] std::uint64_t bytes_from(Place place) const {
    return bytes_ - (place == end_ ? bytes_ : slot(place).bytes_before);
  }

  void append(MessagePtr message);
  // The first of those that keep() would leave.
  [[nodiscard]] Place first_kept(std::uint64_t messages, std::uint64_t bytes) const;
  // Keeps at most so many of the newest, and so many bytes.
  void keep(std::uint64_t messages, std::uint64_t bytes);
  void drop_before(TimePoint time);

  // The place of the first message beyond `offset`, if all beyond it are still there.
  [[nodiscard]] std::optional<Place> after(std::uint64_t offset) const;
  // The newest offset that was dropped; 0: none.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  // For a log that begins at `offset`: what came before is not here.
  void begins_after(std::uint64_t offset) { dropped_ = offset; }

 private:
  struct Entry {
    MessagePtr message;
    std::uint64_t bytes_before = 0;
  };
  [[nodiscard]] const Entry& slot(Place place) const {
    HR_ASSERT((place - begin_ < end_ - begin_));
    return ring_[place & (ring_.size() - 1)];
  }
  [[nodiscard]] Entry& slot(Place place) { return ring_[place & (ring_.size() - 1)]; }
  void grow();
  void drop_oldest();

  std::vector<Entry> ring_;  // a power of two, or empty
  Place begin_ = 0;
  Place end_ = 0;
  std::uint64_t bytes_ = 0;  // of all there ever were
  std::uint64_t dropped_ = 0;
};

// The logs of one channel.
struct Logs {
  std::array<Log, kPriorities> of;

  [[nodiscard]] Log& operator[](Priority priority) {
    return of[static_cast<std::size_t>(priority)];
  }
  [[nodiscard]] const Log& operator[](Priority priority) const {
    return of[static_cast<std::size_t>(priority)];
  }
};

}  // namespace headroom::realtime
