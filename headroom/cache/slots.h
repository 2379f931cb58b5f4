// headroom/cache/slots.h - the index of one shard: a slot of 12 bytes for each entry, found by open addressing over 2-byte numbers.
//
// Owns: no object; a slot holds an object's address, 16 bits of its hash and four for the eviction policy, and its neighbours in the
//   policy's list. Worker: under the shard's lock.
// Invariants: (1) slot 0 is nobody; (2) a number stays with its entry until erase().
// Limits: 60,000 entries.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "headroom/cache/object.h"

namespace headroom::cache {

using Slot = std::uint16_t;

class Slots {
 public:
  static constexpr std::size_t kMost = 60000;

  struct List {
    Slot head = 0;
    Slot tail = 0;
    std::uint32_t count = 0;
    std::uint64_t bytes = 0;
  };

  Slots();

  [[nodiscard]] Slot find(std::uint64_t hash, Space space, std::string_view key) const {
    for (std::size_t i = home(hash);; i = next_cell(i)) {
      const Slot slot = table_[i];
      if (slot == 0) return 0;
      if (fragment(slot) == cut(hash) && object(slot)->space() == space &&
          object(slot)->key() == key)
        return slot;
    }
  }
  // The key must not be there; size() < kMost.
  [[nodiscard]] Slot insert(Object* object, std::uint64_t hash);
  void erase(Slot slot);

  [[nodiscard]] std::size_t size() const { return count_; }
  // Slot numbers are 1 to end() - 1; some may be free (object() is null).
  [[nodiscard]] std::size_t end() const { return words_.size(); }
  [[nodiscard]] Object* object(Slot slot) const {
    return reinterpret_cast<Object*>((words_[slot] >> 20U) << 4U);
  }  // NOLINT: an address of malloc's, whose upper 16 and lower 4 bits are zero
  [[nodiscard]] std::uint16_t fragment(Slot slot) const {
    return static_cast<std::uint16_t>(words_[slot] >> 4U);
  }
  // Two bits each: which list, and how often used.
  [[nodiscard]] unsigned list(Slot slot) const { return words_[slot] & 3U; }
  void set_list(Slot slot, unsigned list) {
    words_[slot] = (words_[slot] & ~std::uint64_t{3}) | list;
  }
  [[nodiscard]] unsigned uses(Slot slot) const { return (words_[slot] >> 2U) & 3U; }
  void set_uses(Slot slot, unsigned uses) {
    words_[slot] = (words_[slot] & ~std::uint64_t{12}) | (uses << 2U);
  }

  void push(List& list, Slot slot, std::uint64_t bytes);
  void unlink(List& list, Slot slot, std::uint64_t bytes);

 private:
  [[nodiscard]] static std::uint16_t cut(std::uint64_t hash) {
    return static_cast<std::uint16_t>(hash >> 32U);
  }
  [[nodiscard]] std::size_t home(std::uint64_t hash) const { return cut(hash) & mask_; }
  [[nodiscard]] std::size_t next_cell(std::size_t i) const { return (i + 1) & mask_; }
  void place(Slot slot);
  void grow();

  std::size_t mask_;
  std::size_t count_ = 0;
  Slot free_ = 0;  // a list through next_
  std::vector<Slot> table_;
  std::vector<std::uint64_t> words_;  // address without its four zero bits, hash, uses, list
  std::vector<Slot> next_;
  std::vector<Slot> previous_;
};

}  // namespace headroom::cache
