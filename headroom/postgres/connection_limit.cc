#include "headroom/postgres/connection_limit.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "headroom/base/hash.h"

namespace headroom::postgres {
namespace {

constexpr Duration kWanted = 1s;

struct flock one_byte(short type, std::uint64_t place) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(place);
  lock.l_len = 1;
  return lock;
}

}  // namespace

Result<std::shared_ptr<const SharedPlaces>> SharedPlaces::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(Errc::unavailable, fmt::format("{}: {}", path, std::strerror(errno)));
  return std::make_shared<const SharedPlaces>(fd);
}

SharedPlaces::~SharedPlaces() { ::close(fd_); }

bool SharedPlaces::lock(std::uint64_t place) const {
  struct flock lock = one_byte(F_WRLCK, place);
  return ::fcntl(fd_, F_OFD_SETLK, &lock) == 0;
}

void SharedPlaces::unlock(std::uint64_t place) const {
  struct flock lock = one_byte(F_UNLCK, place);
  (void)::fcntl(fd_, F_OFD_SETLK, &lock);
}

// Each name has a stretch of the file of its own, which never grows by it.
ConnectionLimit::ConnectionLimit(std::string name, std::size_t limit,
                                 std::shared_ptr<const SharedPlaces> shared)
    : name_(std::move(name)),
      limit_(std::min(limit, kMost)),
      shared_(std::move(shared)),
      first_((hash64(name_) >> 18U) * kMost),
      places_(limit_) {}

ConnectionLimit::~ConnectionLimit() {
  for (const std::uint32_t place : held_) {
    if (shared_) shared_->unlock(first_ + place);
  }
}

bool ConnectionLimit::take(const void* who) {
  const std::scoped_lock lock(mutex_);
  if (held_.size() < limit_) {
    for (std::uint32_t place = 0; place < limit_; ++place) {
      if (places_[place] || (shared_ && !shared_->lock(first_ + place))) continue;
      places_[place] = true;
      held_.push_back(place);
      return true;
    }
  }
  wanted_by_.store(who, std::memory_order_relaxed);
  wanted_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  return false;
}

void ConnectionLimit::give() {
  const std::scoped_lock lock(mutex_);
  if (held_.empty()) return;
  const std::uint32_t place = held_.back();
  held_.pop_back();
  places_[place] = false;
  if (shared_) shared_->unlock(first_ + place);
}

bool ConnectionLimit::is_wanted(const void* by_others_than, TimePoint now) const {
  const std::int64_t since = wanted_.load(std::memory_order_relaxed);
  return since != 0 && wanted_by_.load(std::memory_order_relaxed) != by_others_than &&
         elapsed(TimePoint(Duration(since)), now) < kWanted;
}

std::size_t ConnectionLimit::taken() const {
  const std::scoped_lock lock(mutex_);
  return held_.size();
}

}  // namespace headroom::postgres
