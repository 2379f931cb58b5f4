// headroom/cache/disk_index.h - what the disk tier knows of its copies without reading them, and which goes first.
//
// Owns: an entry for each copy; rows of tags; the memory that this takes (counted). Worker: any, under the lock of who owns it.
// Invariants: (1) one copy a key; (2) bytes() is what the files of its entries take, in whole blocks of the file system.
// Limits: none of its own.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/cache/disk_file.h"
#include "headroom/cache/memory_tier.h"

namespace headroom::cache {

struct Copy {
  std::uint64_t hash = 0;
  std::uint64_t generation = 0;
  Space space{};
  ClassId cls = 0;
  std::uint64_t seq = 0;
  std::uint64_t file_bytes = 0;
  TimePoint fresh_until;
  std::string key;
  std::vector<TagId> tags{};
  bool used = false;
};

class DiskIndex {
 public:
  explicit DiskIndex(MemoryTier& memory) : memory_(memory) {}
  DiskIndex(const DiskIndex&) = delete;
  DiskIndex& operator=(const DiskIndex&) = delete;
  ~DiskIndex();

  // Null: none of this key.
  [[nodiscard]] Copy* find(std::uint64_t hash, Space space, std::string_view key);
  [[nodiscard]] Copy* by_hash(std::uint64_t hash);
  // Bytes of memory that an entry takes, at most; to be reserved before insert().
  [[nodiscard]] static std::uint64_t memory_for(std::string_view key, std::size_t tags);
  // False: another key has this hash.
  [[nodiscard]] bool insert(Copy copy, std::span<const std::string> tags);
  void erase(const Copy& copy);
  // Dead: overtaken by an invalidation, or no longer fresh. One that lives takes the newer number.
  [[nodiscard]] std::optional<Removal> dead(Copy& copy, TimePoint now) const;
  // Who goes next for room: the first in line that has not been used since it was last passed. Null: nobody is there.
  [[nodiscard]] Copy* victim();
  // All that are dead, of at most `most` entries from where the last call ended.
  [[nodiscard]] std::vector<std::pair<const Copy*, Removal>> dead_of(std::size_t most,
                                                                     TimePoint now);

  [[nodiscard]] std::size_t size() const { return places_.size(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t memory() const { return taken_; }

 private:
  using Line = std::list<Copy>;

  MemoryTier& memory_;
  Line line_;
  Line::iterator hand_ = line_.end();
  std::unordered_map<std::uint64_t, Line::iterator> places_;
  std::uint64_t bytes_ = 0;
  std::uint64_t taken_ = 0;  // memory, without rows of tags
};

}  // namespace headroom::cache
