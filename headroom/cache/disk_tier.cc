#include "headroom/cache/disk_tier.h"

#include <fcntl.h>
#include <unistd.h>

#include "headroom/base/log.h"
#include "headroom/cache/disk_io.h"

namespace headroom::cache {
namespace {

constexpr Duration kLeastTtl = 2s;          // what is gone sooner is not worth a file
constexpr std::uint64_t kPendingShare = 8;  // of the memory, in values that wait to be written
constexpr std::uint64_t kStoredWhole = 64U << 10U;
constexpr std::size_t kStep = 1024;  // copies looked at under one lock

}  // namespace

DiskTier::DiskTier(MemoryTier& memory, net::Workers& workers, ClassNames classes,
                   DiskOptions options, std::function<TimePoint()> now)
    : memory_(memory),
      workers_(workers),
      classes_(std::move(classes)),
      options_(std::move(options)),
      now_(std::move(now)),
      index_(memory) {
  for (const auto& worker : workers_)
    groups_.push_back(std::make_unique<net::TaskGroup>(*worker, kMostBodies));
  memory_.put_behind(*this);
  memory_.invalidations().use(journal_);
  reading_in_ = options_.persist;
}

DiskTier::~DiskTier() = default;

std::string DiskTier::path_of(std::uint64_t generation) const {
  return (options_.directory / "files" / fmt::format("{:016x}", generation)).string();
}

std::uint64_t DiskTier::entries() const {
  const std::scoped_lock lock(mutex_);
  return index_.size();
}

// --- The index

void DiskTier::drop_locked(const Copy& copy, Removal cause) {
  garbage_.emplace_back(copy.generation, copy.file_bytes);
  removals_[static_cast<std::size_t>(cause)].fetch_add(1, std::memory_order_relaxed);
  index_.erase(copy);
}

bool DiskTier::drop(std::uint64_t hash, std::uint64_t generation, Removal cause) {
  const std::scoped_lock lock(mutex_);
  const Copy* copy = index_.by_hash(hash);
  if (copy == nullptr || copy->generation != generation) return false;
  drop_locked(*copy, cause);
  return true;
}

std::uint64_t DiskTier::replaced(std::uint64_t hash, Space space, std::string_view key,
                                 const Object* by) {
  const std::scoped_lock lock(mutex_);
  const Copy* old = index_.find(hash, space, key);
  const bool under_way = pending_.erase(hash) > 0;
  if (old != nullptr || under_way || reading_in_) journal_.key(space, key);
  if (old != nullptr) drop_locked(*old, by != nullptr ? Removal::replaced : Removal::erased);
  if (by == nullptr || by->kind() != Kind::value || state_.load() != State::open ||
      by->ttl() < kLeastTtl)
    return 0;
  const bool grows = by->body() != nullptr;
  const std::uint64_t size = by->metadata().size() + by->stored().size();
  if (!grows && !options_.persist && size < options_.over) return 0;
  if (size > options_.limit / kLargestShare) return 0;
  if (pending_.size() >= kMostPending) {
    skipped_.fetch_add(1, std::memory_order_relaxed);
    return 0;
  }
  const std::uint64_t right = journal_.next_generation();
  pending_[hash] = right;
  return right;
}

void DiskTier::copy(std::uint64_t right, std::uint64_t hash, const ObjectRef& object,
                    std::span<const std::string> tags, std::uint64_t seq) {
  auto to = std::make_shared<Writing>(*this, hash, right);
  to->local_seq = seq;
  to->born = object->born();
  CopyHead& head = to->head;
  head.stamp = options_.stamp;
  head.born_unix_ms = unix_ms_of(object->born(), now_());
  const TimePoint stale = object->fresh_until();
  head.lifetimes = {object->ttl(), object->revalidate_until() - stale,
                    object->error_until() - stale, object->kept_until() - stale};
  head.raw_size = object->raw_size();
  head.space = object->space();
  head.forms = object->forms() != nullptr;
  head.key = object->key();
  head.metadata = object->metadata();
  head.cls = classes_.name(object->cls());
  head.tags.assign(tags.begin(), tags.end());
  to->cls = object->cls();
  // Where it is not accepted `to` ends here, and with it the right.
  if (object->body() == nullptr) {
    to->waiting = object->bytes();
    const std::uint64_t waiting = waiting_.fetch_add(to->waiting) + to->waiting;
    if (waiting > memory_.memory().limit() / kPendingShare) return;
    static_cast<void>(files_->submit([this, to, object] { write_whole(*to, object.stored()); }));
    return;
  }
  net::TaskGroup& group = *groups_[hash % groups_.size()];
  // Nothing else may hold the body's beginning, or its chunks would stay while it grows.
  group.worker().post([this, to, from = object, &group]() mutable {
    auto body = [this, to, from = std::move(from), &group]() mutable {
      return copy_body(to, std::move(from), group);
    };
    static_cast<void>(group.spawn(std::move(body)));
  });
}

bool DiskTier::holds(std::uint64_t hash, Space space, std::string_view key, TimePoint now) {
  return find(hash, space, key, now).has_value();
}

std::optional<Copy> DiskTier::find(std::uint64_t hash, Space space, std::string_view key,
                                   TimePoint now) {
  if (state_.load(std::memory_order_relaxed) == State::off) return std::nullopt;
  const std::scoped_lock lock(mutex_);
  Copy* copy = index_.find(hash, space, key);
  if (copy == nullptr) return std::nullopt;
  if (const auto cause = index_.dead(*copy, now)) {
    drop_locked(*copy, *cause);
    return std::nullopt;
  }
  copy->used = true;
  return *copy;
}

void DiskTier::revalidate(TimePoint now) {
  for (std::size_t left = entries(); left > 0; left -= std::min(left, kStep)) {
    const std::scoped_lock lock(mutex_);
    for (const auto& [copy, cause] : index_.dead_of(std::min(left, kStep), now))
      drop_locked(*copy, cause);
  }
}

void DiskTier::upkeep() {
  if (state_.load() == State::ended || busy_.exchange(true)) return;
  if (!files_->submit([this] { look_after(); })) busy_ = false;
}

void DiskTier::close() {
  if (state_.exchange(State::ended) == State::ended) return;
  for (auto& group : groups_) group->stop_and_join();
  files_.reset();  // what was submitted has run
  revalidate(now_());
  remove_garbage();
  if (opened_ && !options_.persist) remove_files();
  if (opened_) {
    const std::scoped_lock lock(mutex_);
    memory_.invalidations().between([this] { journal_.close(); });
  }
  if (lock_ >= 0) ::close(std::exchange(lock_, -1));
}

// --- Tasks on workers

net::Task<Result<>> DiskTier::run(net::TaskGroup& group, std::function<Result<>()> work) {
  struct Job {
    std::function<Result<>()> work;
    Result<> result;
    std::atomic<bool> done{false};
  };
  auto job = std::make_shared<Job>();
  job->work = std::move(work);
  Sleeper sleeper(group);
  const bool accepted = files_->submit([job, waker = sleeper.waker()] {
    job->result = job->work();
    job->work = nullptr;
    job->done = true;
    wake(waker);
  });
  if (!accepted) co_return fail(Errc::overloaded, "too much work waits for the disk");
  const TimePoint deadline = Clock::now() + kPatience;
  while (!job->done) {
    auto slept = co_await sleeper.sleep(deadline);
    if (!slept) co_return pass(slept);
  }
  co_return std::move(job->result);
}

net::Task<> DiskTier::copy_body(std::shared_ptr<Writing> to, ObjectRef object,
                                net::TaskGroup& group) {
  Reader reader(group, std::move(object));
  auto begun = co_await run(group, [this, to] { return begin(*to); });
  while (begun) {
    auto more = co_await reader.wait(Clock::now() + 60s);
    if (!more) break;  // the fill has failed, or nobody hurries: no copy
    if (*more) {
      const std::string_view bytes = reader.available().substr(0, kBlock - to->block.size());
      to->block.append(bytes);
      reader.consume(bytes.size());
      if (to->block.size() < kBlock) continue;
    }
    const bool last = !*more;
    auto written = co_await run(group, [this, to, last]() -> Result<> {
      auto block = to->block.empty() ? Result<>{} : write_block(*to, to->block);
      to->block.clear();
      return block && last ? finish(*to) : block;
    });
    if (!written || last) break;
  }
  // Whatever still writes it owns it too; what is not finished when the last of them lets go is given up (~Writing).
}

net::Task<> DiskTier::load(net::TaskGroup& group, Copy copy, Lease lease) {
  auto from = std::make_shared<Reading>();
  from->path = path_of(copy.generation);
  from->generation = copy.generation;
  auto opened = co_await run(group, [this, from] { return open_copy(*from); });
  if (opened && (from->head.key != copy.key || from->head.space != copy.space))
    opened = fail(Errc::protocol, "it is of another key");
  if (opened) {
    Head head{.metadata = from->head.metadata,
              .lifetimes = from->head.lifetimes,
              .tags = from->head.tags,
              .cls = copy.cls,
              .age = age_of(from->head.born_unix_ms),
              .raw_size = from->head.raw_size,
              .forms = from->head.forms,
              .is_copy = true};
    const bool whole = copy.space != Space::http || from->head.size <= kStoredWhole;
    opened = whole ? co_await load_whole(group, from, head, lease)
                   : co_await load_growing(group, from, head, lease);
  }
  if (opened || opened.error().code == Errc::cancelled) co_return;
  const bool may_be_good =
      opened.error().code == Errc::timeout || opened.error().code == Errc::overloaded;
  if (!may_be_good && !drop(copy.hash, copy.generation, Removal::failed))
    co_return;  // replaced or evicted since it was found
  errors_.fetch_add(1, std::memory_order_relaxed);
  log::warn("cache", "disk: {}: {}", from->path, opened.error().message);
}

net::Task<Result<>> DiskTier::load_whole(net::TaskGroup& group, std::shared_ptr<Reading> from,
                                         Head head, Lease& lease) {
  auto value = std::make_shared<std::string>();
  auto read = co_await run(group, [this, from, value]() -> Result<> {
    while (from->left() > 0) {
      if (auto block = read_block(*from); !block) return block;
      value->append(from->block);
    }
    return {};
  });
  if (!read) co_return pass(read);
  static_cast<void>(lease.store(head, *value, now_()));
  co_return Result<>{};
}

net::Task<Result<>> DiskTier::load_growing(net::TaskGroup& group, std::shared_ptr<Reading> from,
                                           Head head, Lease& lease) {
  // The first block before anybody is told: a file that cannot be read is nobody's broken answer.
  auto read = co_await run(group, [this, from] { return read_block(*from); });
  if (!read) co_return pass(read);
  head.size = from->head.size;
  auto published = lease.publish(head, now_());
  if (!published) co_return Result<>{};  // no room: they go on alone
  Filler filler = std::move(published->filler);
  published->object = {};
  while (true) {
    filler.append(from->block);
    if (from->left() == 0) break;
    auto room = co_await filler.room(group, Clock::now() + 60s);
    if (!room || !filler.wanted()) co_return Result<>{};
    read = co_await run(group, [this, from] { return read_block(*from); });
    if (!read) co_return pass(read);
  }
  filler.finish();
  co_return Result<>{};
}

}  // namespace headroom::cache
