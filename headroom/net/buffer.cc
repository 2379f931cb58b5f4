#include "headroom/net/buffer.h"

#include <sys/mman.h>

#include <algorithm>

#include "headroom/base/assert.h"

namespace headroom::net {

void BufferPool::Free::operator()(char* block) const { ::munmap(block, bytes); }

BufferPool::Block BufferPool::take(std::size_t bytes) {
  const std::size_t size = bytes <= kSmallBytes ? kSmallBytes : std::max(bytes, kLargeBytes);
  if (size <= kLargeBytes) {
    auto& free = free_[size == kSmallBytes ? 0 : 1];
    if (!free.empty()) {
      Block block = std::move(free.back());
      free.pop_back();
      return block;
    }
  }
  void* pages = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  HR_ASSERT(pages != MAP_FAILED);  // out of memory: nothing here can go on
  return Block(static_cast<char*>(pages), Free{size});
}

void BufferPool::give(Block block) {
  const std::size_t size = block.get_deleter().bytes;
  if (size > kLargeBytes) return;
  auto& free = free_[size == kSmallBytes ? 0 : 1];
  if (free.size() < kMostFree / size) free.push_back(std::move(block));
}

std::span<char> Buffer::space(std::size_t least) {
  if (capacity_ - end_ < least) grow(least);
  return {block_.get() + end_, capacity_ - end_};
}

void Buffer::grow(std::size_t least) {
  const std::size_t held = size();
  if (begin_ > 0 && capacity_ - held >= least) {  // enough room once the data moves to the front
    std::memmove(block_.get(), block_.get() + begin_, held);
  } else {
    auto larger = pool_->take(std::max(held + least, capacity_ == 0 ? 0 : capacity_ * 2));
    if (held > 0) std::memcpy(larger.get(), block_.get() + begin_, held);
    release();
    block_ = std::move(larger);
    capacity_ = block_.get_deleter().bytes;
  }
  begin_ = 0;
  end_ = held;
}

void Buffer::release() {
  if (block_) pool_->give(std::move(block_));
  block_.reset();
  capacity_ = begin_ = end_ = 0;
}

}  // namespace headroom::net
