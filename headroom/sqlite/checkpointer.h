// headroom/sqlite/checkpointer.h - copies the write-ahead log of a busy database into its file beside the writer, so that no commit waits for it.
//
// SQLite copies the log within a commit once it is long: that commit, and all that wait for it, then take many times as long as others. Here a thread
// with a connection of its own copies most of it; the writer copies what came meanwhile, a few pages, and begins the log anew with its next commit.
//
// Owns: the thread and its connection. Borrows: nothing; the writer's connection is handed in. Worker and threads: committed() on the writer's thread alone.
// Invariants: (1) a log that everybody has left is as long as `begin` and what is written during one copying; (2) a failure loses nothing: it is
//   logged, and tried again as many pages later.
// Limits: a reader that stays (a backup) lets the log grow until it ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <thread>

#include "headroom/base/error.h"
#include "headroom/sqlite/database.h"

namespace headroom::sqlite {

class Checkpointer {
 public:
  static constexpr std::uint32_t kBegin =
      10'000;  // pages: the longer, the more often each was written meanwhile
  static constexpr std::uint32_t kRest = 100;  // which the writer may copy itself

  // The writer is to be opened with Options{.wal_autocheckpoint_pages = 0}.
  [[nodiscard]] static Result<std::unique_ptr<Checkpointer>> open(const std::filesystem::path& path,
                                                                  std::uint32_t begin = kBegin);
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;
  ~Checkpointer();

  // After each commit of the writer.
  void committed(Database& writer);

 private:
  enum class State : int {
    idle,
    copying,
    copied,
    ending
  };  // an int: it is waited for by one futex

  Checkpointer(std::unique_ptr<Database> own, std::uint32_t begin);
  void run();
  void copy();

  std::unique_ptr<Database> own_;
  std::atomic<State> state_{State::idle};
  std::atomic<std::uint32_t> pages_{0};  // of the log
  const std::uint32_t begin_;
  std::uint32_t next_ = begin_;  // when it begins
  std::thread thread_;
};

}  // namespace headroom::sqlite
