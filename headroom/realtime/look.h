// headroom/realtime/look.h - what is published, to be looked at: the admin API's inspector (tap.h is its other end).
//
// Owns: its tap. Worker: the one of the group it was made with, which outlives it.
// Limits: kMostData bytes of a message's data; those of Tap.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "headroom/net/task_group.h"

namespace headroom::realtime {

class Shards;
class Tap;

struct Sight {
  std::string app;
  std::string channel;
  std::string event;
  std::string user_id;
  std::string data;  // its beginning
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  // 0: nobody listens to the channel and it keeps nothing
  bool critical = false;
};

class Look {
 public:
  static constexpr std::size_t kMostData = 2048;

  Look(Shards& shards, net::TaskGroup& group, std::string app, std::string pattern);
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;
  ~Look();
  // False: as many look already as may.
  [[nodiscard]] explicit operator bool() const { return tap_ != nullptr; }
  // Until there is something to see, or the deadline (Errc::timeout), or the group's stop (Errc::cancelled).
  [[nodiscard]] net::Task<Result<>> wait(TimePoint deadline);
  // At most so many, the oldest first.
  [[nodiscard]] std::vector<Sight> take(std::size_t most);
  // What came faster than it was taken, since it was asked last.
  [[nodiscard]] std::uint64_t skipped();

 private:
  Shards& shards_;
  net::Event wake_;
  std::shared_ptr<Tap> tap_;
};

}  // namespace headroom::realtime
