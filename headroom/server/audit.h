// headroom/server/audit.h - who changed what over the admin API, with which result: kept in state_dir/audit.db.
//
// Owns: the file, and what is not written yet. Worker and threads: note_later() from any thread, also a worker; all else from threads that may wait
//   for the disk. One lock of what waits, held for no longer than it takes to add to it, and one of the file.
// Invariants: (1) what note() was given is on disk when it returns, unless the disk refuses: then it waits here and is tried again with the next
//   one and each second; all that waits is written in one transaction; (2) no body, query, token or password is ever part of an entry; (3) neither
//   what was refused or failed nor who signs in and out, however often, pushes out what was done, nor who fails to sign in what others were refused; (4) what is lost is counted and said, in the log and here.
// Limits: of each kind, what was done (kDone), sign-ins and sign-outs, sign-ins that failed (kSignIns each) and what else was not done (kRefused), the
//   oldest go first; the same refusal again within kRepeated is a count on its entry, and of one who is refused more than kRefusedOfOne kinds of things
//   in that time the rest are a count of their own, so that nobody hides what they tried behind what they try next; kWaiting of
//   each kind wait; texts of kLongest bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "headroom/net/interfaces.h"
#include "headroom/sqlite/database.h"

namespace headroom::server {

struct AuditEntry {
  std::int64_t id = 0;
  std::int64_t at = 0;  // seconds since 1970
  std::string who{};    // "" when nobody could be told: a sign-in that failed
  std::string role{};
  std::string from{};  // an address; "" from this machine's own command line or signals
  std::string method{};
  std::string path{};
  unsigned status = 0;     // as HTTP has them; 400 and above: refused or failed
  std::int64_t times = 1;  // so often within kRepeated of `at`: of refusals
};

class Audit final : public net::Health {
 public:
  static constexpr std::int64_t kDone = 10'000;
  static constexpr std::int64_t kSignIns = 1'000;
  static constexpr std::int64_t kRefused = 1'000;
  static constexpr std::int64_t kRefusedOfOne = 100;
  static constexpr std::int64_t kRepeated = 3'600;  // seconds
  static constexpr std::size_t kWaiting = 1'000;
  static constexpr std::size_t kLongest = 300;

  explicit Audit(std::filesystem::path file) : file_(std::move(file)) {}

  void note(AuditEntry entry);
  // Waits for no disk. Somebody must call write_waiting() soon: `ask_for_it` says that nobody has been asked to yet.
  enum class Write : std::uint8_t { ask_for_it, is_asked_for };
  [[nodiscard]] Write note_later(AuditEntry entry);
  // Writes what waits, if anything does.
  void write_waiting();
  // The newest first; `before` an id, 0: from the newest on.
  [[nodiscard]] Result<std::vector<AuditEntry>> newest(std::size_t most, std::int64_t before = 0);
  // Since the start.
  [[nodiscard]] std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

  [[nodiscard]] std::vector<net::HealthReport> health() const override;

 private:
  static constexpr std::size_t kKinds = 4;
  [[nodiscard]] static std::size_t kind_of(const AuditEntry& entry);
  [[nodiscard]] Result<> open();
  [[nodiscard]] Result<> store(const AuditEntry& entry);
  [[nodiscard]] Result<> write(const std::deque<AuditEntry>& entries, std::uint64_t lost);
  void put_back(std::deque<AuditEntry> entries, std::uint64_t lost);
  void drop_oldest(std::size_t kind);

  const std::filesystem::path file_;
  std::mutex file_mutex_;  // of database_; taken before waiting_mutex_
  std::unique_ptr<sqlite::Database> database_;
  std::mutex waiting_mutex_;  // of what stands below
  std::deque<AuditEntry> waiting_;
  std::array<std::size_t, kKinds> waiting_of_{};  // by kind
  std::uint64_t lost_unsaid_ = 0;
  bool write_asked_ = false;
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<bool> failing_{false};
};

[[nodiscard]] std::filesystem::path audit_path(const std::filesystem::path& state_dir);

}  // namespace headroom::server
