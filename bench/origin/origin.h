// bench/origin/origin.h - the application behind a measured proxy: fixed answers over HTTP/1.1
// keep-alive, as cheap as can be.
//
// GET /<n>[k|m|g] answers n bytes (k = 1024), so /1k, /10k, /100k; POST to any path discards the
// body first. /received answers the number of body bytes that this request had. ?delay_ms=D waits,
// ?status=503 answers so, ?max_age=60 lets caches keep it. Anything else is 404. Owns: its sockets and its epoll. Borrows: nothing.
// Worker: run() blocks one thread; stop() may be called from any.
// Invariants: (1) answers leave in the order of their requests; (2) a request costs one recv and
// one sendmsg. Limits: loopback only; heads of 64 KiB; 256 different targets are remembered. It
// trusts its clients' framing: it is not for strangers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "headroom/base/error.h"

namespace headroom::bench {

class Origin {
 public:
  // Port 0: any free one.
  static Result<std::unique_ptr<Origin>> listen(std::uint16_t port);
  virtual ~Origin() = default;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  virtual void run() = 0;
  virtual void stop() = 0;
};

}  // namespace headroom::bench
