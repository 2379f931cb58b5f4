// headroom/net/resolver.h - names to addresses, off the workers, with the time the answer holds.
//
// Owns: two threads that wait for DNS (c-ares: /etc/hosts, then the system's name servers). Worker: resolve() is awaited on a worker.
// Invariants: (1) no worker ever waits in a look-up; (2) an answer's ttl is the smallest of its records, between 1 s and an hour; names
//   from /etc/hosts, and answers with a ttl of 0, hold for 5 s.
// Limits: 1000 look-ups waiting; 64 addresses an answer; 5 s (`patience`) and two tries a look-up.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "headroom/net/endpoint.h"
#include "headroom/net/offload.h"

namespace headroom::net {

struct Resolution {
  std::vector<Endpoint> endpoints;  // sorted, without doubles
  Duration ttl{};
};

class Resolver {
 public:
  // `servers`: "127.0.0.1:5353,..." instead of the system's name servers (tests).
  explicit Resolver(std::string servers = {}, Duration patience = 5s);
  ~Resolver();

  // IP literals are answered at once. Errc::not_found (no such name), unavailable or timeout (no answer).
  [[nodiscard]] Task<Result<Resolution>> resolve(Worker& worker, std::string host,
                                                 std::uint16_t port);

 private:
  const std::string servers_;
  const Duration patience_;
  Offload threads_;
};

}  // namespace headroom::net
