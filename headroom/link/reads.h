// headroom/link/reads.h - what the queries of requests have read, as the cache's tags: by these a page is dropped when a table it read is written.
//
// Owns: tags, as texts. Threads: any; a short lock for each statement whose reads are noted (only where pages are tagged).
// Invariants: (1) what is noted before a page is stored is among the page's tags; (2) a read that no request claims counts for every request that was
//   at the app meanwhile; (3) a read of what is not known makes the page one that is not kept.
// Limits: kMostTags of a request, beyond which its reads count as not known; unclaimed ones: one number for each tag there is.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <unordered_map>

#include "headroom/base/clock.h"

namespace headroom::link {

struct ReadTags {
  std::set<std::string> tags{};
  bool known = true;
};

// Of one request.
class Reads {
 public:
  static constexpr std::size_t kMostTags = 200;
  void note(std::span<const std::string> tags, bool known);
  void add_to(ReadTags& all) const;

 private:
  mutable std::mutex mutex_;
  ReadTags noted_;
};

// Of nobody in particular.
class UnclaimedReads {
 public:
  void note(std::span<const std::string> tags, bool known);
  [[nodiscard]] std::uint64_t now() const { return last_.load(std::memory_order_acquire); }
  // What was noted after `since`, an earlier now().
  void add_to(ReadTags& all, std::uint64_t since) const;

 private:
  mutable std::mutex mutex_;
  std::atomic<std::uint64_t> last_{0};
  std::uint64_t unknown_ = 0;
  std::unordered_map<std::string, std::uint64_t> by_tag_;
};

// Whether everything that was written has dropped what read it: pages that read tables are served only while it is so.
class Currency {
 public:
  [[nodiscard]] virtual bool current(TimePoint now) = 0;

 protected:
  ~Currency() = default;
};

}  // namespace headroom::link
