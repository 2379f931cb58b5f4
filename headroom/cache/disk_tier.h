// headroom/cache/disk_tier.h - copies of values on disk: of large ones, or of all where the next process is to start warm. A tier behind the memory.
//
// A value is written when it is stored; it is read when the memory has it no more, by a lease, as if a loader had loaded it. Whoever waits gets it as it
// is read.
//
// Owns: a directory, two threads for its files, the index of what is there, the journal. Borrows: the memory tier, the workers.
// Worker: the index under one mutex, held for some hundred nanoseconds; files only on the threads of its own. Lock order: shard, this one,
//   the invalidations' and tags' own.
// Invariants: (1) used() <= limit; (2) a copy is found only while it is valid and fresh: after a restart too (journal.h); (3) a copy is seen whole or not at
//   all, and each of its blocks has a sum; (4) files have mode 0600 and nobody's links are followed; (5) a worker waits for no file: what takes longer
//   than kPatience is given up, and the value comes from its origin.
// Limits: `limit` bytes; values of a quarter of it; kMostPending copies under way, kMostBodies of them of bodies that grow, on each worker.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/cache/behind.h"
#include "headroom/cache/disk_file.h"
#include "headroom/cache/disk_index.h"
#include "headroom/cache/journal.h"
#include "headroom/cache/memory_tier.h"
#include "headroom/net/offload.h"
#include "headroom/net/task_group.h"

namespace headroom::cache {

struct DiskOptions {
  std::filesystem::path directory;
  std::uint64_t limit = 0;
  std::uint64_t over = 64U << 10U;  // values from this size on
  bool persist = false;             // all values, and they are there after a restart
  std::uint64_t stamp = 0;          // of who can read the metadata: files of others are dropped
};

// Names that outlive the process, for numbers that do not.
struct ClassNames {
  std::function<ClassId(std::string_view)> number;
  std::function<std::string(ClassId)> name;
};

class DiskTier final : public Behind {
 public:
  static constexpr Duration kPatience = 5s;
  static constexpr std::size_t kMostPending = 4096;
  static constexpr std::size_t kMostBodies = 64;

  DiskTier(MemoryTier& memory, net::Workers& workers, ClassNames classes, DiskOptions options,
           std::function<TimePoint()> now);
  ~DiskTier() override;

  // Opens the directory and reads what is there; tries again what has failed; removes files. Every second or so, not on a worker; never waits.
  void upkeep();
  // An orderly end: what is under way is written; files are flushed where they persist, else removed. From main, while the workers run.
  void close();

  // A copy that may be read now.
  [[nodiscard]] std::optional<Copy> find(std::uint64_t hash, Space space, std::string_view key,
                                         TimePoint now);
  // Fills the lease from a copy; where that fails, another fills it.
  [[nodiscard]] net::Task<> load(net::TaskGroup& group, Copy copy, Lease lease);

  [[nodiscard]] std::uint64_t replaced(std::uint64_t hash, Space space, std::string_view key,
                                       const Object* by) override;
  void copy(std::uint64_t right, std::uint64_t hash, const ObjectRef& object,
            std::span<const std::string> tags, std::uint64_t seq) override;
  [[nodiscard]] bool holds(std::uint64_t hash, Space space, std::string_view key,
                           TimePoint now) override;
  void revalidate(TimePoint now) override;

  [[nodiscard]] bool up() const { return state_.load() == State::open; }
  [[nodiscard]] std::uint64_t used() const { return used_.load(); }
  [[nodiscard]] std::uint64_t limit() const { return options_.limit; }
  [[nodiscard]] std::uint64_t entries() const;
  [[nodiscard]] std::uint64_t removals(Removal cause) const {
    return removals_[static_cast<std::size_t>(cause)].load();
  }
  [[nodiscard]] std::uint64_t written() const { return written_.load(); }
  [[nodiscard]] std::uint64_t skipped() const { return skipped_.load(); }
  [[nodiscard]] std::uint64_t errors() const { return errors_.load(); }

 private:
  // closed: nothing is read yet. opening: what is there is being read. off: something failed; nothing is read or written until it works again.
  enum class State : std::uint8_t { closed, opening, open, off, ended };
  struct Writing;
  struct Reading;

  // On the threads of files (disk_files.cc).
  void look_after();
  [[nodiscard]] Result<> open();
  [[nodiscard]] Result<> open_directory();
  void read_in();
  [[nodiscard]] Result<> take_in(const std::filesystem::path& file);
  [[nodiscard]] Result<> probe();
  void remove_files();
  void remove_garbage();
  [[nodiscard]] bool make_room(std::uint64_t bytes);
  [[nodiscard]] Result<> begin(Writing& to);
  [[nodiscard]] Result<> write_block(Writing& to, std::string_view block);
  [[nodiscard]] Result<> finish(Writing& to);
  [[nodiscard]] bool counts(const Writing& to) const;
  void write_whole(Writing& to, std::string_view value);
  [[nodiscard]] Result<> open_copy(Reading& from);
  [[nodiscard]] Result<> read_block(Reading& from);

  // Runs it there and waits for it, for kPatience at most; the work owns what it needs.
  [[nodiscard]] net::Task<Result<>> run(net::TaskGroup& group, std::function<Result<>()> work);
  [[nodiscard]] net::Task<> copy_body(std::shared_ptr<Writing> to, ObjectRef object,
                                      net::TaskGroup& group);
  [[nodiscard]] net::Task<Result<>> load_whole(net::TaskGroup& group, std::shared_ptr<Reading> from,
                                               Head head, Lease& lease);
  [[nodiscard]] net::Task<Result<>> load_growing(net::TaskGroup& group,
                                                 std::shared_ptr<Reading> from, Head head,
                                                 Lease& lease);

  // Reading or writing does not work: off, until it does.
  [[nodiscard]] std::unexpected<Error> broken(Error why);
  // True: it was there.
  bool drop(std::uint64_t hash, std::uint64_t generation, Removal cause);
  void drop_locked(const Copy& copy, Removal cause);
  [[nodiscard]] std::string path_of(std::uint64_t generation) const;

  MemoryTier& memory_;
  net::Workers& workers_;
  const ClassNames classes_;
  const DiskOptions options_;
  const std::function<TimePoint()> now_;
  std::atomic<State> state_{State::closed};
  std::atomic<bool> busy_{false};  // upkeep's work is under way
  std::atomic<std::uint64_t> used_{0};
  std::atomic<std::uint64_t> waiting_{0};  // bytes of memory in values that wait to be written
  std::atomic<std::uint64_t> written_{0}, skipped_{0}, errors_{0};
  std::array<std::atomic<std::uint64_t>, kRemovals> removals_{};

  mutable std::mutex mutex_;  // guards what follows
  Journal journal_;
  DiskIndex index_;
  std::unordered_map<std::uint64_t, std::uint64_t>
      pending_;  // by hash: the one copy under way that still counts
  std::vector<std::pair<std::uint64_t, std::uint64_t>>
      garbage_;              // files to be removed: generation, bytes
  bool reading_in_ = false;  // there may be copies that the index does not know yet

  // Of the threads of files; upkeep's work is never done twice at once.
  int lock_ = -1;  // that this is the one process that uses the directory
  bool opened_ = false;
  std::vector<std::unique_ptr<net::TaskGroup>>
      groups_;  // of copies of growing bodies, one a worker
  std::unique_ptr<net::Offload> files_ =
      std::make_unique<net::Offload>("cache files", 2, 2 * kMostPending);
};

}  // namespace headroom::cache
