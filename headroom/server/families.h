// headroom/server/families.h - the metrics of all rooms, and what settings say of them.
//
// Owns: nothing. Worker and threads: any.
#pragma once

#include <span>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/base/metrics.h"
#include "headroom/config/config.h"

namespace headroom::server {

struct RoomFamilies {
  std::string_view room;
  std::span<const metrics::Family* const> families;
};
// By the name of the room.
[[nodiscard]] std::span<const RoomFamilies> families_of_rooms();
// Null: there is none of that name.
[[nodiscard]] const metrics::Family* find_family(std::string_view name);

// Alert rules and objectives name metrics that exist, with labels they have and a figure that they can give: else they would never fire.
[[nodiscard]] Result<> check_watched_metrics(const config::Settings& settings);

}  // namespace headroom::server
