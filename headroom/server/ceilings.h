// headroom/server/ceilings.h - each limited resource against its limit: what gives out first.
//
// Owns: nothing; values. Worker and threads: any but a worker's, as the sources say. Limits: kMostCeilings, the fullest.
#pragma once

#include <string>
#include <vector>

#include "headroom/server/sources.h"

namespace headroom::server {

struct Ceiling {
  static constexpr std::size_t kMostCeilings = 50;
  std::string
      kind;  // "processors", "memory", "disk", "descriptors", "connections", "requests", "pool"
  std::string resource;  // which one, where there are several
  double used = 0;
  double limit = 0;
  std::string advice;  // what to do before it gives out
  [[nodiscard]] double ratio() const { return limit > 0 ? used / limit : 0; }
  [[nodiscard]] std::string name() const { return resource.empty() ? kind : kind + " " + resource; }
};

// The fullest first.
[[nodiscard]] std::vector<Ceiling> ceilings_of(const Sources& sources,
                                               const edge::Summary& summary);
// The same as `headroom_monitor_ceiling_ratio`.
[[nodiscard]] monitor::SampleFamily samples_of(const std::vector<Ceiling>& all);

// What no room's registry has: health, this process, the machine, ceilings, alerts.
[[nodiscard]] std::vector<monitor::SampleFamily> own_samples(const Sources& sources);

}  // namespace headroom::server
