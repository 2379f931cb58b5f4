#include "headroom/net/buffer.h"

#include <algorithm>

namespace headroom::net {

BufferPool::Block BufferPool::take() {
  if (free_.empty()) return std::make_unique_for_overwrite<char[]>(kBlockBytes);
  Block block = std::move(free_.back());
  free_.pop_back();
  return block;
}

void BufferPool::give(Block block) {
  if (free_.size() < kMaxFree) free_.push_back(std::move(block));
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
    std::size_t wanted = std::max(capacity_ * 2, BufferPool::kBlockBytes);
    while (wanted < held + least) wanted *= 2;
    auto larger = wanted == BufferPool::kBlockBytes ? pool_->take()
                                                    : std::make_unique_for_overwrite<char[]>(wanted);
    if (held > 0) std::memcpy(larger.get(), block_.get() + begin_, held);
    release();
    block_ = std::move(larger);
    capacity_ = wanted;
  }
  begin_ = 0;
  end_ = held;
}

void Buffer::release() {
  if (capacity_ == BufferPool::kBlockBytes) pool_->give(std::move(block_));
  block_.reset();
  capacity_ = begin_ = end_ = 0;
}

}  // namespace headroom::net
