#include "headroom/server/state_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace headroom::server {
namespace {

Result<> make_directories(const std::filesystem::path& path) {
  std::filesystem::path so_far;
  for (const auto& part : path) {
    so_far /= part;
    if (::mkdir(so_far.c_str(), 0700) == 0 || errno == EEXIST || errno == EISDIR) continue;
    const int number = errno;
    if (::access(so_far.c_str(), F_OK) == 0)
      continue;  // a read-only parent says EROFS or EACCES for what exists
    return std::unexpected(system_error(so_far.string(), number).with("state_dir"));
  }
  return {};
}

bool same_directory(int a, int b) {
  struct stat left{};
  struct stat right{};
  return ::fstat(a, &left) == 0 && ::fstat(b, &right) == 0 && left.st_dev == right.st_dev &&
         left.st_ino == right.st_ino;
}

}  // namespace

Result<StateDir> StateDir::open(const std::filesystem::path& path) {
  if (auto made = make_directories(path); !made) return pass(made);
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return std::unexpected(system_error(path.string(), errno).with("state_dir"));
  StateDir opened(path, fd);
  if (::faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
    return std::unexpected(system_error(path.string() + ": not writable", errno).with("state_dir"));
  }
  struct stat status{};
  if (::fstat(fd, &status) == 0 && (status.st_mode & 0022U) != 0) {
    return fail(Errc::unauthorized,
                fmt::format("state_dir: {}: others may write in it; chmod go-w it, or choose a "
                            "directory of Headroom's own",
                            path.string()));
  }
  return opened;
}

StateDir::StateDir(StateDir&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

StateDir::~StateDir() {
  if (fd_ >= 0) ::close(fd_);
}

Result<> StateDir::lock() {
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return {};
  if (errno != EWOULDBLOCK)
    return std::unexpected(system_error(path_.string(), errno).with("state_dir"));
  return fail(Errc::conflict, fmt::format("state_dir {} is in use by another headroom; stop it, "
                                          "use `--take-over`, or give this one "
                                          "another directory (--set server.state_dir=/path)",
                                          path_.string()));
}

Result<> StateDir::adopt_lock(int descriptor) {
  if (!same_directory(fd_, descriptor)) {
    return fail(Errc::conflict, "the running server's state_dir is another directory");
  }
  ::close(std::exchange(fd_, descriptor));
  return {};
}

std::string StateDir::short_path(std::string_view name) const {
  return fmt::format("/proc/self/fd/{}/{}", fd_, name);
}

}  // namespace headroom::server
