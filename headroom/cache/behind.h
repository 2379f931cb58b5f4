// headroom/cache/behind.h - what a tier behind the memory is told: of values that a key gets and loses, so that its copies are never older.
//
// The memory tier tells (under a shard's lock, or after it); a tier reads by a lease, as any loader does (Cache::lookup).
// Worker: any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "headroom/cache/object.h"

namespace headroom::cache {

class Behind {
 public:
  virtual ~Behind() = default;

  // The key has the value `by` now, or none (null): what was copied before is void. Answers the right to copy it, or 0: it is not to be copied.
  // Under the shard's lock: short, no I/O.
  [[nodiscard]] virtual std::uint64_t replaced(std::uint64_t hash, Space space,
                                               std::string_view key, const Object* by) = 0;
  // Copies by such a right, unless the key is replaced meanwhile; the value is valid as of `seq`. Outside of locks.
  virtual void copy(std::uint64_t right, std::uint64_t hash, const ObjectRef& object,
                    std::span<const std::string> tags, std::uint64_t seq) = 0;
  [[nodiscard]] virtual bool holds(std::uint64_t hash, Space space, std::string_view key,
                                   TimePoint now) = 0;
  // Drops what is dead of all it holds: the invalidations up to now are about to be forgotten. Not on a worker.
  virtual void revalidate(TimePoint now) = 0;
};

}  // namespace headroom::cache
