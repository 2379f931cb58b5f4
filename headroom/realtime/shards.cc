#include "headroom/realtime/shards.h"

#include <future>
#include <numeric>
#include <random>

#include "headroom/base/log.h"

namespace headroom::realtime {
namespace {

// How long a take-over waits for the channels of the process before.
constexpr Duration kTelling = 5s;

}  // namespace

Shards::Shards(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
               const std::shared_ptr<const Settings>& settings)
    : workers_(workers), gate_(std::random_device{}()) {
  gate_.use(settings->options);
  shards_.resize(workers.size());
  workers_.each([&](net::Worker& worker) {
    shards_[worker.index()] =
        std::make_unique<Shard>(*this, worker, resolver, registry, workers_.size(), settings);
  });
  hooks_ = std::make_unique<Hooks>(*this, workers[0], resolver, registry);
  each([](Shard& shard) { shard.part.start(); });
}

Shards::~Shards() {
  workers_[0].run_and_wait([&] {
    for (const auto& relay : relays_) relay->say_bye();
  });
  each([](Shard& shard) {
    shard.turns.stop();
  });  // else each place that comes free goes to the next
  for (auto& shard : shards_) {
    shard->part.tasks().stop_and_join();
    shard->asker.tasks().stop_and_join();
  }
  hooks_->tasks().stop_and_join();
  for (auto& relay : relays_) relay->tasks().stop_and_join();
  for (int i = 0; i < 3; ++i)
    workers_.each(
        [](net::Worker&) {});  // what was posted from one to another, and the answers, have arrived
  workers_[0].run_and_wait([&] {
    hooks_.reset();
    relays_.clear();
  });
  for (auto& shard : shards_) {
    shard->part.worker().run_and_wait([&] { shard.reset(); });
  }
}

void Shards::each(const std::function<void(Shard&)>& work) {
  workers_.each([&](net::Worker& worker) { work(*shards_[worker.index()]); });
}

void Shards::failed(const std::exception& error) noexcept {
  failures_.fetch_add(1, std::memory_order_relaxed);
  try {
    log::error("realtime", "all connections end, for this ended by an exception: {}", error.what());
  } catch (const std::exception&) {  // nor is there memory to say so
  }
}

void Shards::upkeep() {
  const std::uint64_t failures = failures_.load(std::memory_order_relaxed);
  if (failures == failures_seen_ || shards_[0]->part.tasks().stopped()) return;
  begin_anew();  // throws: again in a second
  failures_seen_ = failures;
}

// Connections end when every home has its new epochs: who comes back finds no old one.
void Shards::begin_anew() {
  for (const auto& each : relays_) each->end();
  auto left = std::make_shared<std::size_t>(size());  // of the first worker
  for (const std::size_t worker : all()) {
    post(worker, [this, left](Shard& shard) {
      shard.homes.begin_anew();
      post(0, [this, left](Shard&) {
        if (--*left > 0) return;
        for (const std::size_t each : all()) post(each, [](Shard& one) { one.part.begin_anew(); });
      });
    });
  }
}

void Shards::relay(int fd) {
  workers_[0].run_and_wait([&] {
    relays_.push_back(
        std::make_unique<Relay>(*this, workers_[0], shards_[0]->cells, fd, Relay::Role::asked));
  });
}

void Shards::lead(int fd) {
  auto told = std::make_shared<std::promise<bool>>();
  Relay* made = nullptr;
  workers_[0].run_and_wait([&] {
    relays_.push_back(std::make_unique<Relay>(*this, workers_[0], shards_[0]->cells, fd,
                                              Relay::Role::leads,
                                              [told](bool all) { told->set_value(all); }));
    made = relays_.back().get();
    // Before whatever it brings, and before forget().
    for (const std::size_t worker : all())
      post(worker, [made](Shard& shard) { shard.nodes.push_back(made); });
    made->lead();
  });
  auto answer = told->get_future();
  if (answer.wait_for(kTelling) == std::future_status::ready && answer.get()) return;
  // What was told may not be whole, and nobody is served yet.
  each([](Shard& shard) { shard.homes.begin_epochs(); });
  log::warn("realtime", "the process before this one does not tell its channels");
  workers_[0].run_and_wait([&] {
    for (const auto& each : relays_) {
      if (each.get() == made) each->end();  // it may be gone by now
    }
  });
}

void Shards::relay_ended(bool bye) {
  for (const std::size_t worker : all()) {
    post(worker, [bye](Shard& shard) {
      if (!bye) shard.homes.begin_epochs();
      shard.homes.tell_who_stayed_away();
    });
  }
}

void Shards::follow(Relay& leader) {
  for (const auto& each : relays_) {
    if (each.get() != &leader) each->end();  // who follows this one goes over to the next as well
  }
  for (const std::size_t worker : all())
    post(worker, [leader = &leader](Shard& shard) { shard.homes.follow(*leader); });
}

void Shards::order_alone() {
  for (const std::size_t worker : all()) {
    post(worker, [](Shard& shard) {
      shard.part.end_all_now();
      shard.homes.order_alone();
    });
  }
}

void Shards::forget(Relay& relay) {
  auto left = std::make_shared<std::size_t>(size());  // of the first worker
  for (const std::size_t worker : all()) {
    post(worker, [this, gone = &relay, left](Shard& shard) {
      std::erase(shard.nodes, gone);
      post(0, [this, gone, left](Shard&) {
        if (--*left > 0) return;
        // Where the hub stops meanwhile, it ends with all the others.
        (void)hooks_->tasks().spawn([this, gone]() -> net::Task<> {
          co_await gone->tasks().join();
          std::erase_if(relays_, [gone](const auto& each) { return each.get() == gone; });
        });
      });
    });
  }
}

std::vector<std::size_t> Shards::all() const {
  std::vector<std::size_t> whom(shards_.size());
  std::iota(whom.begin(), whom.end(), 0U);
  return whom;
}

}  // namespace headroom::realtime
