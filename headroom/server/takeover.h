// headroom/server/takeover.h - one server hands its doors to the next: listening sockets over state_dir/control.sock.
//
// A SOCK_SEQPACKET socket; each packet is one JSON object, descriptors ride along (SCM_RIGHTS):
//
//   new -> old  {"take_over": 1}
//   old -> new  {"lock": true} + 1 descriptor, then for each door, 64 sockets a packet,
//               {"door": "edge", "address": "0.0.0.0:8080"} + its sockets, then for each secret
//               {"secret": "edge.tls.tickets", "value": "<hex>"}, at last {"end": true}
//   new -> old  {"ready": true}      it accepts; from now on both do
//   old -> new  {"yielded": true}    the old one no longer accepts; it ends what it has begun and exits 0
//
// Owns: TakeoverDoor the socket's file, its listening socket and the one conversation; Takeover its connection.
// Worker and threads: main's; receiving and sending may block up to kPatience.
// Invariants: (1) only a process of the same user is answered (SO_PEERCRED); (2) until "yielded" the old one goes on if the new
//   one fails, but for the moment in which it closes what the new one opens next (its job store, its trends); (3) the sockets' queues live as long as either process holds them, so no connection in them is lost; (4) a
//   leftover of a crash is replaced: who holds the directory's lock owns the name.
// Limits: one conversation at a time, 64 KiB a packet, kPatience for each step but the last: once it is ready, the new one waits for the old one's
//   word as long as that lives.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/edge/edge.h"
#include "headroom/server/state_dir.h"

namespace headroom::server {

struct Secret {
  std::string name;
  std::string value;
};

struct Handover {
  std::vector<edge::Door> doors;
  std::vector<Secret> secrets;
  int lock = -1;  // the state directory's descriptor
};

inline constexpr Duration kPatience = 10s;

// The running server's side.
class TakeoverDoor {
 public:
  // Errc::unavailable and others when the socket cannot be made: the server can do without.
  [[nodiscard]] static Result<TakeoverDoor> open(const StateDir& directory);
  TakeoverDoor(TakeoverDoor&& other) noexcept;
  TakeoverDoor& operator=(TakeoverDoor&&) = delete;
  ~TakeoverDoor();

  // Descriptors to wait for reading on: who knocks, and the one being talked to (-1: nobody).
  [[nodiscard]] int knocking() const { return listening_; }
  [[nodiscard]] int talking() const { return peer_; }

  // When knocking() is readable: answers with everything the new server needs.
  [[nodiscard]] Result<> hand_over(const Handover& what);
  // When talking() is readable: true when the new server is ready, an error when it has gone (this one goes on).
  [[nodiscard]] Result<bool> heard();
  // After "ready": whether the new server has gone (and is talked to no more). Asks, does not wait.
  [[nodiscard]] bool has_gone();
  // The new server accepts alone from now on. Gives the socket's name to it too. An error: it has gone.
  [[nodiscard]] Result<> yield();

 private:
  TakeoverDoor(std::string path, int listening) : path_(std::move(path)), listening_(listening) {}
  void hang_up();

  std::string path_;
  int listening_;
  int peer_ = -1;
};

// The new server's side.
class Takeover {
 public:
  // Nothing when no server runs on this directory.
  [[nodiscard]] static Result<std::optional<Takeover>> begin(const StateDir& directory,
                                                             Duration patience = kPatience);
  Takeover(Takeover&& other) noexcept;
  Takeover& operator=(Takeover&&) = delete;
  ~Takeover();

  [[nodiscard]] Result<Handover> receive();
  // Tells the old server; comes back when it has stopped accepting, or has died: all that is its is here by now. When `wake` is readable
  // meanwhile it asks `gives_up`, and where that says so ends with Errc::cancelled.
  [[nodiscard]] Result<> ready(int wake, const std::function<bool()>& gives_up);

 private:
  explicit Takeover(int fd) : fd_(fd) {}
  [[nodiscard]] Result<> wait_until_yielded(int wake, const std::function<bool()>& gives_up);
  [[nodiscard]] bool other_has_ended() const;

  int fd_;
  int process_ = -1;  // the old server's, as pidfd_open(2) gives it
};

}  // namespace headroom::server
