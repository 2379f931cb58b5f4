// headroom/base/log.h - what the process tells its operator, on standard error.
//
// A line is "2026-11-21T10:38:57.123 warn edge: message"; the tag is the room. Lines are written by one thread of the
// log's own through a queue of 1024 lines; when it is full the oldest are dropped, so that a blocked terminal never blocks
// a worker. Secrets are never logged: a caller passes names, not values.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::log {

enum class Level : unsigned char { debug, info, warn, error };

// Starts the writing thread; before it (and after stop()) lines are written directly. Called by main, once.
void start(Level least);
void set_level(Level least);
// Writes what is queued and joins the thread.
void stop();

[[nodiscard]] bool enabled(Level level);
void write(Level level, std::string_view tag, std::string_view message);

// The newest lines that were written, the oldest first; at most kRecent are kept. From any thread but a worker's.
inline constexpr std::size_t kRecent = 500;
[[nodiscard]] std::vector<std::string> recent(std::size_t most = kRecent);

// What changed how the process works: settings, servers, who did what. Logged, and the newest kChanges are kept, however many lines
// come after them. `kind` is one word that says what it is about. Any thread; a short lock.
struct Change {
  std::chrono::sys_time<std::chrono::milliseconds> at;
  std::string kind;
  std::string text;
};
inline constexpr std::size_t kChanges = 50;
void change(Level level, std::string_view tag, std::string_view kind, std::string text);
// The newest first.
[[nodiscard]] std::vector<Change> changes();

// A line without time and level, for what scripts read ("headroom: edge listening on 0.0.0.0:8080"); never dropped.
void announce(std::string_view line);

template <class... Args>
void debug(std::string_view tag, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug))
    write(Level::debug, tag, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(std::string_view tag, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info))
    write(Level::info, tag, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(std::string_view tag, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::warn))
    write(Level::warn, tag, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(std::string_view tag, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::error))
    write(Level::error, tag, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace headroom::log
