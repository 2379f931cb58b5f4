#include "headroom/net/buffer.h"

#include <sys/mman.h>

#include <algorithm>

#include "headroom/base/assert.h"

namespace headroom::net {

namespace {

constexpr std::array kSizes{BufferPool::kHeadBytes, BufferPool::kSmallBytes,
                            BufferPool::kLargeBytes};

}  // namespace

void BufferPool::Free::operator()(char* block) const {
  if (bytes == kHeadBytes) {
    ::operator delete(block);
  } else {
    ::munmap(block, bytes);
  }
}

BufferPool::Block BufferPool::take(std::size_t bytes) {
  const auto fitting = std::ranges::lower_bound(kSizes, bytes);
  const std::size_t size = fitting == kSizes.end() ? bytes : *fitting;
  if (fitting != kSizes.end()) {
    auto& free = free_[static_cast<std::size_t>(fitting - kSizes.begin())];
    if (!free.empty()) {
      Block block = std::move(free.back());
      free.pop_back();
      return block;
    }
  }
  if (size == kHeadBytes) return Block(static_cast<char*>(::operator new(size)), Free{size});
  void* pages = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  HR_ASSERT(pages != MAP_FAILED);  // out of memory: nothing here can go on
  return Block(static_cast<char*>(pages), Free{size});
}

void BufferPool::give(Block block) {
  const std::size_t size = block.get_deleter().bytes;
  const auto kind = std::ranges::find(kSizes, size);
  if (kind == kSizes.end()) return;
  auto& free = free_[static_cast<std::size_t>(kind - kSizes.begin())];
  if (free.size() < kMostFree / size) free.push_back(std::move(block));
}

std::span<char> Buffer::space(std::size_t least) {
  if (capacity() - end_ < least) grow(least);
  return {block_.get() + end_, capacity() - end_};
}

void Buffer::grow(std::size_t least) {
  const std::size_t held = size();
  if (begin_ > 0 && capacity() - held >= least) {  // enough room once the data moves to the front
    std::memmove(block_.get(), block_.get() + begin_, held);
  } else {
    auto larger = pool_->take(std::max(held + least, capacity() * 2));
    if (held > 0) std::memcpy(larger.get(), block_.get() + begin_, held);
    release();
    block_ = std::move(larger);
  }
  begin_ = 0;
  end_ = held;
}

void Buffer::release() {
  if (block_) pool_->give(std::move(block_));
  block_ = BufferPool::Block();  // its size too
  begin_ = end_ = 0;
}

}  // namespace headroom::net
