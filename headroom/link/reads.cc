#include "headroom/link/reads.h"

namespace headroom::link {

void Reads::note(std::span<const std::string> tags, bool known) {
  const std::scoped_lock lock(mutex_);
  if (!known) noted_.known = false;
  noted_.tags.insert(tags.begin(), tags.end());
  if (noted_.tags.size() <= kMostTags) return;
  noted_ = {.tags = {}, .known = false};
}

void Reads::add_to(ReadTags& all) const {
  const std::scoped_lock lock(mutex_);
  all.tags.insert(noted_.tags.begin(), noted_.tags.end());
  all.known = all.known && noted_.known;
}

void UnclaimedReads::note(std::span<const std::string> tags, bool known) {
  const std::scoped_lock lock(mutex_);
  const std::uint64_t number = last_.load(std::memory_order_relaxed) + 1;
  if (!known) unknown_ = number;
  for (const std::string& tag : tags) by_tag_[tag] = number;
  last_.store(number, std::memory_order_release);
}

void UnclaimedReads::add_to(ReadTags& all, std::uint64_t since) const {
  if (now() == since) return;
  const std::scoped_lock lock(mutex_);
  if (unknown_ > since) all.known = false;
  for (const auto& [tag, number] : by_tag_) {
    if (number > since) all.tags.insert(tag);
  }
}

}  // namespace headroom::link
