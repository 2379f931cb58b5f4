// headroom/realtime/relay.h - while a take-over lasts: what is published in one process reaches the clients of the other.
//
// A stream socket between the two; each line a JSON object:
//   {"app", "channel", "event", "data", "user_id"?, "except"?, "critical"?: true, "text"?: true, "once"?}
//
// Owns: the socket, lines that wait. Borrows: the shards. Worker: the first; published() from any.
// Invariants: (1) publications of one channel arrive in their order; (2) the other's end, or a line that is none, ends the relay and nothing
//   else: each process goes on for its own clients; (3) a relay that has ended is gone: take-overs that fail leave nothing.
// Limits: 4 MiB waiting, beyond which lines are dropped and counted; lines of 4 MiB.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "headroom/net/stream.h"
#include "headroom/net/task_group.h"
#include "headroom/realtime/cells.h"
#include "headroom/realtime/nodes.h"

namespace headroom::realtime {

class Shards;

[[nodiscard]] std::string relay_line(const Publication& what);
// Errc::invalid.
[[nodiscard]] Result<Publication> read_relay_line(std::string_view line);

class Relay final : public Nodes {
 public:
  static constexpr std::size_t kMostWaiting = 4U << 20U;

  // On its worker; takes over the socket.
  Relay(Shards& shards, net::Worker& worker, Cells& cells, int fd);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  void published(const Publication& what) override;
  [[nodiscard]] net::TaskGroup& tasks() { return tasks_; }

 private:
  void send(std::string line);
  [[nodiscard]] bool take_lines(std::string& waiting);
  [[nodiscard]] net::Task<> read();
  [[nodiscard]] net::Task<> write();

  Shards& shards_;
  net::Worker& worker_;
  Cells& cells_;
  std::string waiting_;
  std::atomic<bool> ended_{false};
  net::TaskGroup tasks_;
  net::Stream stream_;
  net::Event wake_;
};

}  // namespace headroom::realtime
