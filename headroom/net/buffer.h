// headroom/net/buffer.h - receive and send buffers: contiguous bytes in blocks that a worker recycles.
//
// Owns: its block, taken from the worker's pool on first use and given back by release(). Worker: the one whose pool it was made with.
// Invariants: (1) an empty released buffer holds no memory; (2) data() is contiguous; (3) views into data() end with the next space(),
//   append() or release().
// Limits: blocks of 4, 16 and 128 KiB; a buffer grows by doubling only as far as its caller asks.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace headroom::net {

// Larger blocks are whole pages from the kernel, so that what a burst needed goes back when it is over (a heap would keep it). Heads lie side by
// side: pages of their own for a thousand requests would not fit the processor's translation buffers (bench/proxy, 1,000 connections: 40 % of the CPU).
class BufferPool {
 public:
  static constexpr std::size_t kHeadBytes =
      4U << 10U;  // from the heap, side by side: most heads and short bodies fit
  static constexpr std::size_t kSmallBytes = 16U << 10U;
  static constexpr std::size_t kLargeBytes = 128U << 10U;
  static constexpr std::size_t kMostFree = 4U << 20U;  // bytes kept of each size

  struct Free {
    std::size_t bytes = 0;
    void operator()(char* block) const;
  };
  using Block = std::unique_ptr<char[], Free>;

  BufferPool() = default;
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // At least `bytes`; the block's real size is get_deleter().bytes.
  [[nodiscard]] Block take(std::size_t bytes);
  void give(Block block);

 private:
  std::array<std::vector<Block>, 3> free_;  // head, small, large
};

class Buffer {
 public:
  explicit Buffer(BufferPool& pool) : pool_(&pool) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  [[nodiscard]] std::string_view data() const { return {block_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] char* begin() { return block_.get() + begin_; }  // of data()
  [[nodiscard]] std::size_t size() const { return end_ - begin_; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] std::size_t capacity() const { return block_.get_deleter().bytes; }

  // Room for at least `least` more bytes behind data(); may move the data. Follow with commit().
  [[nodiscard]] std::span<char> space(std::size_t least = 1);
  void commit(std::size_t bytes) { end_ += bytes; }
  void consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  void append(std::string_view text) {
    if (text.empty()) return;  // of nothing, which may lie nowhere
    const std::span<char> room = space(text.size());
    std::memcpy(room.data(), text.data(), text.size());
    commit(text.size());
  }
  void clear() { begin_ = end_ = 0; }
  // Forgets the data and gives the memory back.
  void release();

 private:
  void grow(std::size_t least);

  BufferPool* pool_;
  BufferPool::Block block_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace headroom::net
