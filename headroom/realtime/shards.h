// headroom/realtime/shards.h - the hub's parts on all workers, and how one speaks to another: by a post, never by a lock.
//
// A connection belongs to the worker that accepted it, a channel's order to the worker that its name hashes to. A message goes
//
//   publisher's worker --post, unless it is its own--> home: offset, history --post--> each worker that listens: its copy of the channel's log (references)
//                                                                 --> its subscribers' places, its connections' writes
//
// Owns: one Shard for each worker. Worker: post(), ask() and the counts from any; the shards each on its own.
// Invariants: (1) what one worker posts to another arrives in the order of posting; (2) the bytes of a message exist once for each wire,
//   however many workers and subscribers it has; (3) where work between them ends by an exception, nobody goes on as if it had been done:
//   all begins anew (failed()).
// Limits: those of its parts; max_connections over all of them.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "headroom/base/hash.h"
#include "headroom/net/task_group.h"
#include "headroom/realtime/asker.h"
#include "headroom/realtime/gate.h"
#include "headroom/realtime/homes.h"
#include "headroom/realtime/hooks.h"
#include "headroom/realtime/part.h"
#include "headroom/realtime/relay.h"
#include "headroom/realtime/turns.h"
#include "headroom/realtime/watches.h"

namespace headroom::realtime {

struct Shard {
  Shard(Shards& shards, net::Worker& worker, net::Resolver& resolver, metrics::Registry& registry,
        std::size_t workers, std::shared_ptr<const Settings> settings)
      : cells(registry, worker.index()),
        part(shards, worker, cells, std::move(settings)),
        homes(shards, worker, cells),
        asker(shards, worker, resolver, registry),
        turns(std::max<std::size_t>(1, Asker::kMostAsked / workers)) {}

  Cells cells;
  Part part;
  Homes homes;
  Asker asker;
  Turns turns;
  Watches watches;
  std::vector<Nodes*> nodes;  // the same on every worker
};

class Shards {
 public:
  // From main's thread, workers running.
  Shards(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
         const std::shared_ptr<const Settings>& settings);
  Shards(const Shards&) = delete;
  Shards& operator=(const Shards&) = delete;
  // The same; after all connections have ended.
  ~Shards();

  [[nodiscard]] std::size_t size() const { return shards_.size(); }
  [[nodiscard]] std::size_t home_of(std::string_view key) const {
    return hash64(key) % shards_.size();
  }
  [[nodiscard]] Part& part(const net::Worker& worker) { return shards_[worker.index()]->part; }
  [[nodiscard]] Part& part_at(std::size_t worker) { return shards_[worker]->part; }
  [[nodiscard]] Homes& homes(const net::Worker& worker) { return shards_[worker.index()]->homes; }

  [[nodiscard]] Asker& asker(const net::Worker& worker) { return shards_[worker.index()]->asker; }
  [[nodiscard]] Turns& turns(const net::Worker& worker) { return shards_[worker.index()]->turns; }
  [[nodiscard]] Hooks& hooks() { return *hooks_; }
  void tell_nodes(const net::Worker& worker, const Message& message) {
    for (Nodes* const node : shards_[worker.index()]->nodes) node->ordered(message);
  }
  // Whether others are told.
  [[nodiscard]] bool has_nodes(const net::Worker& worker) const {
    return !shards_[worker.index()]->nodes.empty();
  }
  // From main's thread, in the old process of a take-over: follows the one at the other end of this socket once that leads.
  void relay(int fd);
  // The same in the new one, before it serves anybody: leads. Returns when it has been told all, or the other is gone or too slow: then each
  // orders for itself.
  void lead(int fd);
  // On the first worker.
  void follow(Relay& leader);
  void order_alone();
  // The process before this one is gone; whether it said so.
  void relay_ended(bool bye);
  // On the first worker: it has ended. Nobody tells it anything any more, then it goes.
  void forget(Relay& relay);
  [[nodiscard]] std::size_t relays() const { return relays_.size(); }  // on the first worker

  template <class F>
  void post(std::size_t worker, F work) {
    workers_[worker].post([this, shard = shards_[worker].get(), work = std::move(work)]() mutable {
      guarded(*shard, work);
    });
  }
  // The same on this worker and now: not behind what was posted to it.
  template <class F>
  void run(const net::Worker& worker, F work) {
    guarded(*shards_[worker.index()], work);
  }
  template <class F>
  void post_home(std::string_view key, F work) {
    post(home_of(key), std::move(work));
  }
  // Some work could not be done (memory), so a place in an order or an answer is lost: within a second channels begin new epochs, and every
  // connection is told to come back, whose position holds no longer. Any worker.
  void failed(const std::exception& error) noexcept;
  // On the first worker, every second.
  void upkeep();
  // From main's thread: on every worker, and waits.
  void each(const std::function<void(Shard&)>& work);

  // Asks some shards; suspends until all have answered. Errc::cancelled when the group stops, timeout where one could not answer.
  template <class T>
  [[nodiscard]] net::Task<Result<std::vector<T>>> ask(net::TaskGroup& group,
                                                      std::vector<std::size_t> whom,
                                                      std::function<T(Shard&)> question);
  [[nodiscard]] std::vector<std::size_t> all() const;

  // How many look at what is published.
  [[nodiscard]] std::atomic<std::uint64_t>& taps() { return taps_; }
  // Who is let in, over all workers.
  [[nodiscard]] Gate& gate() { return gate_; }

 private:
  template <class T>
  struct Asking {
    std::vector<std::optional<T>> answers;
    std::size_t left = 0;
    net::Event* done = nullptr;  // null: nobody waits any more
  };

  static constexpr Duration kPatience = 10s;
  template <class F>
  void guarded(Shard& shard, F& work) noexcept {
    try {
      work(shard);
    } catch (const std::exception& error) {
      failed(error);
    }
  }
  void begin_anew();

  net::Workers& workers_;
  std::vector<std::unique_ptr<Shard>> shards_;
  Gate gate_;
  std::atomic<std::uint64_t> taps_{0};
  std::atomic<std::uint64_t> failures_{0};
  std::uint64_t failures_seen_ = 0;             // by upkeep()
  std::unique_ptr<Hooks> hooks_;                // of the first worker
  std::vector<std::unique_ptr<Relay>> relays_;  // the same; one for each take-over begun
};

template <class T>
net::Task<Result<std::vector<T>>> Shards::ask(net::TaskGroup& group, std::vector<std::size_t> whom,
                                              std::function<T(Shard&)> question) {
  net::Event done(group);
  auto state = std::make_shared<Asking<T>>();  // of the asking worker: answers are posted to it
  state->answers.resize(whom.size());
  state->left = whom.size();
  state->done = &done;
  net::Worker& asker = group.worker();
  for (std::size_t i = 0; i < whom.size(); ++i) {
    post(whom[i], [state, i, question, &asker](Shard& shard) {
      asker.post([state, i, answer = question(shard)]() mutable {
        state->answers[i] = std::move(answer);
        if (--state->left == 0 && state->done != nullptr) state->done->set();
      });
    });
  }
  const TimePoint deadline = Clock::now() + kPatience;
  auto waited = co_await done.wait(deadline);
  state->done = nullptr;
  if (!waited) co_return pass(waited);
  std::vector<T> answers;
  for (auto& answer : state->answers) answers.push_back(std::move(*answer));
  co_return answers;
}

}  // namespace headroom::realtime
