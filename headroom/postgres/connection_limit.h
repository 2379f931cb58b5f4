// headroom/postgres/connection_limit.h - how many server connections there may be of one kind (a pool's, a database's, a user's), counted over all
// processes that share a file: during a take-over the old one's connections count for the new one too.
//
// Owns: its places. A place is one byte of the file, locked by who holds it (fcntl OFD locks, "man 2 fcntl_locking"): the kernel gives it back when
// its process ends in whatever way. Nothing is ever written there.
// Threads: any; a mutex, and a system call for each place tried, when a connection is opened or closed; none when one is taken from or given to a pool.
// Invariants: (1) of all processes together never more than `limit` hold one; (2) take() never waits.
// Limits: kMost places. Without a file this process alone counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/error.h"

namespace headroom::postgres {

// The file, open for this process.
class SharedPlaces {
 public:
  // Errc::unavailable with the path.
  [[nodiscard]] static Result<std::shared_ptr<const SharedPlaces>> open(const std::string& path);
  explicit SharedPlaces(int fd) : fd_(fd) {}
  SharedPlaces(const SharedPlaces&) = delete;
  SharedPlaces& operator=(const SharedPlaces&) = delete;
  ~SharedPlaces();

  [[nodiscard]] bool lock(std::uint64_t place) const;
  void unlock(std::uint64_t place) const;

 private:
  const int fd_;
};

class ConnectionLimit {
 public:
  static constexpr std::size_t kMost = 65'536;

  // `name`: the same for all who share it.
  ConnectionLimit(std::string name, std::size_t limit, std::shared_ptr<const SharedPlaces> shared);
  ConnectionLimit(const ConnectionLimit&) = delete;
  ConnectionLimit& operator=(const ConnectionLimit&) = delete;
  ~ConnectionLimit();

  // False: all places are taken, here or elsewhere; it is then known that `who` waits for one.
  [[nodiscard]] bool take(const void* who);
  void give();
  // Somebody else of this process was turned away a moment ago: what lies idle is better closed.
  [[nodiscard]] bool is_wanted(const void* by_others_than, TimePoint now) const;
  [[nodiscard]] std::size_t taken() const;
  [[nodiscard]] std::size_t limit() const { return limit_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  const std::string name_;
  const std::size_t limit_;
  const std::shared_ptr<const SharedPlaces> shared_;
  const std::uint64_t first_;  // byte of the file
  mutable std::mutex mutex_;
  std::vector<bool> places_;
  std::vector<std::uint32_t> held_;
  std::atomic<std::int64_t> wanted_{0};
  std::atomic<const void*> wanted_by_{nullptr};
};

}  // namespace headroom::postgres
