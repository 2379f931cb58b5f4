// headroom/tasks/searches.h - looks for jobs in the store by their names, for all who ask together, a step at a time.
//
// Like a lift: the places of all jobs are gone through round and round while anybody looks for one; who comes rides along from where it is, and
// leaves once its job was seen, or when it has been all the way round.
//
// Owns: who looks. Borrows: the store. Worker and threads: the engine's thread.
// Invariants: (1) a job that lies at one place all the while is found; (2) everybody is answered, at the latest by end().
// Limits: kStep places a step; who looks is bounded by what the engine takes in.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include "headroom/tasks/store.h"

namespace headroom::tasks {

class Searches {
 public:
  static constexpr std::size_t kStep = 5000;

  using Done = std::move_only_function<void(Result<std::optional<Place>>)>;
  struct Sought {
    std::string jid;
    std::uint64_t up_to = std::numeric_limits<std::uint64_t>::max();  // no later number than this
    bool waiting = false;  // in a queue or for another try, neither scheduled nor dead
  };

  explicit Searches(Store& store) : store_(store) {}
  void add(Sought sought, Done done) {
    riders_.push_back({std::move(sought), std::move(done), at_, false});
  }
  [[nodiscard]] bool empty() const { return riders_.empty(); }
  // Between transactions.
  void step();
  void end(const Error& why);
  // The lowest number of a job that waits, as it was in the last round; 0: none does. Nothing: no round has ended since the last call.
  [[nodiscard]] std::optional<std::uint64_t> take_first_seq() {
    return std::exchange(round_first_seq_, std::nullopt);
  }

 private:
  struct Rider {
    Sought sought;
    Done done;
    Place from;
    bool turned = false;  // has come past the end
  };
  [[nodiscard]] static const Place* place_in(const Store::Search& search, const Sought& sought);

  Store& store_;
  std::list<Rider> riders_;
  Place at_ = kBeforeAll;
  std::uint64_t first_seq_ = 0;  // in this round
  std::optional<std::uint64_t> round_first_seq_;
};

}  // namespace headroom::tasks
