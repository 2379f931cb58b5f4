#include "headroom/server/session_key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "headroom/base/log.h"
#include "headroom/base/text.h"

namespace headroom::server {
namespace {

constexpr std::size_t kKeyBytes = 32;

std::string read_key(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return {};
  std::array<char, (2 * kKeyBytes) + 1> text{};
  const ssize_t bytes = ::read(fd, text.data(), text.size());
  ::close(fd);
  // With a line's end or without.
  return bytes >= static_cast<ssize_t>(2 * kKeyBytes) ? std::string(text.data(), 2 * kKeyBytes)
                                                      : std::string();
}

// The key that the file then has: who came first wins; empty when it cannot be kept. Under another name first, so that a full disk or a crash leaves no
// half of it.
std::string keep_key(const std::filesystem::path& path, const std::string& key) {
  const std::string made = fmt::format("{}.{}", path.string(), text::random_hex(8));
  const int fd = ::open(made.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return {};
  const bool whole =
      ::write(fd, key.data(), key.size()) == static_cast<ssize_t>(key.size()) && ::fsync(fd) == 0;
  ::close(fd);
  std::string kept;
  if (whole && ::link(made.c_str(), path.c_str()) == 0) kept = key;
  if (whole && kept.empty()) kept = read_key(path);
  if (whole && kept.empty() && std::rename(made.c_str(), path.c_str()) == 0)
    return key;  // what was there is no key
  ::unlink(made.c_str());
  return kept;
}

}  // namespace

std::string own_key(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "session.key";
  std::string key = read_key(path);
  if (key.empty()) {
    key = text::random_hex(kKeyBytes);
    const std::string kept = keep_key(path, key);
    if (!kept.empty()) key = kept;
    if (kept.empty())
      log::warn("server", "{} cannot be kept; browsers' sessions end with this process",
                path.string());
  }
  return key;
}

Result<auth::Signer> session_signer(const std::vector<std::string>& keys,
                                    const std::filesystem::path& directory) {
  return auth::Signer::make(keys.empty() ? std::vector{own_key(directory)} : keys);
}

}  // namespace headroom::server
