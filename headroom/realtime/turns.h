// headroom/realtime/turns.h - whose question to the app is next: few of one address are under way, its others wait, and the addresses have
// their turns.
//
// Owns: the lines of the addresses that hash to its worker. Worker: one.
// Invariants: (1) of one address at most `most_of_address` are under way; (2) a place that comes free goes to the address that has waited
//   longest for a turn, and within it to the first that came; (3) each that take() was given is told once, unless stop() comes first.
// Limits: as many under way as it was made with; kMostWaiting who wait, half of them of one address; each for its patience.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <unordered_map>
#include <vector>

#include "headroom/base/clock.h"

namespace headroom::realtime {

class Turns {
 public:
  static constexpr std::size_t kMostWaiting = 20000;
  // Whether it has its place, and must give it back by end(); false: too many wait, or it has waited too long.
  using Tell = std::move_only_function<void(bool)>;

  explicit Turns(std::size_t most) : most_(most) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // `most_of_address` holds from now on for the address; 0: any number.
  void take(std::uint64_t address, std::uint64_t most_of_address, TimePoint now, Duration patience,
            Tell tell);
  void end(std::uint64_t address, TimePoint now);
  void upkeep(TimePoint now);
  // Nobody is told anything any more.
  void stop();

 private:
  struct Waiting {
    TimePoint deadline;
    Tell tell;
  };
  struct Line {
    std::uint64_t most = 0;
    std::uint64_t under_way = 0;
    bool in_turn = false;
    std::deque<Waiting> waiting;
  };
  void put_in_turn(std::uint64_t address, Line& line);
  void give_places(TimePoint now);
  void drop_late(Line& line, TimePoint now, std::vector<Tell>& late);

  const std::size_t most_;
  bool stopped_ = false;
  std::size_t under_way_ = 0;
  std::size_t waiting_ = 0;
  std::unordered_map<std::uint64_t, Line> lines_;
  std::deque<std::uint64_t> turns_;  // addresses with somebody who may have the next place
};

}  // namespace headroom::realtime
