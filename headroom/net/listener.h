// headroom/net/listener.h - a door: the listening sockets of one address, one a worker, and the loop that accepts.
//
// Owns: its sockets (SO_REUSEPORT for TCP; one socket shared by all workers for a Unix path). Worker: made by main; accept() on each worker.
// Invariants: (1) a socket handed over to or from another process keeps its queue, so no connection in it is lost; (2) when descriptors run
//   out, accepting pauses for 100 ms and goes on by itself.
// Limits: backlog of 4096 (the kernel caps it at net.core.somaxconn).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/net/endpoint.h"
#include "headroom/net/task_group.h"

namespace headroom::net {

class Listener {
 public:
  // Listens at `at`; port 0 chooses a free one, shared by all workers. `inherited`: listening sockets of that address from another process;
  // they are used first; those of another address are closed. Errc::unavailable (address in use, no such path), unauthorized (a port below 1024).
  [[nodiscard]] static Result<Listener> open(const Endpoint& at, std::size_t workers,
                                             std::vector<int> inherited = {});
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] std::span<const int> sockets() const { return sockets_; }

  struct Accepted {
    int fd;  // non-blocking; belongs to the receiver
    Endpoint peer;
  };
  // Hands every connection to `take` until the group stops. A task of the group's worker; once on every worker.
  [[nodiscard]] Task<> accept(TaskGroup& group, std::function<void(Accepted)> take);

  // A socket that outlives this process keeps its Unix path.
  void keep_path() { owns_path_ = false; }
  void close();

 private:
  Listener() = default;
  [[nodiscard]] Task<> accept_from(TaskGroup& group, int listening,
                                   std::function<void(Accepted)> take);

  Endpoint endpoint_;
  std::vector<int> sockets_;
  std::size_t workers_ = 1;
  bool owns_path_ = false;
};

}  // namespace headroom::net
