#include "headroom/cache/forms.h"

#include <cstdlib>
#include <cstring>

#include "headroom/base/assert.h"

namespace headroom::cache {

std::optional<std::string_view> Forms::get(std::size_t form) const {
  Block* const block = blocks_[form].load(std::memory_order_acquire);
  return block == nullptr ? std::nullopt
                          : std::optional(std::string_view(block->bytes(), block->size));
}

bool Forms::should_make(std::size_t form) {
  std::uint8_t seen = kNew;
  if (states_[form].compare_exchange_strong(seen, kAsked, std::memory_order_relaxed)) return false;
  return seen == kAsked &&
         states_[form].compare_exchange_strong(seen, kOrdered, std::memory_order_relaxed);
}

void Forms::put(std::size_t form, std::string_view bytes) {
  auto* block = static_cast<Block*>(
      std::malloc(sizeof(Block) + bytes.size()));  // NOLINT: blocks of our own layout
  HR_ASSERT(block != nullptr);
  block->size = static_cast<std::uint32_t>(bytes.size());
  if (!bytes.empty()) std::memcpy(block->bytes(), bytes.data(), bytes.size());
  HR_ASSERT(blocks_[form].exchange(block, std::memory_order_release) == nullptr);
}

void Forms::release(Forms* forms) {
  if (forms->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete forms;
}

Forms::~Forms() {
  std::uint64_t freed = own_bytes();
  for (auto& place : blocks_) {
    Block* const block = place.load(std::memory_order_relaxed);
    if (block == nullptr) continue;
    freed += heap_bytes(sizeof(Block) + block->size);
    std::free(block);  // NOLINT
  }
  memory_.give(freed);
}

}  // namespace headroom::cache
