// headroom/link/positions.h - how far the database's log had come with what a session wrote: its later reads must have seen that much.
//
// Owns: the latest positions of each session id. Threads: any; kShards short locks, the named exception to "no mutex" (a write's begin and end,
//   a read by a session that has a name).
// Invariants: (1) a position of a session never goes back within a timeline; (2) from begin() to end() of a write, and for kKept after one
//   whose outcome nobody knows (or until a later one is known), the session is `pending`: only the primary will do; (3) a session that wrote nothing for kKept is forgotten.
// Limits: kMostSessions for all shards, beyond which the oldest are forgotten (`forgotten()` counts them); kMostSystems a session; ids of
//   kLongestId.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/base/clock.h"

namespace headroom::link {

// A place in the log of one database system.
struct Position {
  std::uint64_t system = 0;
  std::uint32_t timeline = 0;
  std::uint64_t lsn = 0;
  [[nodiscard]] explicit operator bool() const { return system != 0; }
  bool operator==(const Position&) const = default;
};
// Of two places in one system's log the later one, into `needs`; none is before all.
void take_later(Position& needs, const Position& other);
// "system/timeline/lsn", decimal.
[[nodiscard]] std::string to_string(const Position& position);
[[nodiscard]] std::optional<Position> parse_position(std::string_view text);

class Positions {
 public:
  static constexpr Duration kKept = std::chrono::seconds(60);
  static constexpr std::size_t kMostSessions = 200'000;
  static constexpr std::size_t kMostSystems = 4;
  static constexpr std::size_t kLongestId = 64;
  static constexpr std::size_t kShards = 16;

  // A write of this session may be committed from now on.
  void begin(std::string_view session, TimePoint now);
  // It has been, and lies before `position`; nothing: it is not known whether, or where.
  void end(std::string_view session, const std::optional<Position>& position, TimePoint now);
  // What a browser brought back (an earlier answer of ours, perhaps of another node).
  void bring(std::string_view session, const Position& position, TimePoint now);

  struct Needs {
    bool pending = false;  // the primary
    Position position{};   // of that system; none: anything will do
  };
  [[nodiscard]] Needs needs(std::string_view session, std::uint64_t system, TimePoint now) const;
  // For a cookie: the latest of every system, and whether a write may lie behind them.
  struct Written {
    bool pending = false;
    std::vector<Position> positions{};
    bool operator==(const Written&) const = default;
  };
  [[nodiscard]] Written written(std::string_view session, TimePoint now) const;
  [[nodiscard]] std::uint64_t forgotten() const { return forgotten_.load(); }

 private:
  struct Session {
    std::vector<Position> positions{};
    unsigned writing = 0;
    TimePoint unknown_until{};
    TimePoint touched{};
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, Session, Hash, std::equal_to<>> sessions;
    std::deque<std::pair<TimePoint, std::string>>
        order;  // when a session was made or last looked at here
  };
  [[nodiscard]] Shard& shard(std::string_view session) const;
  [[nodiscard]] static Session& touch(Shard& shard, std::string_view session, TimePoint now);
  void clean(Shard& shard, TimePoint now);
  static void advance(Session& session, const Position& position);

  mutable std::array<Shard, kShards> shards_;
  std::atomic<std::uint64_t> forgotten_{0};
};

}  // namespace headroom::link
