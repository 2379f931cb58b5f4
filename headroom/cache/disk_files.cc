// The disk tier's files: on its own threads only.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/cache/disk_io.h"
#include "headroom/cache/disk_tier.h"

namespace headroom::cache {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFileBlock = 4096;  // what a file takes at least
constexpr std::uint64_t kIndexShare = 4;    // of the memory, for the index
constexpr std::size_t kFirstRead = 4096;
constexpr std::size_t kProbe = 64U << 10U;
constexpr const char* kPart = ".part";

std::uint64_t rounded(std::uint64_t bytes) {
  return (bytes + kFileBlock - 1) / kFileBlock * kFileBlock;
}

Result<> write_at(int fd, std::string_view bytes, std::uint64_t at) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return std::unexpected(system_error("writing", done < 0 ? errno : EIO));
    bytes.remove_prefix(static_cast<std::size_t>(done));
    at += static_cast<std::uint64_t>(done);
  }
  return {};
}

// Exactly so many; Errc::protocol where the file ends before.
Result<std::string> read_at(int fd, std::size_t size, std::uint64_t at) {
  std::string bytes(size, '\0');
  for (std::size_t have = 0; have < size;) {
    const ssize_t done =
        ::pread(fd, bytes.data() + have, size - have, static_cast<off_t>(at + have));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return std::unexpected(system_error("reading", errno));
    if (done == 0) return fail(Errc::protocol, "the file is shorter than it says");
    have += static_cast<std::size_t>(done);
  }
  return bytes;
}

Result<CopyHead> read_head(int fd, std::uint64_t file) {
  auto start = read_at(fd, static_cast<std::size_t>(std::min<std::uint64_t>(file, kFirstRead)), 0);
  if (!start) return pass(start);
  const auto size = head_size(*start);
  if (!size) return std::unexpected(size.error());
  if (*size > file) return fail(Errc::protocol, "the file is shorter than its head");
  if (*size > start->size()) {
    start = read_at(fd, *size, 0);
    if (!start) return pass(start);
  }
  return parse_head(std::string_view(*start).substr(0, *size));
}

Result<> make_directory(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return std::unexpected(system_error(path.string(), errno));
  struct stat about{};
  if (::lstat(path.c_str(), &about) != 0)
    return std::unexpected(system_error(path.string(), errno));
  if (!S_ISDIR(about.st_mode) || about.st_uid != ::geteuid())
    return fail(Errc::unauthorized, path.string() + " is not a directory of ours");
  if ((about.st_mode & 077U) != 0 && ::chmod(path.c_str(), 0700) != 0)
    return std::unexpected(system_error(path.string(), errno));
  return {};
}

}  // namespace

std::unexpected<Error> DiskTier::broken(Error why) {
  errors_.fetch_add(1, std::memory_order_relaxed);
  State before = state_.load();
  while (before != State::ended && before != State::off &&
         !state_.compare_exchange_weak(before, State::off)) {
  }
  if (before != State::off && before != State::ended)
    log::warn("cache", "disk: {}; off until it works again", why.message);
  return std::unexpected(std::move(why));
}

void DiskTier::look_after() {
  if (!opened_) {
    if (auto done = open(); !done && done.error().code != Errc::conflict)
      static_cast<void>(broken(done.error()));
  } else if (state_.load() == State::off && probe()) {
    State off = State::off;
    if (state_.compare_exchange_strong(off, State::open)) log::info("cache", "disk: works again");
  }
  remove_garbage();
  busy_ = false;
}

Result<> DiskTier::open() {
  if (auto made = open_directory(); !made) return made;
  bool trusted = false;
  if (options_.persist) {
    auto file = Journal::open(options_.directory / "journal");
    if (!file) return pass(file);
    trusted = file->trusted;
    const std::scoped_lock lock(mutex_);
    memory_.invalidations().between([&] { journal_.attach(*file); });
  }
  State before = state_.load();
  while (before != State::ended && !state_.compare_exchange_weak(before, State::opening)) {
  }
  if (trusted) {
    read_in();
  } else {
    remove_files();
  }
  if (state_.load() == State::ended)
    return {};  // not all has been read: the journal stays as it is
  {
    const std::scoped_lock lock(mutex_);
    reading_in_ = false;
  }
  opened_ = true;
  State opening = State::opening;
  state_.compare_exchange_strong(opening, State::open);
  log::info("cache", "disk: {} values in {} bytes are there in {}", entries(), used(),
            options_.directory.string());
  return {};
}

Result<> DiskTier::open_directory() {
  if (auto made = make_directory(options_.directory); !made) return made;
  if (auto made = make_directory(options_.directory / "files"); !made) return made;
  if (lock_ < 0)
    lock_ = ::open((options_.directory / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                   0600);
  if (lock_ < 0)
    return std::unexpected(system_error((options_.directory / "lock").string(), errno));
  // A process that is being taken over has it until it ends.
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
    return fail(Errc::conflict, "another process uses " + options_.directory.string());
  return {};
}

void DiskTier::read_in() {
  std::error_code failed;
  for (auto file = fs::directory_iterator(options_.directory / "files", failed);
       !failed && file != fs::directory_iterator(); file.increment(failed)) {
    if (state_.load() == State::ended) return;
    auto taken = take_in(file->path());
    if (taken) continue;
    log::debug("cache", "disk: {} is dropped: {}", file->path().string(), taken.error().message);
    ::unlink(file->path().c_str());
  }
  static_cast<void>(make_room(0));
}

Result<> DiskTier::take_in(const fs::path& file) {
  Reading from;
  from.path = file.string();
  if (auto opened = open_copy(from); !opened) return opened;
  CopyHead& head = from.head;
  if (path_of(head.generation) != from.path) return fail(Errc::protocol, "it has another's name");
  const std::int64_t age_ms = unix_ms() - head.born_unix_ms;
  if (age_ms < 0) return fail(Errc::protocol, "it is from the future: the clock went back");
  const TimePoint now = now_();
  const std::uint64_t size = rounded(file_size(from.head_bytes, head.size));
  const std::uint64_t memory = DiskIndex::memory_for(head.key, head.tags.size());
  if (!memory_.reserve(memory)) return fail(Errc::overloaded, "no memory for it");
  const std::uint64_t seq =
      memory_.invalidations()
          .now();  // before the journal is asked: what comes later is met by a look-up
  Copy copy{.hash = memory_.hash(head.space, head.key),
            .generation = head.generation,
            .space = head.space,
            .cls = classes_.number(head.cls),
            .seq = seq,
            .file_bytes = size,
            .fresh_until = now - std::chrono::milliseconds(age_ms) + head.lifetimes.ttl,
            .key = head.key};
  const std::scoped_lock lock(mutex_);
  const Copy* other = index_.by_hash(copy.hash);
  const bool newer = other == nullptr || other->generation < head.generation;
  if (copy.fresh_until <= now || !newer ||
      !journal_.valid(head.space, head.key, head.tags, head.seq, head.generation)) {
    memory_.give_back(memory);
    return fail(Errc::conflict, "it is no longer good");
  }
  if (other != nullptr) drop_locked(*other, Removal::replaced);
  static_cast<void>(index_.insert(std::move(copy), head.tags));
  used_ += size;
  return {};
}

Result<> DiskTier::probe() {
  const std::string path = (options_.directory / "files" / "probe.part").string();
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return std::unexpected(system_error(path, errno));
  auto written = write_at(fd, std::string(kProbe, 'p'), 0);
  if (written && ::fsync(fd) != 0) written = std::unexpected(system_error(path, errno));
  ::close(fd);
  ::unlink(path.c_str());
  return written;
}

void DiskTier::remove_files() {
  std::error_code failed;
  for (auto file = fs::directory_iterator(options_.directory / "files", failed);
       !failed && file != fs::directory_iterator(); file.increment(failed)) {
    ::unlink(file->path().c_str());
  }
}

void DiskTier::remove_garbage() {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> garbage;
  {
    const std::scoped_lock lock(mutex_);
    garbage.swap(garbage_);
  }
  for (const auto& [generation, bytes] : garbage) {
    const std::string path = path_of(generation);
    ::unlink(path.c_str());
    ::unlink((path + kPart).c_str());
    used_ -= bytes;
  }
}

// Reserves the bytes, and drops who is next until they fit.
bool DiskTier::make_room(std::uint64_t bytes) {
  if (bytes > options_.limit) return false;
  for (;;) {
    {
      const std::scoped_lock lock(mutex_);
      const bool fits = used_ + bytes <= options_.limit &&
                        index_.memory() <= memory_.memory().limit() / kIndexShare;
      if (fits) {
        used_ += bytes;
        return true;
      }
      const Copy* victim = index_.victim();
      if (victim == nullptr && garbage_.empty()) return false;
      if (victim != nullptr) drop_locked(*victim, Removal::capacity);
    }
    remove_garbage();
  }
}

bool DiskTier::counts(const Writing& to) const {
  const auto at = pending_.find(to.hash);
  return at != pending_.end() && at->second == to.head.generation;
}

Result<> DiskTier::begin(Writing& to) {
  to.head_bytes = write_head(to.head).size();
  if (to.head_bytes > kHeadLimit) return fail(Errc::invalid, "a head of an absurd size");
  if (state_.load() == State::off) return fail(Errc::unavailable, "the disk is off");
  to.reserved = rounded(to.head_bytes);
  if (!make_room(to.reserved)) {
    to.reserved = 0;
    return fail(Errc::overloaded, "no room on the disk");
  }
  const std::string path = path_of(to.head.generation) + kPart;
  to.fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  return to.fd >= 0 ? Result<>{} : broken(system_error(path, errno));
}

Result<> DiskTier::write_block(Writing& to, std::string_view block) {
  {
    const std::scoped_lock lock(mutex_);
    if (!counts(to)) return fail(Errc::conflict, "the key has another value by now");
  }
  const std::uint64_t before = file_size(to.head_bytes, to.head.size);
  const std::uint64_t wanted = rounded(file_size(to.head_bytes, to.head.size + block.size()));
  if (wanted > options_.limit / kLargestShare)
    return fail(Errc::overloaded, "too large for the disk");
  if (wanted > to.reserved) {
    if (!make_room(wanted - to.reserved)) return fail(Errc::overloaded, "no room on the disk");
    to.reserved = wanted;
  }
  const std::uint64_t sum = block_sum(block, to.head.generation, to.blocks);
  std::string bytes(block);
  bytes.append(sizeof sum, '\0');
  std::memcpy(bytes.data() + block.size(), &sum, sizeof sum);
  if (auto written = write_at(to.fd, bytes, before); !written)
    return broken(std::move(written.error()).with(path_of(to.head.generation)));
  to.head.size += block.size();
  ++to.blocks;
  return {};
}

Result<> DiskTier::finish(Writing& to) {
  if (!options_.persist && to.head.size + to.head.metadata.size() < options_.over)
    return fail(Errc::invalid, "not worth a file");
  std::uint64_t offset = 0;
  {
    const std::scoped_lock lock(mutex_);
    offset = journal_.offset();
  }
  to.head.seq = to.local_seq + offset;
  const std::string path = path_of(to.head.generation);
  const std::string part = path + kPart;
  if (auto written = write_at(to.fd, write_head(to.head), 0); !written)
    return broken(std::move(written.error()).with(part));
  if (::rename(part.c_str(), path.c_str()) != 0) return broken(system_error(part, errno));
  const std::uint64_t memory = DiskIndex::memory_for(to.head.key, to.head.tags.size());
  if (!memory_.reserve(memory)) return fail(Errc::overloaded, "no memory for it");
  Copy copy{.hash = to.hash,
            .generation = to.head.generation,
            .space = to.head.space,
            .cls = to.cls,
            .seq = to.local_seq,
            .file_bytes = to.reserved,
            .fresh_until = to.born + to.head.lifetimes.ttl,
            .key = to.head.key};
  const std::scoped_lock lock(mutex_);
  if (!counts(to) || !index_.insert(std::move(copy), to.head.tags)) {
    memory_.give_back(memory);
    return fail(Errc::conflict, "the key has another value by now");
  }
  pending_.erase(to.hash);
  to.finished = true;
  written_.fetch_add(1, std::memory_order_relaxed);
  return {};
}

void DiskTier::write_whole(Writing& to, std::string_view value) {
  auto done = begin(to);
  for (; done && !value.empty(); value.remove_prefix(std::min(kBlock, value.size())))
    done = write_block(to, value.substr(0, kBlock));
  if (done) static_cast<void>(finish(to));
}

Result<> DiskTier::open_copy(Reading& from) {
  from.fd = ::open(from.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (from.fd < 0) return std::unexpected(system_error("opening", errno));
  struct stat about{};
  if (::fstat(from.fd, &about) != 0 || !S_ISREG(about.st_mode))
    return fail(Errc::protocol, "it is no file");
  const auto size = static_cast<std::uint64_t>(about.st_size);
  auto head = read_head(from.fd, size);
  if (!head) return pass(head);
  from.head = std::move(*head);
  from.head_bytes = write_head(from.head).size();
  if (from.head.stamp != options_.stamp)
    return fail(Errc::protocol, "another version has written it");
  if (file_size(from.head_bytes, from.head.size) != size)
    return fail(Errc::protocol, "the file is not whole");
  return {};
}

Result<> DiskTier::read_block(Reading& from) {
  const std::uint64_t index = from.read / kBlock;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(from.left(), kBlock));
  auto bytes = read_at(from.fd, size + kBlockSum, file_size(from.head_bytes, from.read));
  if (!bytes && bytes.error().code == Errc::protocol) return pass(bytes);
  if (!bytes) return broken(std::move(bytes.error()).with(from.path));
  std::uint64_t sum = 0;
  std::memcpy(&sum, bytes->data() + size, sizeof sum);
  bytes->resize(size);
  if (block_sum(*bytes, from.head.generation, index) != sum)
    return fail(Errc::protocol, "a block's sum is wrong");
  from.block = std::move(*bytes);
  from.read += size;
  return {};
}

}  // namespace headroom::cache
