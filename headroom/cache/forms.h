// headroom/cache/forms.h - other forms of a value, made from it after it was stored (content codings): beside it, counted with it, gone with it.
//
// Owns: up to kMost blocks of bytes. Counted: an object has one count, and so has the one that renews it, for the value is the same.
// Worker: read from any without a lock; a form is put once, under the shard's lock (MemoryTier::add_form).
// Invariants: (1) a form that is there never changes or goes before the last object that has it; (2) at most one caller at a time is told to
//   make a form. Limits: kMost forms; each below 4 GiB.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "headroom/cache/memory.h"

namespace headroom::cache {

class Forms {
 public:
  static constexpr std::size_t kMost = 3;

  // own_bytes() must have been reserved.
  explicit Forms(Memory& memory) : memory_(memory) {}
  Forms(const Forms&) = delete;
  Forms& operator=(const Forms&) = delete;
  [[nodiscard]] static std::size_t own_bytes() { return heap_bytes(sizeof(Forms)); }

  // Nothing: it is not there.
  [[nodiscard]] std::optional<std::string_view> get(std::size_t form) const;
  // True for the second who asks for a form that is not there, and then for nobody until forget(): he has it made.
  [[nodiscard]] bool should_make(std::size_t form);
  // It was not made for now: another may try.
  void forget(std::size_t form) { states_[form].store(kAsked, std::memory_order_relaxed); }
  // It is of no use, and never will be.
  void rule_out(std::size_t form) { states_[form].store(kUseless, std::memory_order_relaxed); }
  [[nodiscard]] bool is_useless(std::size_t form) const {
    return states_[form].load(std::memory_order_relaxed) == kUseless;
  }

  // Under the shard's lock. bytes_for() must have been reserved; the form must not be there.
  [[nodiscard]] static std::size_t bytes_for(std::string_view form) {
    return heap_bytes(sizeof(Block) + form.size());
  }
  void put(std::size_t form, std::string_view bytes);

  void share() { refs_.fetch_add(1, std::memory_order_relaxed); }
  static void release(Forms* forms);

  std::uint64_t weight = own_bytes();  // as counted by the index; under the shard's lock

 private:
  enum : std::uint8_t { kNew, kAsked, kOrdered, kUseless };
  struct Block {
    std::uint32_t size;
    [[nodiscard]] char* bytes() { return reinterpret_cast<char*>(this + 1); }
  };
  ~Forms();

  Memory& memory_;
  std::atomic<std::uint32_t> refs_{1};
  std::array<std::atomic<std::uint8_t>, kMost> states_{};
  std::array<std::atomic<Block*>, kMost> blocks_{};
};

}  // namespace headroom::cache
