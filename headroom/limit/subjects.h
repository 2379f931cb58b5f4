// headroom/limit/subjects.h - what each subject of one rule has used: a table of fixed capacity that never forgets what still counts.
//
// Owns: the slots: a subject's name for listings, its counts and its budget's state. Worker: called from any worker; a key belongs to one of
//   up to 64 shards, each under its own short lock (measured in bench/limit), because a subject's requests come to all workers.
// Invariants: (1) a slot is given to another subject only when its own history has expired, the longest unused first; (2) where there is
//   none, new subjects share slots, a sixteenth of the capacity, by their key: they may be refused early, never late, and those who
//   are known are not touched; (3) who leaves a shared slot for one of its own, because there is room again, takes the whole shared
//   history along (concurrency: shares until nothing is open there); so sharing ends a window after there is room; (4) a slot never
//   moves while the table lives; (5) secrets never come here: keys are keyed hashes.
// Limits: capacity; bytes_at_most(). Shards fill unevenly, so sharing begins at about 95 % of the capacity.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/limit/budget.h"

namespace headroom::limit {

class Subjects {
 public:
  // Its budget's state lies behind it.
  struct Slot {
    std::uint64_t key = 0;
    std::uint32_t index = 0;
    std::uint32_t allowed =
        0;  // since the slot is this subject's; they stop at their largest value
    std::uint32_t refused = 0;
    std::uint8_t tier = 0;
    bool shared = false;
    std::uint8_t label_size = 0;
    std::array<char, 41>
        label{};  // an address or a user's name, cut; empty: only the key may be shown

    [[nodiscard]] std::string_view name() const { return {label.data(), label_size}; }
    [[nodiscard]] std::byte* state() { return reinterpret_cast<std::byte*>(this + 1); }
  };
  static_assert(sizeof(Slot) % alignof(std::uint64_t) == 0);

  struct Subject {
    std::uint64_t key = 0;
    std::string_view label{};
    std::uint8_t tier = 0;
  };

  // All calls hold its mutex.
  class Shard {
   public:
    std::mutex mutex;

    // Where the subject is counted: its slot, or the one it shares; nullptr: it is new and nothing of it is known.
    [[nodiscard]] Slot* find(const Subject& subject, TimePoint now);
    enum class Room : std::uint8_t { free, evicted };
    // Where it is to be counted from now on, after find() gave `found`, under the same lock.
    Slot& settle(Slot* found, const Subject& subject, TimePoint now, Room& room);
    // The slot was used just now / nothing of it is used any more.
    void used(Slot& slot);
    void unused(Slot& slot);

   private:
    friend class Subjects;
    struct Place {
      std::uint32_t slot = kNone;
      std::uint32_t low = 0;  // bits of the key: the place it would like
    };
    static constexpr std::uint32_t kNone = 0xffffffffU;
    // The order of use, by index; beside the slots, so that moving one touches no other's memory.
    struct Link {
      std::uint32_t older = kNone;
      std::uint32_t newer = kNone;
    };

    void prepare(const Subjects& owner, std::uint32_t capacity);
    [[nodiscard]] std::uint32_t lookup(std::uint64_t key);
    [[nodiscard]] bool has_room(TimePoint now) {
      return size_ < capacity_ || idle_slot(now) != kNone;
    }
    Slot& make(const Subject& subject, TimePoint now, Room& room);
    [[nodiscard]] std::uint32_t idle_slot(TimePoint now);
    [[nodiscard]] Slot& shared_slot(const Subject& subject);
    [[nodiscard]] Slot& at(std::uint32_t slot);
    Slot& begin(std::uint32_t slot, const Subject& subject);
    void enter(std::uint64_t key, std::uint32_t slot);
    void remove(std::uint64_t key);
    void unlink(std::uint32_t slot);
    void link_newest(std::uint32_t slot);
    void link_oldest(std::uint32_t slot);

    const Subjects* owner_ = nullptr;
    std::uint32_t capacity_ = 0;
    std::uint32_t shared_ = 0;
    std::uint32_t size_ = 0;
    bool crowded_ = false;  // there are shared slots
    std::uint32_t oldest_ = kNone;
    std::uint32_t newest_ = kNone;
    std::vector<Place> places_;  // open addressing, at most half full
    std::vector<Link> links_;
    std::vector<std::unique_ptr<std::byte[]>> chunks_;
  };

  // `budgets` by tier.
  Subjects(std::vector<Budget> budgets, std::size_t capacity);
  Subjects(const Subjects&) = delete;
  Subjects& operator=(const Subjects&) = delete;

  [[nodiscard]] Shard& shard(std::uint64_t key) {
    return shards_[(key >> 48U) & (shard_count_ - 1)];
  }
  [[nodiscard]] const Budget& budget(std::uint8_t tier) const { return budgets_[tier]; }

  // Subjects that have a slot; from any thread.
  [[nodiscard]] std::size_t size() const { return size_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t bytes_at_most() const;
  // Every slot in turn, shared ones too, each shard under its lock for as long as that takes.
  void visit(const std::function<void(Slot&)>& look);

 private:
  const std::vector<Budget> budgets_;
  const std::size_t capacity_;
  const std::size_t slot_bytes_;
  const std::size_t shard_count_;
  std::unique_ptr<Shard[]> shards_;
  mutable std::atomic<std::size_t> size_{0};
};

}  // namespace headroom::limit
