// headroom/cache/tags.h - tags as rows of two numbers: the last hard and the last soft invalidation of each.
//
// Owns: the rows, found by a keyed 64-bit hash of the tag (two tags with one hash are invalidated together, which is safe). Worker: any; 16
//   parts with a short lock each for taking and giving rows; reading a row that one holds takes none.
// Invariants: (1) a row that an entry holds stays; (2) a row nobody holds is kept while it is among the last ones, so that a load that has
//   begun before its invalidation sees it; a row that is forgotten raises the floor from which new rows begin: what is not known counts as
//   invalidated.
// Limits: rows are charged to the memory; rows that nobody holds take at most a hundredth of it.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/cache/memory.h"
#include "headroom/cache/object.h"

namespace headroom::cache {

enum class Hardness : std::uint8_t { hard, soft };

struct TagUse {
  std::string name;
  std::uint64_t entries = 0;
  std::uint64_t hits = 0;  // estimated from one in 16
  std::uint64_t fills = 0;
  std::uint64_t invalidations = 0;
};

class TagTable {
 public:
  static constexpr std::size_t kRowBytes = 160;  // row, index node, short name

  TagTable(Memory& memory, std::uint64_t seed);
  TagTable(const TagTable&) = delete;
  TagTable& operator=(const TagTable&) = delete;

  // Writes the rows of `names` to `ids`; each must be given back. The caller has counted kRowBytes for every name; the answer is how many
  // bytes of that new rows took.
  [[nodiscard]] std::uint64_t take(std::span<const std::string> names, std::span<TagId> ids);
  void give(std::span<const TagId> ids);

  // Of a row that is held.
  [[nodiscard]] bool hard_since(TagId id, std::uint64_t seq) const {
    return row(id).hard.load(std::memory_order_relaxed) > seq;
  }
  [[nodiscard]] bool soft_since(TagId id, std::uint64_t seq) const {
    return row(id).soft.load(std::memory_order_relaxed) > seq;
  }
  void note_hit(TagId id) { row(id).hits.fetch_add(16, std::memory_order_relaxed); }

  // `seq` is above all before; the caller publishes it afterwards.
  void invalidate(std::string_view name, std::uint64_t seq, Hardness hardness);

  // The tags with the most hits, entries held first.
  [[nodiscard]] std::vector<TagUse> top(std::size_t most) const;
  // Of a row that is held.
  [[nodiscard]] std::string name_of(TagId id) const;
  [[nodiscard]] std::uint64_t rows() const { return rows_.load(std::memory_order_relaxed); }

 private:
  struct Row {
    std::atomic<std::uint64_t> hard{0};
    std::atomic<std::uint64_t> soft{0};
    std::atomic<std::uint32_t> refs{0};
    bool queued = false;  // in `unheld`; under the part's lock, as is what follows
    std::uint64_t hash = 0;
    std::atomic<std::uint64_t> hits{0};
    std::uint64_t fills = 0;
    std::uint64_t invalidations = 0;
    std::string name;
  };
  static constexpr unsigned kPartBits = 4;
  static constexpr unsigned kFirstBits =
      8;  // the first block has 256 rows, each further one twice as many
  struct Part {
    mutable std::mutex mutex;
    std::unordered_map<std::uint64_t, std::uint32_t> index;
    std::array<std::atomic<Row*>, 20> blocks{};
    std::array<std::unique_ptr<Row[]>, 20> owned;
    std::uint32_t used = 0;
    std::vector<std::uint32_t> free;
    std::deque<std::uint32_t> unheld;
    std::uint64_t hard_floor = 0;
    std::uint64_t soft_floor = 0;
  };

  [[nodiscard]] Row& row(TagId id) const {
    return at(parts_[id & ((1U << kPartBits) - 1)], id >> kPartBits);
  }
  [[nodiscard]] static Row& at(const Part& part, std::uint32_t index) {
    const std::uint32_t shifted = index + (1U << kFirstBits);
    const auto block = static_cast<unsigned>(std::bit_width(shifted)) - 1 - kFirstBits;
    return part.blocks[block].load(
        std::memory_order_acquire)[shifted - (1U << (block + kFirstBits))];
  }
  // The row's number, and whether it is new.
  [[nodiscard]] std::pair<std::uint32_t, bool> find_or_make(Part& part, std::uint64_t hash,
                                                            std::string_view name);
  void queue(Part& part, std::uint32_t index);
  void forget(Part& part, std::uint32_t index);

  Memory& memory_;
  const std::uint64_t seed_;
  const std::size_t most_unheld_;  // of each part
  std::atomic<std::uint64_t> rows_{0};
  std::array<Part, 1U << kPartBits> parts_;
};

}  // namespace headroom::cache
