// headroom/edge/request_id.h - the id under which a request is found in logs, errors and the app.
//
// Worker: one for each worker. Invariants: (1) an id holds only [A-Za-z0-9._-], 1 to 128 of them; (2) a fresh id is 128 random bits in
//   hexadecimal, of a generator that the kernel seeded: unique among nodes, cheap, no secret.
#pragma once

#include <string>
#include <string_view>

#include "headroom/base/hash.h"

namespace headroom::edge {

class RequestIds {
 public:
  // Half of each id comes from the worker's own generator.
  explicit RequestIds(Random& worker);

  // `received` (from a trusted proxy, or nothing) if it is sane, else a fresh id.
  [[nodiscard]] std::string take(std::string_view received);

 private:
  Random& worker_;
  Random own_;
};

}  // namespace headroom::edge
