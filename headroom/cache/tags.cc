#include "headroom/cache/tags.h"

#include <algorithm>
#include <tuple>

#include "headroom/base/assert.h"
#include "headroom/base/hash.h"

namespace headroom::cache {
namespace {
constexpr std::size_t kNameLimit = 64;  // as shown to people
}

TagTable::TagTable(Memory& memory, std::uint64_t seed)
    : memory_(memory),
      seed_(seed),
      most_unheld_(
          std::clamp<std::size_t>(memory.limit() / 100 / kRowBytes / (1U << kPartBits), 4, 4096)) {}

std::pair<std::uint32_t, bool> TagTable::find_or_make(Part& part, std::uint64_t hash,
                                                      std::string_view name) {
  if (const auto found = part.index.find(hash); found != part.index.end())
    return {found->second, false};
  std::uint32_t index = part.used;
  if (part.free.empty()) {
    ++part.used;
    const auto block =
        static_cast<unsigned>(std::bit_width(index + (1U << kFirstBits))) - 1 - kFirstBits;
    if (part.owned[block] == nullptr) {
      part.owned[block] = std::make_unique<Row[]>(std::size_t{1} << (block + kFirstBits));
      part.blocks[block].store(part.owned[block].get(), std::memory_order_release);
    }
  } else {
    index = part.free.back();
    part.free.pop_back();
  }
  Row& made = at(part, index);
  made.hard.store(part.hard_floor, std::memory_order_relaxed);
  made.soft.store(part.soft_floor, std::memory_order_relaxed);
  made.hash = hash;
  made.hits = made.fills = made.invalidations = 0;
  made.name = name.substr(0, kNameLimit);
  part.index.emplace(hash, index);
  rows_.fetch_add(1, std::memory_order_relaxed);
  return {index, true};
}

std::uint64_t TagTable::take(std::span<const std::string> names, std::span<TagId> ids) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::uint64_t hash = hash64(names[i], seed_);
    const auto number = static_cast<std::uint32_t>(hash & (parts_.size() - 1));
    Part& part = parts_[number];
    const std::scoped_lock lock(part.mutex);
    const auto [index, made] = find_or_make(part, hash, names[i]);
    if (made) bytes += kRowBytes;
    Row& taken = at(part, index);
    taken.refs.fetch_add(1, std::memory_order_relaxed);
    ++taken.fills;
    ids[i] = (index << kPartBits) | number;
  }
  return bytes;
}

void TagTable::give(std::span<const TagId> ids) {
  for (const TagId id : ids) {
    Part& part = parts_[id & (parts_.size() - 1)];
    const std::scoped_lock lock(
        part.mutex);  // around the count too: a row must not be forgotten between its end and its queueing
    if (row(id).refs.fetch_sub(1, std::memory_order_relaxed) == 1) queue(part, id >> kPartBits);
  }
}

void TagTable::queue(Part& part, std::uint32_t index) {
  Row& last = at(part, index);
  if (last.queued) return;
  last.queued = true;
  part.unheld.push_back(index);
  while (part.unheld.size() > most_unheld_) {
    const std::uint32_t oldest = part.unheld.front();
    part.unheld.pop_front();
    at(part, oldest).queued = false;
    if (at(part, oldest).refs.load(std::memory_order_relaxed) == 0) forget(part, oldest);
  }
}

void TagTable::forget(Part& part, std::uint32_t index) {
  Row& old = at(part, index);
  part.hard_floor = std::max(part.hard_floor, old.hard.load(std::memory_order_relaxed));
  part.soft_floor = std::max(part.soft_floor, old.soft.load(std::memory_order_relaxed));
  part.index.erase(old.hash);
  part.free.push_back(index);
  memory_.give(kRowBytes);
  rows_.fetch_sub(1, std::memory_order_relaxed);
}

void TagTable::invalidate(std::string_view name, std::uint64_t seq, Hardness hardness) {
  const std::uint64_t hash = hash64(name, seed_);
  Part& part = parts_[hash & (parts_.size() - 1)];
  const std::scoped_lock lock(part.mutex);
  const auto [index, made] = find_or_make(part, hash, name);
  if (made) memory_.charge(kRowBytes);
  Row& marked = at(part, index);
  (hardness == Hardness::hard ? marked.hard : marked.soft).store(seq, std::memory_order_relaxed);
  ++marked.invalidations;
  if (marked.refs.load(std::memory_order_relaxed) == 0) queue(part, index);
}

std::string TagTable::name_of(TagId id) const {
  const std::scoped_lock lock(parts_[id & (parts_.size() - 1)].mutex);
  return row(id).name;
}

std::vector<TagUse> TagTable::top(std::size_t most) const {
  std::vector<TagUse> uses;
  const auto more = [](const TagUse& a, const TagUse& b) {
    return std::tie(a.hits, a.fills, a.entries) > std::tie(b.hits, b.fills, b.entries);
  };
  for (const Part& part : parts_) {
    const std::scoped_lock lock(part.mutex);
    for (const auto& [hash, index] : part.index) {
      const Row& one = at(part, index);
      TagUse use{{},
                 one.refs.load(std::memory_order_relaxed),
                 one.hits.load(std::memory_order_relaxed),
                 one.fills,
                 one.invalidations};
      if (uses.size() == most && !more(use, uses.back())) continue;
      use.name = one.name;
      uses.insert(std::ranges::upper_bound(uses, use, more), std::move(use));
      if (uses.size() > most) uses.pop_back();
    }
  }
  return uses;
}

}  // namespace headroom::cache
