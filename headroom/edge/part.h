// headroom/edge/part.h - one worker's part of the edge: its HTTP servers, its proxy, and what serves both.
//
// Owns: the worker's task group, connections, idle upstream connections and waiting requests. Borrows what Shared names, which outlives it.
// Worker: made, used and ended on its worker (group.stop_and_join() is called from main's thread before).
#pragma once

#include <memory>
#include <optional>

#include "headroom/edge/access_log.h"
#include "headroom/edge/answer_coder.h"
#include "headroom/edge/batch.h"
#include "headroom/edge/encodings.h"
#include "headroom/edge/inner_client.h"
#include "headroom/edge/options.h"
#include "headroom/edge/proxy.h"
#include "headroom/edge/refresher.h"
#include "headroom/edge/warmer.h"
#include "headroom/http/server.h"
#include "headroom/net/tls.h"
#include "headroom/net/wheel.h"

namespace headroom::edge {

// Closes what idles for too long, every second.
class Trimmer final : net::WheelEntry {
 public:
  Trimmer(net::Wheel& wheel, Proxy& proxy) : WheelEntry(wheel), proxy_(proxy) {
    set(Clock::now() + kEvery);
  }

 private:
  static constexpr Duration kEvery = 1s;
  void expired() override {
    set(Clock::now() + kEvery);  // first: trimming may throw
    proxy_.trim();
  }
  Proxy& proxy_;
};

struct Part {
  // What all parts use.
  struct Shared {
    const Hosting& hosting;
    AccessLog& log;
    cache::Cache* cache;   // null: none
    Encodings* encodings;  // null: no cache
    WarmBoard& warm_board;
    metrics::Registry& registry;
  };
  Part(net::Worker& worker, const Shared& shared, const EdgeOptions& options,
       std::shared_ptr<const net::TlsServer> tls_server);
  void begin(const std::shared_ptr<const View>& view);

  net::TaskGroup group;  // connections, upstream connections and what serves them
  InnerDoor inner;
  Batch batch;
  Refresher refresher;
  AnswerCoder coder;
  Warmer warmer;  // worker 0's is used
  Proxy proxy;
  std::optional<Trimmer> trimmer;
  std::shared_ptr<const net::TlsServer> tls;
  http::Server plain;
  http::Server secure;
};

}  // namespace headroom::edge
