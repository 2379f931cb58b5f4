#include "headroom/realtime/shards.h"

#include <numeric>

namespace headroom::realtime {

Shards::Shards(net::Workers& workers, metrics::Registry& registry,
               const std::shared_ptr<const Settings>& settings)
    : workers_(workers) {
  shards_.resize(workers.size());
  workers_.each([&](net::Worker& worker) {
    shards_[worker.index()] = std::make_unique<Shard>(*this, worker, registry, settings);
  });
  each([](Shard& shard) { shard.part.start(); });
}

Shards::~Shards() {
  for (auto& shard : shards_) shard->part.tasks().stop_and_join();
  for (int i = 0; i < 3; ++i)
    workers_.each(
        [](net::Worker&) {});  // what was posted from one to another, and the answers, have arrived
  for (auto& shard : shards_) {
    shard->part.worker().run_and_wait([&] { shard.reset(); });
  }
}

void Shards::each(const std::function<void(Shard&)>& work) {
  workers_.each([&](net::Worker& worker) { work(*shards_[worker.index()]); });
}

std::vector<std::size_t> Shards::all() const {
  std::vector<std::size_t> whom(shards_.size());
  std::iota(whom.begin(), whom.end(), 0U);
  return whom;
}

}  // namespace headroom::realtime
