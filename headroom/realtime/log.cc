#include "headroom/realtime/log.h"

#include <algorithm>

namespace headroom::realtime {

void Log::grow() {
  const std::size_t before = ring_.size();
  std::vector<Entry> wider(std::max<std::size_t>(4, before * 2));
  for (Place place = begin_; place != end_; ++place)
    wider[place & (wider.size() - 1)] = std::move(slot(place));
  ring_ = std::move(wider);
}

void Log::append(MessagePtr message) {
  if (size() == ring_.size()) grow();
  const std::uint64_t bytes = message->bytes();
  ring_[end_ & (ring_.size() - 1)] = {std::move(message), bytes_};
  ++end_;
  bytes_ += bytes;
}

void Log::drop_oldest() {
  Entry& entry = slot(begin_);
  dropped_ = entry.message->position().offset;
  entry.message.reset();
  ++begin_;
}

Log::Place Log::first_kept(std::uint64_t messages, std::uint64_t bytes) const {
  Place first = begin_;
  while (end_ - first > messages || (first != end_ && bytes_from(first) > bytes)) ++first;
  return first;
}

void Log::keep(std::uint64_t messages, std::uint64_t bytes) {
  for (const Place first = first_kept(messages, bytes); begin_ < first;) drop_oldest();
  if (empty()) ring_ = {};
}

void Log::drop_before(TimePoint time) {
  while (!empty() && at(begin_)->at() < time) drop_oldest();
  if (empty()) ring_ = {};
}

std::optional<Log::Place> Log::after(std::uint64_t offset) const {
  if (offset < dropped_) return std::nullopt;
  Place low = begin_;
  Place high = end_;
  while (low < high) {
    const Place middle = low + (high - low) / 2;
    if (at(middle)->position().offset > offset) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace headroom::realtime
