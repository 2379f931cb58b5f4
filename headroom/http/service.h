// headroom/http/service.h - what answers requests: the proxy, the admin API, the hub.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "headroom/net/stream.h"
#include "headroom/net/task.h"
#include "headroom/net/task_group.h"

namespace headroom::http {

class Exchange;

// What goes on with a connection that has left HTTP (Exchange::leave): an upgraded protocol, or an answer without end. It owns what it needs of
// the request, for neither the exchange nor its buffers are there any more; the stream is, and stays where it was.
class Onward {
 public:
  Onward() = default;
  Onward(const Onward&) = delete;
  Onward& operator=(const Onward&) = delete;
  virtual ~Onward() = default;

  // One of its server's open connections while it lives.
  class Open {
   public:
    Open() = default;
    explicit Open(std::size_t& all) : all_(&all) { ++all; }
    Open(Open&& other) noexcept : all_(std::exchange(other.all_, nullptr)) {}
    Open& operator=(Open&& other) noexcept {
      std::swap(all_, other.all_);
      return *this;
    }
    ~Open() {
      if (all_ != nullptr) --*all_;
    }

   private:
    std::size_t* all_ = nullptr;
  };

  // What lives and ends with it. The hold is the last to go: a group that has been joined has none of it.
  struct Rest {
    net::TaskGroup::Hold hold;
    Open open;
    std::move_only_function<void()> ended;
    std::unique_ptr<net::Stream> stream;
  };
  // Begins; from here on it is its own.
  static void go_on(std::unique_ptr<Onward> self, Rest rest);

 protected:
  virtual void begin() = 0;
  // The connection is over: ends this object, then its stream. Nobody may be about to use it.
  void finish();

 private:
  Rest rest_;
};

class Service {
 public:
  virtual ~Service() = default;

  // Answers one request. The exchange holds until the returned task ends. A service that leaves the answer unbegun gets a 500 written for it;
  // one that leaves it unfinished gets the connection closed.
  [[nodiscard]] virtual net::Task<> serve(Exchange& exchange) = 0;

  // Of a path that is hosted (Edge::host): whether this request is the service's; if not, it goes where it would without the service.
  [[nodiscard]] virtual bool takes(const Exchange& /*exchange*/) const { return true; }

  // A request that never became one (bad framing, too large, too slow): it is answered with `status` and the connection closes. For counting.
  virtual void refused(Exchange& /*exchange*/, unsigned /*status*/, std::string_view /*reason*/) {}
};

}  // namespace headroom::http
