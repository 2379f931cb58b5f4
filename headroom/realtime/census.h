// headroom/realtime/census.h - which channels there are and who is in them, over all workers.
//
// Owns: nothing. Worker: census() on the asker's; it asks every shard.
// Limits: the channels of one app.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/realtime/shards.h"

namespace headroom::realtime {

struct ChannelFacts {
  std::uint64_t subscriptions = 0;
  std::vector<std::string> users;  // of a presence channel
  MessagePtr last;                 // of a cache channel
};

// The occupied channels of an app that `wanted` by name. Errc::cancelled.
[[nodiscard]] net::Task<Result<std::map<std::string, ChannelFacts>>> census(
    Shards& shards, net::TaskGroup& group, std::string app,
    std::function<bool(std::string_view)> wanted);

}  // namespace headroom::realtime
