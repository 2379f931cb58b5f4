// headroom/cache/invalidations.h - which loads and entries an invalidation has overtaken: one sequence of numbers for tags, prefixes,
// patterns and keys.
//
// A load notes now() before it begins; an invalidation marks what it means with the next number and then publishes that number. An entry
// is valid when nothing it is made of has a mark above its own number; then it is as good as loaded now, and takes the newer number.
// Worker: any. Invalidations take a lock one after the other, each O(1) in the number of entries; reading now() is one load.
// Invariants: (1) who reads a number sees every mark up to it; (2) what is forgotten (old bans, rows of tags) counts as matching.
// Limits: 256 prefixes and patterns are remembered; an older one counts for its whole space.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/cache/journal.h"
#include "headroom/cache/object.h"
#include "headroom/cache/tags.h"

namespace headroom::cache {

enum class Verdict : std::uint8_t { valid, soft, hard };

// `*` stands for any bytes, `?` for one, `\` takes the next one as it is. Iterative; at worst |pattern| x |text| steps.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view text);

class Invalidations {
 public:
  static constexpr std::size_t kMostBans = 256;

  Invalidations(Memory& memory, std::uint64_t seed) : tags_(memory, seed) {}

  [[nodiscard]] std::uint64_t now() const { return seq_.load(std::memory_order_acquire); }
  [[nodiscard]] TagTable& tags() { return tags_; }
  // Where marks are also noted for the next process. Before the first invalidation.
  void use(Journal& journal) { journal_ = &journal; }
  // Runs `work` while there is no invalidation under way.
  template <class F>
  auto between(F work) {
    const std::scoped_lock lock(mutex_);
    return work();
  }

  void tag(std::string_view name, Hardness hardness);
  void prefix(Space space, std::string_view text, Hardness hardness) {
    ban({0, false, hardness, std::string(text)}, space);
  }
  void pattern(Space space, std::string_view text, Hardness hardness) {
    ban({0, true, hardness, std::string(text)}, space);
  }
  // `hash` as the shard computes it. Before the key's entry is taken out.
  void key(std::uint64_t hash);

  // What has happened since `seq` to an entry with this key and these tags (whose rows are held).
  [[nodiscard]] Verdict check(Space space, std::string_view key, std::span<const TagId> tags,
                              std::uint64_t seq) const;
  // Whether the key was erased or set since.
  [[nodiscard]] bool key_since(std::uint64_t hash, std::uint64_t seq) const {
    return keys_[hash % keys_.size()].load(std::memory_order_relaxed) > seq;
  }
  // Every entry has been checked against what was there at `seq`: bans up to it are needed no more.
  void swept(std::uint64_t seq);
  [[nodiscard]] std::size_t bans() const;

 private:
  struct Ban {
    std::uint64_t seq;
    bool pattern;
    Hardness hardness;
    std::string text;
    [[nodiscard]] bool hits(std::string_view key) const {
      return pattern ? matches(text, key) : key.starts_with(text);
    }
  };
  using Bans = std::vector<Ban>;  // by seq
  void ban(Ban ban, Space space);

  alignas(128) std::atomic<std::uint64_t> seq_{1};
  alignas(128) std::array<std::atomic<std::uint64_t>, kSpaces> last_ban_{};
  std::array<std::atomic<std::uint64_t>, kSpaces> floor_{};  // what is older counts as banned
  mutable std::mutex mutex_;  // one invalidation at a time; also guards bans_
  std::array<std::shared_ptr<const Bans>, kSpaces> bans_{
      std::make_shared<Bans>(), std::make_shared<Bans>(), std::make_shared<Bans>()};
  mutable std::mutex bans_mutex_;  // only for copying a pointer
  TagTable tags_;
  Journal* journal_ = nullptr;
  std::array<std::atomic<std::uint64_t>, 4096> keys_{};
};

}  // namespace headroom::cache
