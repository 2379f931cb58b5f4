#include "headroom/coding/block_cache.h"

#include <algorithm>
#include <cstdlib>

#include "headroom/base/assert.h"

namespace headroom::coding {

// In front of each piece of memory.
struct alignas(std::max_align_t) BlockCache::Block {
  std::size_t size;
};

BlockCache::~BlockCache() {
  HR_ASSERT(lent_ == 0U);
  for (Block* block : free_) std::free(block);  // NOLINT: brotli's blocks have no type
}

void* BlockCache::take(void* cache, std::size_t size) {
  auto& self = *static_cast<BlockCache*>(cache);
  const auto at = std::ranges::find(self.free_, size, &Block::size);
  Block* block = nullptr;
  if (at != self.free_.end()) {
    block = *at;
    *at = self.free_.back();
    self.free_.pop_back();
    self.free_bytes_ -= size;
  } else {
    block = static_cast<Block*>(std::malloc(sizeof(Block) + size));  // NOLINT
    if (block == nullptr) return nullptr;
    block->size = size;
  }
  self.lent_ += size;
  return block + 1;
}

void BlockCache::give(void* cache, void* memory) {
  if (memory == nullptr) return;
  auto& self = *static_cast<BlockCache*>(cache);
  Block* const block = static_cast<Block*>(memory) - 1;
  self.lent_ -= block->size;
  if (self.free_bytes_ + block->size > self.limit_.count) {
    std::free(block);  // NOLINT
    return;
  }
  self.free_bytes_ += block->size;
  self.free_.push_back(block);
}

}  // namespace headroom::coding
