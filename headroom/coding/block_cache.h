// headroom/coding/block_cache.h - memory for brotli, which cannot reset a context: the blocks of the last one serve the next.
//
// Owns: free blocks, at most `limit` bytes of them; what is lent is freed when its borrower gives it back beyond that.
// Worker: one thread. Invariant: it outlives every context that borrows from it. Limit: `limit`.
#pragma once

#include <cstddef>
#include <vector>

#include "headroom/base/bytes.h"

namespace headroom::coding {

class BlockCache {
 public:
  explicit BlockCache(Bytes limit) : limit_(limit) {}
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // The two functions that brotli asks for; `cache` is a BlockCache.
  static void* take(void* cache, std::size_t size);
  static void give(void* cache, void* memory);

  [[nodiscard]] std::size_t lent_bytes() const { return lent_; }
  [[nodiscard]] std::size_t free_bytes() const { return free_bytes_; }

 private:
  struct Block;

  const Bytes limit_;
  std::vector<Block*> free_;
  std::size_t free_bytes_ = 0;
  std::size_t lent_ = 0;
};

}  // namespace headroom::coding
