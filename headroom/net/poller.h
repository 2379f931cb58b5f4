// headroom/net/poller.h - which descriptors are ready: one epoll per worker, edge-triggered, each descriptor registered once.
//
// Owns: the epoll descriptor and the one that wakes it. Watches are linked by their address into the kernel's set while they live.
// Worker: the worker's, but for wake(), which any thread may call.
// Invariants: (1) a descriptor counts as ready until a call on it has said otherwise (drained()), so nothing is missed between an edge and a
//   wait; (2) a wait ends by readiness, from round(), or by cancel(), through the worker's queue; (3) a watch that ends in the midst of a
//   round gets no event of it.
// Limits: 128 events a round.
//
// Why not Asio's sockets: they keep a lock and an allocated operation for every wait, and a wait without a buffer costs a system call
// (bench/proxy; ARCHITECTURE.md).
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <boost/asio/async_result.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "headroom/base/clock.h"
#include "headroom/net/task.h"

namespace headroom::net {

class Worker;
class Poller;

enum class Direction : std::uint8_t { read, write };

// One descriptor, which stays its owner's. Detach or end the watch before the descriptor is closed.
class Watch {
 public:
  // After a failure (no kernel memory, or the limit on watches) attached() is false and every wait ends at once.
  Watch(Worker& worker, int fd);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { detach(); }

  [[nodiscard]] bool attached() const { return fd_ >= 0; }
  // For a descriptor that is about to be closed and has no duplicate: the kernel forgets it by itself.
  void forget();
  void detach();

  [[nodiscard]] bool ready(Direction direction) const {
    return direction == Direction::read ? readable_ : writable_;
  }
  // A call said that it would have to wait, or took all there was.
  void drained(Direction direction);
  // Taking less than asked for does not mean that all is taken: the peer has said that it sends no more, the connection has failed, or
  // urgent data came, before which a read stops (tcp(7)).
  [[nodiscard]] bool reads_may_stop_short() const { return reads_may_stop_short_; }

  // co_await: until ready() or cancel(). One wait for each direction.
  [[nodiscard]] auto wait(Direction direction) {
    return asio::async_initiate<const asio::deferred_t, void()>(
        [this, direction](auto handler) { keep(direction, std::move(handler)); }, asio::deferred);
  }
  // Ends the waits of both directions.
  void cancel();

  // Instead of waits, for who looks at several descriptors: called at once whenever a direction becomes ready, and by cancel(). It must not
  // end a watch. Null: nobody.
  void listen(void (*told)(void*), void* whom) {
    told_ = told;
    whom_ = whom;
  }

 private:
  friend class Poller;
  using Waiter = std::move_only_function<void()>;
  [[nodiscard]] Waiter& waiter(Direction direction) {
    return direction == Direction::read ? reader_ : writer_;
  }
  void keep(Direction direction, Waiter waiter);
  void resume_later(Waiter& waiter);
  void happened(std::uint32_t events);

  Worker& worker_;
  int fd_;
  bool reads_may_stop_short_ = false;
  bool writes_watched_ = false;
  bool readable_ = true;
  bool writable_ = true;
  void (*told_)(void*) = nullptr;
  void* whom_ = nullptr;
  Waiter reader_;
  Waiter writer_;
};

class Poller {
 public:
  Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  ~Poller();

  // Waits for events, at most so long.
  void wait(Duration most);
  // Tells the watches what the last wait() found; resumes those who wait for it.
  void round();
  // From any thread: ends the current wait(), or the next one.
  void wake();

 private:
  friend class Watch;
  static constexpr std::size_t kEvents = 128;

  [[nodiscard]] bool add(Watch& watch);
  [[nodiscard]] bool watch_writes(Watch& watch);
  void remove(Watch& watch);
  void skip(const Watch& watch);  // its events of this round

  int epoll_;
  int wake_;
  std::atomic<bool> woken_{false};
  std::array<epoll_event, kEvents> events_{};
  std::size_t next_ = 0;
  std::size_t count_ = 0;
};

}  // namespace headroom::net
