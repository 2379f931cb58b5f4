#include "headroom/cache/disk_index.h"

namespace headroom::cache {
namespace {

constexpr std::uint64_t kNodes = 160;  // of the list and the table, heap slack included

std::uint64_t weight_of(std::string_view key, std::size_t tags) {
  return sizeof(Copy) + kNodes + heap_bytes(key.size() + 1) + heap_bytes(tags * sizeof(TagId));
}
}  // namespace

std::uint64_t DiskIndex::memory_for(std::string_view key, std::size_t tags) {
  return weight_of(key, tags) + tags * TagTable::kRowBytes;
}

DiskIndex::~DiskIndex() {
  while (!line_.empty()) erase(line_.front());
}

Copy* DiskIndex::by_hash(std::uint64_t hash) {
  const auto at = places_.find(hash);
  return at == places_.end() ? nullptr : &*at->second;
}

Copy* DiskIndex::find(std::uint64_t hash, Space space, std::string_view key) {
  Copy* const copy = by_hash(hash);
  return copy != nullptr && copy->space == space && copy->key == key ? copy : nullptr;
}

bool DiskIndex::insert(Copy copy, std::span<const std::string> tags) {
  if (places_.contains(copy.hash)) return false;
  copy.tags.resize(tags.size());
  const std::uint64_t rows = tags.size() * TagTable::kRowBytes;
  memory_.give_back(rows - memory_.invalidations().tags().take(tags, copy.tags));
  bytes_ += copy.file_bytes;
  taken_ += weight_of(copy.key, tags.size());
  line_.push_back(std::move(copy));
  const auto at = std::prev(line_.end());
  places_.emplace(at->hash, at);
  return true;
}

void DiskIndex::erase(const Copy& copy) {
  const auto at = places_.find(copy.hash);
  const Line::iterator place = at->second;
  memory_.give_back(weight_of(place->key, place->tags.size()));
  memory_.invalidations().tags().give(place->tags);
  bytes_ -= place->file_bytes;
  taken_ -= weight_of(place->key, place->tags.size());
  if (hand_ == place) ++hand_;
  places_.erase(at);
  line_.erase(place);
}

std::optional<Removal> DiskIndex::dead(Copy& copy, TimePoint now) const {
  Invalidations& invalidations = memory_.invalidations();
  const std::uint64_t seq = invalidations.now();
  if (copy.seq < seq) {
    // Soft too: what is stale is not read from here.
    if (invalidations.check(copy.space, copy.key, copy.tags, copy.seq) != Verdict::valid)
      return Removal::invalidated;
    copy.seq = seq;
  }
  return now >= copy.fresh_until ? std::optional(Removal::expired) : std::nullopt;
}

Copy* DiskIndex::victim() {
  for (std::size_t passed = 0; passed <= line_.size() && !line_.empty(); ++passed) {
    Copy& first = line_.front();
    if (!first.used) return &first;
    first.used = false;
    if (hand_ == line_.begin()) ++hand_;
    line_.splice(line_.end(), line_, line_.begin());
  }
  return line_.empty() ? nullptr : &line_.front();
}

std::vector<std::pair<const Copy*, Removal>> DiskIndex::dead_of(std::size_t most, TimePoint now) {
  std::vector<std::pair<const Copy*, Removal>> found;
  for (std::size_t i = 0; i < std::min(most, line_.size()); ++i, ++hand_) {
    if (hand_ == line_.end()) hand_ = line_.begin();
    if (const auto cause = dead(*hand_, now)) found.emplace_back(&*hand_, *cause);
  }
  return found;
}

}  // namespace headroom::cache
