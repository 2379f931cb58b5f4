// headroom/cache/watcher.h - who is told of what is invalidated: a cache in front of this one.
//
// Owns: nothing. Worker: called from any thread, when the invalidation is in force here. It must neither block nor call the cache.
#pragma once

#include <string_view>

#include "headroom/cache/object.h"

namespace headroom::cache {

struct Invalidation {
  enum class What : std::uint8_t { key, tag, prefix, pattern };
  What what{};
  Space space{};  // of keys, prefixes and patterns; a tag is one of all spaces
  std::string_view name;
  bool was_there = true;  // of a key: whether there was an entry
};

class InvalidationWatcher {
 public:
  virtual void invalidated(const Invalidation& what) = 0;

 protected:
  ~InvalidationWatcher() = default;
};

}  // namespace headroom::cache
