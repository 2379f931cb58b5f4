#include "headroom/link/tags_out.h"

namespace headroom::link {

void TagsOut::hand_out(std::span<const std::string> tags) {
  const std::scoped_lock lock(mutex_);
  for (const std::string& tag : tags) {
    if (!all_ && tag.starts_with("sql:")) out_.insert(tag);
  }
  if (out_.size() <= kMost) return;
  all_ = true;
  out_ = {};
}

bool TagsOut::take(const std::string& tag) {
  const std::scoped_lock lock(mutex_);
  return all_ || out_.erase(tag) > 0;
}

}  // namespace headroom::link
