// bench/cache/lru.h - the peer everybody writes: a list and a map under a mutex, bounded by bytes.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace headroom::bench {

class MutexLru {
 public:
  explicit MutexLru(std::uint64_t limit, std::uint64_t overhead)
      : limit_(limit), overhead_(overhead) {}

  bool get(const std::string& key, std::string& value) {
    const std::scoped_lock lock(mutex_);
    const auto at = index_.find(key);
    if (at == index_.end()) return false;
    entries_.splice(entries_.begin(), entries_, at->second);
    value = at->second->second;
    return true;
  }
  // The hit ratio's version: sizes only.
  bool touch(const std::string& key) {
    const auto at = index_.find(key);
    if (at == index_.end()) return false;
    entries_.splice(entries_.begin(), entries_, at->second);
    return true;
  }
  void set(const std::string& key, std::string value) { put(key, std::move(value), 0); }
  void set_size(const std::string& key, std::uint64_t size) { put(key, {}, size); }

 private:
  void put(const std::string& key, std::string value, std::uint64_t extra) {
    const std::scoped_lock lock(mutex_);
    if (const auto at = index_.find(key); at != index_.end()) {
      at->second->second = std::move(value);
      entries_.splice(entries_.begin(), entries_, at->second);
      return;
    }
    bytes_ += cost(key, value, extra);
    entries_.emplace_front(key, std::move(value));
    sizes_[key] = extra;
    index_[key] = entries_.begin();
    while (bytes_ > limit_) {
      auto& last = entries_.back();
      bytes_ -= cost(last.first, last.second, sizes_[last.first]);
      sizes_.erase(last.first);
      index_.erase(last.first);
      entries_.pop_back();
    }
  }
  std::uint64_t cost(const std::string& key, const std::string& value, std::uint64_t extra) const {
    return key.size() + value.size() + extra + overhead_;
  }

  const std::uint64_t limit_;
  const std::uint64_t overhead_;
  std::mutex mutex_;
  std::uint64_t bytes_ = 0;
  std::list<std::pair<std::string, std::string>> entries_;
  std::unordered_map<std::string, std::list<std::pair<std::string, std::string>>::iterator> index_;
  std::unordered_map<std::string, std::uint64_t> sizes_;
};

}  // namespace headroom::bench
