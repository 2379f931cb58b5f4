// headroom/edge/checker.h - finds out where servers are (DNS, by TTL) and how they are (active health checks).
//
// Owns: its tasks. Borrows: the resolver, one worker. Worker: that one.
// Invariants: (1) a server's address is looked up again when its TTL ends, and kept when the look-up fails; (2) probes are spread by jitter.
// Limits: one look-up and one probe per server at a time, each with a deadline; 64 KiB of a probe's answer are not read.
#pragma once

#include <future>
#include <memory>

#include "headroom/edge/view.h"
#include "headroom/net/resolver.h"

namespace headroom::edge {

class Checker {
 public:
  Checker(net::Worker& worker, net::Resolver& resolver) : resolver_(resolver), group_(worker) {}

  // Looks after the servers of `view` until stop_and_join(). Once.
  void watch(const std::shared_ptr<const View>& view);
  // From another thread, once: until each name has been looked up, with or without success, or so long. Who serves before knowing where
  // the application is would answer 503 for no reason. False: the time was over.
  bool wait_for_names(Duration most) {
    return looked_up_.get_future().wait_for(most) == std::future_status::ready;
  }
  // From another thread.
  void stop_and_join() { group_.stop_and_join(); }

 private:
  [[nodiscard]] net::Task<> follow_name(std::shared_ptr<Server> server);
  [[nodiscard]] net::Task<> probe_forever(std::shared_ptr<Pool> pool,
                                          std::shared_ptr<Server> server);
  [[nodiscard]] net::Task<Result<>> probe(const Pool& pool, const Server& server);

  void note_answered();

  net::Resolver& resolver_;
  net::TaskGroup group_;
  std::size_t unanswered_ = 0;  // names without an address that have not been looked up yet
  std::promise<void> looked_up_;
};

// Servers named by address or path need no look-up: known at once. From any thread.
void place_literals(const View& view);

// "200-399,418" holds the status. Errc::invalid for malformed text.
[[nodiscard]] Result<bool> status_in(std::string_view ranges, unsigned status);

}  // namespace headroom::edge
