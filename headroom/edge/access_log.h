// headroom/edge/access_log.h - one JSON line a request on standard output, for a share of the requests.
//
// Owns: the lines not yet written, a buffer a worker, and the thread that writes them, which starts with the first line.
// Worker: write() from any worker, for itself. Its buffer has a mutex, held for one append; only the writing thread contends for it, a few
//   times a second.
// Invariants: (1) write() never waits for the reader of standard output: what does not fit is dropped and counted; (2) a line is whole; (3)
//   the same request id is sampled, or not, by every node and at every share above its own.
// Limits: 1 MiB of lines waiting per worker; at the end what is left is written within a second or dropped.
//
//   {"time":"2026-11-21T10:38:57.123Z","id":"...","client":"192.0.2.1","method":"GET","host":"example.org","target":"/a?b=c","status":200,
//    "bytes_in":0,"bytes_out":1024,"route":"/","upstream":"127.0.0.1:3000","queue_ms":0.01,"connect_ms":0.0,"first_byte_ms":3.2,"total_ms":3.3}
//   The target is logged as it came, with its query. A phase that was not reached is null, "route" and "upstream" too.
#pragma once

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"

namespace headroom::edge {

struct AccessLine {
  std::chrono::system_clock::time_point time;  // when the head was complete
  std::string_view id;
  std::string_view client;
  std::string_view method;
  std::string_view host;
  std::string_view target;
  unsigned status = 0;  // 0: ended without an answer
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::string_view route;
  std::string_view upstream;
  std::optional<Duration> queue;
  std::optional<Duration> connect;
  std::optional<Duration> first_byte;
  Duration total{};
};

// Appends the line with its end.
void append_access_line(std::string& out, const AccessLine& line);

// Whether a request is logged; `threshold` is the share of requests, of 2^32.
[[nodiscard]] bool is_sampled(std::string_view id, std::uint64_t threshold);

class AccessLog {
 public:
  static constexpr Bytes kMaxWaiting = Bytes::mib(1);

  explicit AccessLog(int fd = STDOUT_FILENO, Bytes max_waiting = kMaxWaiting);
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;
  ~AccessLog();

  void write(std::size_t worker, const AccessLine& line);
  // Lines that did not fit, or were left at the end. From any thread.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  struct Slot {
    std::mutex mutex;
    std::string waiting;
  };

  void run();
  void write_out(std::string_view lines);
  [[nodiscard]] bool wait_for_reader();
  void drop(std::string_view lines);

  const int fd_;
  const std::size_t max_waiting_;
  const std::size_t piece_;  // what one write() of the reader's kind takes without waiting
  std::vector<std::unique_ptr<Slot>> slots_;
  std::atomic<std::uint64_t> dropped_ = 0;
  std::once_flag started_;
  std::mutex mutex_;  // guards ending_, which only the writing thread and the destructor touch
  std::condition_variable ended_;
  bool ending_ = false;
  TimePoint last_moment_ = kNever;
  std::thread thread_;
};

}  // namespace headroom::edge
