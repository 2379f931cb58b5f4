// headroom/realtime/gate.h - who is let in: connections in all, from an address, of a user.
//
// Owns: the counts. Worker: any, at a connection's begin and end only (limit::Connections has the locks).
// Invariants: (1) who was let in is counted until its ticket ends, also over a reload; (2) users are counted by a hash that nobody outside
//   can aim at.
// Limits: max_connections, max_connections_per_address, max_connections_per_user; 0 of the latter two: any number.
#pragma once

#include <string>

#include "headroom/base/hash.h"
#include "headroom/limit/connections.h"
#include "headroom/realtime/options.h"

namespace headroom::realtime {

class Gate {
 public:
  using Ticket = limit::Connections::Ticket;

  explicit Gate(std::uint64_t seed) : seed_(seed) {}

  void use(const RealtimeOptions& options) {
    connections_.set_limits(options.max_connections, options.max_connections_per_address);
    users_.set_limits(0, options.max_connections_per_user);
  }
  // Each an empty ticket: over a limit.
  [[nodiscard]] Ticket enter(const IpAddress& from) { return connections_.admit(from); }
  [[nodiscard]] Ticket enter_user(const std::string& app, const std::string& user) {
    return users_.admit(hash64(app + '\n' + user, seed_));
  }
  [[nodiscard]] std::uint64_t open() const { return connections_.open(); }

 private:
  const std::uint64_t seed_;
  limit::Connections connections_;
  limit::Connections users_;
};

}  // namespace headroom::realtime
