// headroom/cache/disk_file.h - one copy of an object as a file: a head with everything that is known of it, then its value in blocks.
//
//   0   8  "HRcache1"          16   8  stamp: who can read the metadata          head      block of up to kBlock bytes, 8 bytes XXH3 of it and its place
//   8   8  XXH3 of the rest    24 ...  numbers, times, sizes (HeadFields);       ...       further blocks, all full but the last
//          of the head                 key, metadata, class, tags                end
//
// Numbers are as this machine has them: the file never leaves it. The head is written last, and the file gets its name after that.
//
// Owns: nothing; a CopyHead is a value. Worker: any; pure functions.
// Invariants: (1) what parse_head() takes was written whole; (2) a block that differs by one bit is refused.
// Limits: heads of kHeadLimit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/cache/object.h"

namespace headroom::cache {

struct CopyHead {
  std::uint64_t stamp = 0;
  std::uint64_t generation = 0;
  std::uint64_t seq = 0;
  std::int64_t born_unix_ms = 0;
  Lifetimes lifetimes{};
  std::uint64_t size = 0;      // of the value as stored
  std::uint32_t raw_size = 0;  // of a value that is compressed
  Space space{};
  bool forms = false;  // it may get further forms
  std::string key;
  std::string metadata;
  std::string cls;
  std::vector<std::string> tags;
};

inline constexpr std::size_t kBlock = 128U << 10U;
inline constexpr std::size_t kBlockSum = 8;
inline constexpr std::size_t kHeadLimit = 4U << 20U;
inline constexpr std::size_t kHeadStart = 16;  // enough to read head_size() from

[[nodiscard]] std::string write_head(const CopyHead& head);
// Bytes of the head that begins with `start`; Errc::protocol.
[[nodiscard]] Result<std::size_t> head_size(std::string_view start);
[[nodiscard]] Result<CopyHead> parse_head(std::string_view bytes);

[[nodiscard]] std::uint64_t block_sum(std::string_view block, std::uint64_t generation,
                                      std::uint64_t index);
[[nodiscard]] constexpr std::uint64_t file_size(std::uint64_t head, std::uint64_t value) {
  return head + value + (value + kBlock - 1) / kBlock * kBlockSum;
}

}  // namespace headroom::cache
