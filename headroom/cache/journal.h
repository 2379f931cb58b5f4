// headroom/cache/journal.h - which copies on disk invalidations have made void, so that a process that starts anew knows: also after kill -9.
//
// A table in a file that is mapped into memory (MAP_SHARED): a mark is a store, which outlives the process without any system call. A tag's mark is the
// number of its last invalidation; a key's is a generation: every copy made up to then is void. Cells are shared by hash: two names in one cell are
// void together, which is safe. Before the file is there marks go to plain memory and are carried over.
//
// Owns: the mapping. Worker: tag() and ban() under the invalidations' lock, key() and next_generation() under the disk tier's; attach() and close() under both.
// Invariants: (1) a copy that valid() lets pass has met none of the marks made since; (2) the file is believed after an orderly end, or while the machine
//   has not been started anew since: what a power cut leaves is not.
// Limits: 2^17 cells for tags, 2^19 for keys, 256 prefixes and patterns of 216 bytes; what is more voids all of its space.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/cache/object.h"

namespace headroom::cache {

class Journal {
 public:
  Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  void tag(std::string_view name, std::uint64_t seq);
  void ban(Space space, bool pattern, std::string_view text, std::uint64_t seq);
  void key(Space space, std::string_view key);

  // Numbers of copies, also across restarts.
  [[nodiscard]] std::uint64_t next_generation();
  // What is added to this process's numbers of invalidations in the file.
  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  // Of a copy with its numbers as they stand in its file.
  [[nodiscard]] bool valid(Space space, std::string_view key, std::span<const std::string> tags,
                           std::uint64_t seq, std::uint64_t generation) const;

  struct Map;
  struct File {
    Map* map = nullptr;
    int fd = -1;
    bool trusted = false;  // what it says of older copies can be believed
  };
  // Maps the file at `path`, made with mode 0600. Blocks.
  [[nodiscard]] static Result<File> open(const std::filesystem::path& path);
  // Marks go there from now on, and those made until now.
  void attach(File file);
  // An orderly end: all copies that are left are valid. Blocks.
  void close();

 private:
  [[nodiscard]] static Map* map_memory();
  void carry_over(const Map& from);
  void add_ban(Space space, bool pattern, std::string_view text, std::uint64_t seq);

  Map* map_;
  int fd_ = -1;
  std::uint64_t offset_ = 0;
};

}  // namespace headroom::cache
