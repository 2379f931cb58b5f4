// headroom/server/state_dir.h - the directory where this server's state lives, and the lock that gives it one server.
//
// Owns: a descriptor of the directory; with lock(), the lock on it. Worker and threads: main's.
// Invariants: (1) made with mode 0700, the files in it 0600; one that others may write in is refused; (2) one server at a time: flock() on the directory itself, so that nothing need be
//   written and a crash leaves nothing behind; (3) the lock belongs to the open file, not to the process: who is handed the descriptor
//   (take-over) holds the lock too, without a moment in between.
// Limits: local file systems.
#pragma once

#include <filesystem>
#include <string>

#include "headroom/base/error.h"

namespace headroom::server {

class StateDir {
 public:
  // Makes it if need be. Errc::unauthorized, unavailable, overloaded (disk full) with the path.
  [[nodiscard]] static Result<StateDir> open(const std::filesystem::path& path);
  StateDir(StateDir&& other) noexcept;
  StateDir& operator=(StateDir&&) = delete;
  ~StateDir();

  // Errc::conflict when another server holds it.
  [[nodiscard]] Result<> lock();
  // The descriptor of a server that hands its lock over; it must be of this same directory.
  [[nodiscard]] Result<> adopt_lock(int descriptor);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] int descriptor() const { return fd_; }
  // A path of any length through the descriptor: socket addresses take only 107 bytes.
  [[nodiscard]] std::string short_path(std::string_view name) const;

 private:
  StateDir(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::filesystem::path path_;
  int fd_;
};

}  // namespace headroom::server
