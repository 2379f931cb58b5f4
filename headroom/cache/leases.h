// headroom/cache/leases.h - get-or-compute for who computes outside of this process (a client of the HTTP API): a lease as an id with a deadline.
//
// Owns: the leases that are out, each under an id of 128 random bits. Borrows: the cache, the worker's group of loads.
// Worker: one; an id is good on the worker that gave it.
// Invariants: (1) of those who miss a key one gets an id, the others wait for it; (2) an id past its deadline is void and its lease goes to one who
//   waits; (3) what is filled under an id is what Lease::store makes of it: nothing overtaken by an invalidation is kept.
// Limits: kMost leases out at once on each worker, beyond which Errc::overloaded.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "headroom/cache/cache.h"

namespace headroom::cache {

class Leases {
 public:
  static constexpr std::size_t kMost = 10000;

  Leases(Cache& cache, net::TaskGroup& group) : cache_(cache), group_(group) {}
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

  struct Offer {
    std::optional<Value> value;  // fresh or stale, or known as absent; nothing: compute it
    Duration ttl_left{};         // of the value; negative: stale
    std::string
        lease;  // not empty: fill it under this id; empty without a value: it is known not to be cacheable
  };
  // Waits for another's fill until `deadline`, then answers the stale value where there is one, else Errc::timeout.
  [[nodiscard]] net::Task<Result<Offer>> get(net::TaskGroup& group, std::string key, ClassId cls,
                                             Duration lease_time, TimePoint deadline);
  // Ends the lease with a value. False: it is not kept (overtaken by an invalidation or a write, too large, not cacheable); who waited may have it all the
  // same. Errc::conflict: no such lease, or no more.
  [[nodiscard]] Result<bool> fill(std::string_view id, std::string_view key, const Storing& how,
                                  Loaded loaded);
  // Ends it without one: another may try.
  [[nodiscard]] Result<> give_up(std::string_view id, std::string_view key);
  // All that are out end as failed. Before the memory tier does.
  void end();

 private:
  struct Out {
    Lease lease;
    TimePoint began;
    std::multimap<TimePoint, std::string>::iterator due;
  };
  [[nodiscard]] Result<Offer> offer(Found found, Duration lease_time);
  [[nodiscard]] Result<std::string> give(Lease lease, Duration lease_time);
  [[nodiscard]] Result<Out> take(std::string_view id, std::string_view key);
  [[nodiscard]] net::Task<> expire();

  Cache& cache_;
  net::TaskGroup& group_;
  std::unordered_map<std::string, Out> out_;
  std::multimap<TimePoint, std::string> due_;  // by Clock
  net::Event* earlier_ = nullptr;              // of the task that expires them, while it waits
  bool expiring_ = false;
};

}  // namespace headroom::cache
