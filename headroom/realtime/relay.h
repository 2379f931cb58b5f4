// headroom/realtime/relay.h - while a take-over lasts, the new process orders for both, so that a client goes from one to the other with its
// position.
//
// The new process says that it leads, once it can; the old one tells it of every channel (its epoch and offset, and what it keeps), orders
// nothing from then on, forwards what is published to it, and delivers what comes back ordered (relay_line.h). The new one serves nobody
// before it has been told all.
//
// Owns: the socket, lines that wait, in the one that follows what it has forwarded and not got back. Borrows: the shards.
// Worker: the first; forward(), tell(), ordered() and the places from any.
// Invariants: (1) publications of one channel arrive in their order; (2) of a channel there is one order at any time: who followed and lost
//   the other begins a new epoch, ends its connections before it delivers anything more, and publishes again what did not come back; (3) a
//   relay that has ended is gone: take-overs that fail leave nothing; (4) a line that is none ends the relay; (5) who leads begins new epochs
//   too when a relay ends without the other's last line: what was told or forwarded may not have come whole.
// Limits: 64 MiB waiting (beyond what it was told), and 64 MiB forwarded and not back: more ends the relay; lines of 4 MiB; kMostTold of
//   messages told, beyond which of the other channels the offset alone is, so that who comes back there after missing something is told
//   so.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "headroom/net/stream.h"
#include "headroom/net/task_group.h"
#include "headroom/realtime/cells.h"
#include "headroom/realtime/nodes.h"
#include "headroom/realtime/relay_line.h"

namespace headroom::realtime {

class Shards;

class Relay final : public Nodes {
 public:
  static constexpr std::size_t kMostWaiting = 64U << 20U;
  static constexpr std::size_t kMostTold = 64U << 20U;
  enum class Role : std::uint8_t {
    asked,    // the old process, until the new one leads
    follows,  // the old one
    leads,    // the new one
  };

  // On its worker; takes over the socket. `told`, of who leads: called once, whether the other has told all its channels.
  Relay(Shards& shards, net::Worker& worker, Cells& cells, int fd, Role role,
        std::function<void(bool)> told = {});
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Of who leads, on its worker: says so. Homes tell it what they order by then.
  void lead();
  void ordered(const Message& message) override;
  // Of who follows: whether the other may be asked where a channel stands (one of an earlier version may not).
  [[nodiscard]] bool tells_places() const { return tells_places_; }
  // To be ordered.
  void forward(Publication what);
  // Of who follows: lines of a worker's channels, all there are.
  void tell(std::string lines);
  // Of who follows, from any worker: where a channel stands that it does not know. Of who leads: that, with what it keeps if there is room.
  void ask_place(const std::string& app, const std::string& channel);
  void tell_place(std::string whole, std::string without_messages, std::string end);
  // On its worker.
  void end() { stream_.abort(Errc::cancelled); }
  // The last line of who follows, its clients being gone, if it can be written at once.
  void say_bye();
  [[nodiscard]] net::TaskGroup& tasks() { return tasks_; }

 private:
  // On its worker. Where that throws this ends: what is left out would be missing in the other's order.
  template <class F>
  void post(F work) {
    worker_.post([this, work = std::move(work)]() mutable {
      try {
        work();
      } catch (const std::exception&) {
        end();
        throw;
      }
    });
  }
  void send(std::string line);
  [[nodiscard]] bool take_lines(std::string& waiting);
  [[nodiscard]] bool take(RelayLine line);
  [[nodiscard]] bool take_as_leader(RelayLine line);
  [[nodiscard]] bool take_as_follower(RelayLine line);
  void adopt(RelayLine line);
  void publish(Publication what);
  void got_back(std::uint64_t number);
  void over();
  [[nodiscard]] net::Task<> read();
  [[nodiscard]] net::Task<> write();

  Shards& shards_;
  net::Worker& worker_;
  Cells& cells_;
  Role role_;
  std::function<void(bool)> told_;
  std::string waiting_;
  std::size_t most_waiting_ = kMostWaiting;
  std::map<std::uint64_t, Publication> forwarded_;  // by number, until it is back
  std::size_t forwarded_bytes_ = 0;
  std::uint64_t numbers_ = 0;
  std::size_t still_telling_ = 0;  // workers
  bool writing_ = false;
  bool tells_places_ = false;  // before follow()
  bool bye_ = false;           // the other has said so
  std::atomic<bool> ended_{false};
  net::TaskGroup tasks_;
  net::Stream stream_;
  net::Event wake_;
};

}  // namespace headroom::realtime
