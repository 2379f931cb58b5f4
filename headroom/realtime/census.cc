#include "headroom/realtime/census.h"

namespace headroom::realtime {
namespace {

using Facts = std::map<std::string, ChannelFacts>;

Facts facts_of(const Shard& shard, const std::string& app,
               const std::function<bool(std::string_view)>& wanted) {
  Facts facts;
  for (const auto& [key, channel] : shard.part.channels()) {
    if (channel->app() == app && wanted(channel->name()))
      facts[channel->name()].subscriptions += channel->subscribers();
  }
  for (const auto& [key, home] : shard.homes.all()) {
    if (home->app != app || home->listeners.empty() || !wanted(home->name)) continue;
    ChannelFacts& one = facts[home->name];
    one.users = home->roster.users();
    one.last = home->last;
  }
  return facts;
}

}  // namespace

net::Task<Result<Facts>> census(Shards& shards, net::TaskGroup& group, std::string app,
                                std::function<bool(std::string_view)> wanted) {
  std::function<Facts(Shard&)> question = [app = std::move(app),
                                           wanted = std::move(wanted)](Shard& shard) {
    return facts_of(shard, app, wanted);
  };
  std::vector<std::size_t> whom = shards.all();
  auto answers = co_await shards.ask<Facts>(group, std::move(whom), std::move(question));
  if (!answers) co_return pass(answers);
  Facts all;
  for (Facts& each : *answers) {
    for (auto& [name, one] : each) {
      ChannelFacts& known = all[name];
      known.subscriptions += one.subscriptions;
      if (!one.users.empty()) known.users = std::move(one.users);
      if (one.last) known.last = std::move(one.last);
    }
  }
  std::erase_if(all, [](const auto& each) { return each.second.subscriptions == 0; });
  co_return all;
}

}  // namespace headroom::realtime
