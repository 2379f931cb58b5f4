// headroom/server/audit.h - who changed what over the admin API, with which result: kept in state_dir/audit.db.
//
// Owns: the file, and what could not be written yet. Worker and threads: any thread that may wait for the disk, never a worker; one lock, as several
//   threads change things.
// Invariants: (1) an entry is on disk before the answer to what it tells of is sent, unless the disk refuses: then it waits here and is tried again
//   with the next one and each second; (2) no body, query, token or password is ever part of an entry; (3) what was refused or failed never pushes out
//   what was done.
// Limits: kDone entries of what was done and kRefused of what was not, the oldest go first; kWaiting wait for the disk; texts of kLongest bytes.
#pragma once

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
  unsigned status = 0;  // as HTTP has them; 400 and above: refused or failed
};

class Audit final : public net::Health {
 public:
  static constexpr std::int64_t kDone = 10'000;
  static constexpr std::int64_t kRefused = 1'000;
  static constexpr std::size_t kWaiting = 1'000;
  static constexpr std::size_t kLongest = 300;

  explicit Audit(std::filesystem::path file) : file_(std::move(file)) {}

  void note(AuditEntry entry);
  // Writes what waits, if anything does.
  void retry();
  // The newest first; `before` an id, 0: from the newest on.
  [[nodiscard]] Result<std::vector<AuditEntry>> newest(std::size_t most, std::int64_t before = 0);

  [[nodiscard]] std::vector<net::HealthReport> health() const override;

 private:
  [[nodiscard]] Result<> open();
  [[nodiscard]] Result<> write();
  void write_or_say();

  const std::filesystem::path file_;
  std::mutex mutex_;
  std::unique_ptr<sqlite::Database> database_;
  std::deque<AuditEntry> waiting_;
  std::uint64_t lost_ = 0;
  std::atomic<bool> failing_{false};
};

[[nodiscard]] std::filesystem::path audit_path(const std::filesystem::path& state_dir);

}  // namespace headroom::server
