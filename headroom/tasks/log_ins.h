// headroom/tasks/log_ins.h - the passwords of clients that log in, looked at one after the other on a thread of their own, addresses by turns.
//
// What a Faktory client sends for a password takes thousands of rounds to check. Whoever sends many waits in a line of its own.
//
// Owns: the thread, the lines. Worker and threads: run() is awaited on any worker and resumes there.
// Invariants: (1) the lines take turns: an address waits for one of each other's at most before each of its own; (2) who was let into a line is
//   looked at, or told at the end that nobody will. An IPv6 address counts by its /64, which one client commands.
// Limits: kMostOfAddress in a line, kMost in all, beyond which run() answers Errc::overloaded.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "headroom/base/address.h"
#include "headroom/net/offload.h"

namespace headroom::tasks {

class LogIns {
 public:
  static constexpr std::size_t kMostOfAddress = 2'000;
  static constexpr std::size_t kMost = 20'000;

  // What `work()` answers. Errc::cancelled: after end().
  [[nodiscard]] net::Task<Result<std::string>> run(net::Worker& worker, const IpAddress& address,
                                                   std::function<std::string()> work);

  // Who waits is looked at no more: whole lines of them must not hold up the end of the server.
  void end() { ended_ = true; }

 private:
  using Work = std::move_only_function<void()>;
  [[nodiscard]] bool line_up(std::uint64_t line, Work work);
  void run_next();

  std::atomic<bool> ended_{false};
  std::mutex mutex_;  // between workers and the thread
  std::unordered_map<std::uint64_t, std::deque<Work>> lines_;
  std::deque<std::uint64_t> turns_;  // those with somebody in them
  net::Offload thread_{"passwords", 1, kMost};
};

}  // namespace headroom::tasks
