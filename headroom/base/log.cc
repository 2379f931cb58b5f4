#include "headroom/base/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

namespace headroom::log {
namespace {

constexpr std::size_t kQueueLines = 1024;  // each takes 350 bytes from the start

// The process has one standard error, so it has one log.
std::atomic<Level> least_level{Level::info};
std::shared_ptr<spdlog::details::thread_pool> pool;
std::shared_ptr<spdlog::logger> logger;
std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> ring;
constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%e %l %v";

std::mutex changes_mutex;
std::deque<Change> newest_changes;

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::shared_ptr<spdlog::sinks::sink> make_sink() {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  sink->set_pattern(kPattern);
  return sink;
}

}  // namespace

void start(Level least) {
  set_level(least);
  pool = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
  ring = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(kRecent);
  ring->set_pattern(kPattern);
  auto made =
      std::make_shared<spdlog::async_logger>("headroom", spdlog::sinks_init_list{make_sink(), ring},
                                             pool, spdlog::async_overflow_policy::overrun_oldest);
  made->set_level(spdlog::level::debug);
  made->flush_on(spdlog::level::warn);
  logger = std::move(made);
}

std::vector<std::string> recent(std::size_t most) {
  return ring ? ring->last_formatted(most) : std::vector<std::string>{};
}

void change(Level level, std::string_view tag, std::string_view kind, std::string text) {
  if (enabled(level)) write(level, tag, text);
  const auto now = std::chrono::system_clock::now();
  const std::scoped_lock lock(changes_mutex);
  newest_changes.push_front({std::chrono::time_point_cast<std::chrono::milliseconds>(now),
                             std::string(kind), std::move(text)});
  if (newest_changes.size() > kChanges) newest_changes.pop_back();
}

std::vector<Change> changes() {
  const std::scoped_lock lock(changes_mutex);
  return {newest_changes.begin(), newest_changes.end()};
}

void set_level(Level least) { least_level.store(least, std::memory_order_relaxed); }

void stop() {
  pool.reset();  // its thread has written all and ended before what it writes with ends
  logger.reset();
}

bool enabled(Level level) { return level >= least_level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view tag, std::string_view message) {
  if (logger) {
    logger->log(spdlog_level(level), "{}: {}", tag, message);
  } else {
    fmt::print(stderr, "{} {}: {}\n", spdlog::level::to_string_view(spdlog_level(level)), tag,
               message);
  }
}

void announce(std::string_view line) {
  std::string text(line);
  text += '\n';
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data() + written, text.size() - written);
    if (n <= 0) return;
    written += static_cast<std::size_t>(n);
  }
}

}  // namespace headroom::log
