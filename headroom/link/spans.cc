#include "headroom/link/spans.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace headroom::link {

void Span::note(std::string_view attribute, std::string_view value) {
  if (attributes.size() < kMostAttributes)
    attributes.push_back({attribute, std::string(value.substr(0, kLongest))});
}

void Span::note(std::string_view attribute, std::int64_t value) {
  if (attributes.size() < kMostAttributes) attributes.push_back({attribute, value});
}

void Spans::turn_on(double share) {
  const double all = 0x1.0p63;
  threshold_.store(static_cast<std::uint64_t>(std::clamp(share, 0.0, 1.0) * all),
                   std::memory_order_relaxed);
  on_.store(true, std::memory_order_relaxed);
}

void Spans::add(Span span) {
  if (!on()) return;
  if (span.name.size() > Span::kLongest) span.name.resize(Span::kLongest);
  const std::scoped_lock lock(mutex_);
  if (ended_.size() < kMost) {
    ended_.push_back(std::move(span));
  } else {
    dropped_.fetch_add(1, std::memory_order_relaxed);
  }
}

std::vector<Span> Spans::take(std::size_t most) {
  const std::scoped_lock lock(mutex_);
  if (ended_.size() <= most) return std::exchange(ended_, {});
  const auto end = ended_.begin() + static_cast<std::ptrdiff_t>(most);
  std::vector<Span> taken(std::move_iterator(ended_.begin()), std::move_iterator(end));
  ended_.erase(ended_.begin(), end);
  return taken;
}

std::size_t Spans::waiting() const {
  const std::scoped_lock lock(mutex_);
  return ended_.size();
}

}  // namespace headroom::link
