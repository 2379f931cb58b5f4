#include "headroom/edge/access_log.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <ctime>

#include "headroom/base/hash.h"
#include "headroom/base/metrics.h"
#include "headroom/json/writer.h"

namespace headroom::edge {
namespace {

constexpr Duration kPause = 50ms;  // lines wait at most this long while the reader keeps up
constexpr Duration kLastWrites = 1s;
constexpr std::size_t kLargePiece = 64U << 10U;

// `value` in decimal, with zeros in front to `width` digits.
void append_digits(std::string& out, std::uint64_t value, std::size_t width = 1) {
  const fmt::format_int digits(value);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out.append(digits.data(), digits.size());
}

// The text of the last second is kept by each thread: it is that of most lines.
void append_time(std::string& out, std::chrono::system_clock::time_point time) {
  thread_local std::time_t kept_second = -1;
  thread_local std::array<char, 20> kept{};
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t whole = std::chrono::system_clock::to_time_t(second);
  if (whole != kept_second) {
    std::tm parts{};
    gmtime_r(&whole, &parts);
    std::strftime(kept.data(), kept.size(), "%FT%T", &parts);
    kept_second = whole;
  }
  out.append(kept.data(), kept.size() - 1);
  out += '.';
  append_digits(out,
                static_cast<std::uint64_t>(
                    std::chrono::floor<std::chrono::milliseconds>(time - second).count()),
                3);
  out += 'Z';
}

void append_text(std::string& out, std::string_view name, std::string_view value) {
  out.append(",\"").append(name).append("\":");
  json::append_string(out, value);
}

void append_name(std::string& out, std::string_view name, std::string_view value) {
  if (!value.empty()) return append_text(out, name, value);
  out.append(",\"").append(name).append("\":null");
}

void append_phase(std::string& out, std::string_view name, std::optional<Duration> time) {
  out.append(",\"").append(name).append("\":");
  if (!time) {
    out += "null";
    return;
  }
  const auto micros = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(*time).count());
  append_digits(out, micros / 1000);
  out += '.';
  append_digits(out, micros % 1000, 3);
}

void append_number(std::string& out, std::string_view name, std::uint64_t value) {
  out.append(",\"").append(name).append("\":");
  append_digits(out, value);
}

// After poll() says that a pipe or a terminal takes something, PIPE_BUF bytes surely do not make write() wait; files never do.
std::size_t piece_of(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? kLargePiece : PIPE_BUF;
}

}  // namespace

void append_access_line(std::string& out, const AccessLine& line) {
  out += "{\"time\":\"";
  append_time(out, line.time);
  out += '"';
  append_text(out, "id", line.id);
  append_text(out, "client", line.client);
  append_text(out, "method", line.method);
  append_text(out, "host", line.host);
  append_text(out, "target", line.target);
  append_number(out, "status", line.status);
  append_number(out, "bytes_in", line.bytes_in);
  append_number(out, "bytes_out", line.bytes_out);
  append_name(out, "route", line.route);
  append_name(out, "upstream", line.upstream);
  append_phase(out, "queue_ms", line.queue);
  append_phase(out, "connect_ms", line.connect);
  append_phase(out, "first_byte_ms", line.first_byte);
  append_phase(out, "total_ms", line.total);
  out += "}\n";
}

bool is_sampled(std::string_view id, std::uint64_t threshold) {
  if (threshold == 0) return false;
  return (hash64(id) >> 32U) < threshold;
}

AccessLog::AccessLog(int fd, Bytes max_waiting)
    : fd_(fd), max_waiting_(static_cast<std::size_t>(max_waiting.count)), piece_(piece_of(fd)) {
  for (std::size_t i = 0; i < metrics::kMaxWorkers; ++i) slots_.push_back(std::make_unique<Slot>());
}

AccessLog::~AccessLog() {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void AccessLog::write(std::size_t worker, const AccessLine& line) {
  std::call_once(started_, [this] { thread_ = std::thread([this] { run(); }); });
  Slot& slot = *slots_[worker];
  const std::scoped_lock lock(slot.mutex);
  const std::size_t before = slot.waiting.size();
  append_access_line(slot.waiting, line);
  if (slot.waiting.size() > max_waiting_) {
    slot.waiting.resize(before);
    dropped_.fetch_add(1, std::memory_order_relaxed);
  }
}

void AccessLog::run() {
  pthread_setname_np(pthread_self(), "access-log");
  std::string lines;
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex_);
      last = ended_.wait_for(lock, kPause, [this] { return ending_; });
    }
    if (last) last_moment_ = std::min(last_moment_, Clock::now() + kLastWrites);
    for (const auto& slot : slots_) {
      lines.clear();
      {
        const std::scoped_lock lock(slot->mutex);
        lines.swap(slot->waiting);
      }
      write_out(lines);
    }
  }
}

// Writes whole lines in pieces that do not block, as the reader takes them; drops what is left when the end comes.
void AccessLog::write_out(std::string_view lines) {
  while (!lines.empty()) {
    std::size_t size = lines.size();
    if (size > piece_) {
      const auto end = lines.substr(0, piece_).rfind('\n');
      size = end == std::string_view::npos ? piece_ : end + 1;
    }
    if (!wait_for_reader()) return drop(lines);
    const ssize_t n = ::write(fd_, lines.data(), size);
    if (n < 0 && errno != EINTR && errno != EAGAIN) return drop(lines);
    if (n > 0) lines.remove_prefix(static_cast<std::size_t>(n));
  }
}

// False when the end has come, or nobody reads any more.
bool AccessLog::wait_for_reader() {
  for (;;) {
    pollfd wait{fd_, POLLOUT, 0};
    const int ready = ::poll(&wait, 1, 100);
    if (ready > 0) return (wait.revents & POLLOUT) != 0;
    if (ready < 0 && errno != EINTR) return false;
    const std::scoped_lock lock(mutex_);
    if (!ending_) continue;
    if (last_moment_ == kNever) last_moment_ = Clock::now() + kLastWrites;
    if (Clock::now() >= last_moment_) return false;
  }
}

void AccessLog::drop(std::string_view lines) {
  dropped_.fetch_add(static_cast<std::uint64_t>(std::ranges::count(lines, '\n')),
                     std::memory_order_relaxed);
}

}  // namespace headroom::edge
