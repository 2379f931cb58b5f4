#include "headroom/edge/tunnel.h"

#include "headroom/base/assert.h"

namespace headroom::edge {
namespace {

struct Traffic {
  TunnelEnd a;
  TunnelEnd b;
  Duration idle;

  // Any byte keeps both sides alive.
  void moved() {
    const TimePoint due = Clock::now() + idle;
    a.stream.expire_at(due);
    b.stream.expire_at(due);
  }
  void end() {
    a.stream.abort(Errc::cancelled);
    b.stream.abort(Errc::cancelled);
  }
};

net::Task<> carry(Traffic& traffic, TunnelEnd from, TunnelEnd to) {
  for (;;) {
    if (!from.input.empty()) {
      auto written = co_await to.stream.write(from.input.data());
      if (!written) break;
      from.input.clear();
      traffic.moved();
    }
    from.input.release();
    if (auto readable = co_await from.stream.wait_readable(); !readable) break;
    const std::span<char> room = from.input.space();
    auto bytes = co_await from.stream.read_some(room);
    if (!bytes) break;
    if (*bytes == 0) {
      to.stream.finish_writing();
      co_return;  // the other direction may go on
    }
    from.input.commit(*bytes);
  }
  traffic.end();
}

}  // namespace

net::Task<> tunnel(net::TaskGroup& group, TunnelEnd a, TunnelEnd b, Duration idle) {
  Traffic traffic{a, b, idle};
  traffic.moved();
  net::TaskGroup back(group.worker(), 1);  // never stopped: the streams belong to the edge's group
  HR_ASSERT(back.spawn([&traffic]() { return carry(traffic, traffic.b, traffic.a); }));
  co_await carry(traffic, traffic.a, traffic.b);
  co_await back.join();
}

}  // namespace headroom::edge
