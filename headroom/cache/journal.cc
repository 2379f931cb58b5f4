#include "headroom/cache/journal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "headroom/base/assert.h"
#include "headroom/base/hash.h"
#include "headroom/cache/invalidations.h"

namespace headroom::cache {
namespace {

constexpr std::uint64_t kMagic = 0x316c616e72756f6aULL;  // "journal1"
constexpr std::size_t kTagCells = std::size_t{1} << 17U;
constexpr std::size_t kKeyCells = std::size_t{1} << 19U;
constexpr std::size_t kBans = 256;

std::size_t tag_cell(std::string_view name) { return hash64(name) % kTagCells; }
std::size_t key_cell(Space space, std::string_view key) {
  return hash64(key, static_cast<std::uint64_t>(space) + 1) % kKeyCells;
}

// Another one after each start of the machine.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id.substr(0, 39);
}

}  // namespace

struct Journal::Map {
  using Cell = std::atomic<std::uint64_t>;
  struct Ban {
    Cell seq{0};
    std::uint32_t size = 0;
    std::uint16_t pattern = 0;
    std::uint16_t space = 0;
    std::array<char, 216> text{};
    [[nodiscard]] std::string_view view() const {
      return {text.data(), std::min<std::size_t>(size, text.size())};
    }
  };
  std::uint64_t magic = kMagic;
  std::array<char, 40> boot{};
  Cell clean{0};
  Cell seq{0};
  Cell generation{0};
  Cell bans_made{0};
  std::array<Cell, kSpaces> floors{};
  std::array<Ban, kBans> bans{};
  std::array<Cell, kTagCells> tags{};
  std::array<Cell, kKeyCells> keys{};
};

Journal::Map* Journal::map_memory() {
  void* memory = ::mmap(nullptr, sizeof(Map), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  HR_ASSERT(memory != MAP_FAILED);
  return static_cast<Map*>(memory);  // all zero, which is an empty table
}

Journal::Journal() : map_(map_memory()) {}

Journal::~Journal() {
  ::munmap(map_, sizeof(Map));
  if (fd_ >= 0) ::close(fd_);
}

void Journal::tag(std::string_view name, std::uint64_t seq) {
  map_->tags[tag_cell(name)].store(offset_ + seq, std::memory_order_relaxed);
  map_->seq.store(offset_ + seq, std::memory_order_release);
}

void Journal::ban(Space space, bool pattern, std::string_view text, std::uint64_t seq) {
  add_ban(space, pattern, text, offset_ + seq);
  map_->seq.store(offset_ + seq, std::memory_order_release);
}

// The process may end between any two stores: what a place is overwritten of counts for its whole space first.
void Journal::add_ban(Space space, bool pattern, std::string_view text, std::uint64_t seq) {
  const auto s = static_cast<std::size_t>(space);
  Map::Ban& ban = map_->bans[map_->bans_made.fetch_add(1, std::memory_order_relaxed) % kBans];
  if (text.size() > ban.text.size()) {
    map_->floors[s].store(seq, std::memory_order_release);
    return;
  }
  if (const std::uint64_t old = ban.seq.load(std::memory_order_relaxed); old != 0) {
    map_->floors[ban.space % kSpaces].store(old, std::memory_order_release);
    ban.seq.store(0, std::memory_order_release);
  }
  ban.size = static_cast<std::uint32_t>(text.size());
  ban.pattern = pattern ? 1 : 0;
  ban.space = static_cast<std::uint16_t>(s);
  std::ranges::copy(text, ban.text.begin());
  ban.seq.store(seq, std::memory_order_release);
}

void Journal::key(Space space, std::string_view key) {
  // In memory, where generations are not known yet, 1 says: all.
  const std::uint64_t mark = fd_ >= 0 ? map_->generation.load(std::memory_order_relaxed) : 1;
  map_->keys[key_cell(space, key)].store(mark, std::memory_order_release);
}

std::uint64_t Journal::next_generation() {
  return map_->generation.fetch_add(1, std::memory_order_relaxed) + 1;
}

bool Journal::valid(Space space, std::string_view key, std::span<const std::string> tags,
                    std::uint64_t seq, std::uint64_t generation) const {
  // A process numbers from 1 above where the last one ended.
  if (seq > map_->seq.load(std::memory_order_acquire) + 1 ||
      generation > map_->generation.load(std::memory_order_relaxed))
    return false;
  if (map_->keys[key_cell(space, key)].load(std::memory_order_acquire) >= generation) return false;
  if (map_->floors[static_cast<std::size_t>(space)].load(std::memory_order_acquire) > seq)
    return false;
  for (const std::string& tag : tags) {
    if (map_->tags[tag_cell(tag)].load(std::memory_order_acquire) > seq) return false;
  }
  return std::ranges::none_of(map_->bans, [&](const Map::Ban& ban) {
    if (ban.seq.load(std::memory_order_acquire) <= seq ||
        ban.space != static_cast<std::uint16_t>(space))
      return false;
    return ban.pattern != 0 ? matches(ban.view(), key) : key.starts_with(ban.view());
  });
}

Result<Journal::File> Journal::open(const std::filesystem::path& path) {
  File file{.fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (file.fd < 0) return std::unexpected(system_error(path.string(), errno));
  const auto refuse = [&](int number) {
    ::close(file.fd);
    return std::unexpected(system_error(path.string(), number));
  };
  struct stat about{};
  if (::fstat(file.fd, &about) != 0) return refuse(errno);
  const bool whole = about.st_size == static_cast<off_t>(sizeof(Map));
  if (!whole && ::ftruncate(file.fd, 0) != 0) return refuse(errno);
  // All of its blocks, now: a store into a hole of a full disk would be the end of the process.
  if (const int failed = ::posix_fallocate(file.fd, 0, sizeof(Map)); failed != 0) {
    static_cast<void>(::ftruncate(file.fd, 0) == 0);
    return refuse(failed);
  }
  void* memory = ::mmap(nullptr, sizeof(Map), PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
  if (memory == MAP_FAILED) return refuse(errno);
  file.map = static_cast<Map*>(memory);
  const std::string boot = boot_id();
  const bool known = whole && file.map->magic == kMagic;
  file.trusted =
      known && (file.map->clean.load() == 1 || (!boot.empty() && boot == file.map->boot.data()));
  if (!file.trusted) std::memset(memory, 0, sizeof(Map));
  file.map->magic = kMagic;
  file.map->boot = {};
  std::ranges::copy(boot, file.map->boot.begin());
  file.map->clean.store(0);
  // That it is in use must be on the disk before anything else is.
  if (::msync(memory, sizeof(Map), MS_SYNC) != 0) {
    const int failed = errno;
    ::munmap(memory, sizeof(Map));
    return refuse(failed);
  }
  return file;
}

void Journal::attach(File file) {
  Map* const before = std::exchange(map_, file.map);
  fd_ = file.fd;
  offset_ = map_->seq.load();
  carry_over(*before);
  ::munmap(before, sizeof(Map));
}

void Journal::carry_over(const Map& from) {
  const auto moved = [&](const Map::Cell& cell) {
    const std::uint64_t seq = cell.load(std::memory_order_relaxed);
    return seq == 0 ? 0 : seq + offset_;
  };
  for (std::size_t i = 0; i < kTagCells; ++i) {
    if (const std::uint64_t seq = moved(from.tags[i]); seq != 0) map_->tags[i].store(seq);
  }
  const std::uint64_t all = map_->generation.load();
  for (std::size_t i = 0; i < kKeyCells; ++i) {
    if (from.keys[i].load(std::memory_order_relaxed) != 0) map_->keys[i].store(all);
  }
  for (std::size_t s = 0; s < kSpaces; ++s) {
    if (const std::uint64_t seq = moved(from.floors[s]); seq != 0) map_->floors[s].store(seq);
  }
  for (const Map::Ban& ban : from.bans) {
    if (const std::uint64_t seq = moved(ban.seq); seq != 0)
      add_ban(static_cast<Space>(ban.space), ban.pattern != 0, ban.view(), seq);
  }
  map_->seq.store(offset_ + from.seq.load());
}

void Journal::close() {
  if (fd_ < 0) return;
  for (Map::Ban& ban : map_->bans) ban.seq.store(0);
  for (Map::Cell& floor : map_->floors) floor.store(0);
  for (Map::Cell& cell : map_->tags) cell.store(0);
  for (Map::Cell& cell : map_->keys) cell.store(0);
  map_->clean.store(1);
  ::msync(map_, sizeof(Map), MS_SYNC);
  ::munmap(map_, sizeof(Map));
  ::close(std::exchange(fd_, -1));
  map_ = map_memory();
}

}  // namespace headroom::cache
