// headroom/net/interfaces.h - the small interfaces that main wires between rooms which may not include each other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "headroom/net/task.h"

namespace headroom::net {

// How a room or engine is. `reason` is for people: what is wrong and since when.
struct HealthReport {
  enum class State : unsigned char { ok, degraded, failed };
  std::string component;
  State state = State::ok;
  std::string reason;
};

// Asked from any thread; answers from what is known, without I/O.
class Health {
 public:
  virtual ~Health() = default;
  [[nodiscard]] virtual std::vector<HealthReport> health() const = 0;
  // Why requests should not be sent here yet, though nothing is wrong; "": they may.
  [[nodiscard]] virtual std::string not_ready() const { return {}; }
};

}  // namespace headroom::net
