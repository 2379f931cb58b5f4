// headroom/sql/admin.h - database `headroom`: the proxy answers about itself, in PgBouncer's dialect.
//
// Owns: nothing; serves one session in its coroutine. Worker: the session's; figures of other workers are gathered by a thread beside.
// Invariants: (1) who may look asks SHOW; what changes something needs [sql] admins (CVE-2026-6667); (2) simple queries only.
// Limits: commands of 4 KiB.
#pragma once

#include <span>
#include <string_view>

#include "headroom/sql/session.h"
#include "headroom/sql/sql.h"

namespace headroom::sql {

// Every client of the room, every query of its cache. Not on a worker.
[[nodiscard]] std::vector<ClientStatus> all_clients(Room& room);
[[nodiscard]] std::vector<CacheLine> all_cache_lines(Room& room);
// Why it was not answered from the cache, the last time.
[[nodiscard]] std::string state_of(const CacheLine& line);
[[nodiscard]] CacheReport cache_report(Room& room, std::size_t most);

class Admin {
 public:
  explicit Admin(Session& session) : s_(session) {}
  [[nodiscard]] net::Task<> serve();

 private:
  using Cells = std::vector<std::optional<std::string>>;
  [[nodiscard]] net::Task<> answer(std::string command);
  void show(std::string_view what, const std::vector<ClientStatus>& clients,
            const std::vector<CacheLine>& lines);
  void show_clients(const std::vector<ClientStatus>& clients);
  void show_pins(const std::vector<ClientStatus>& clients);
  void show_servers(const std::vector<ClientStatus>& clients);
  void show_pools(const std::vector<ClientStatus>& clients);
  void show_stats();
  void show_replicas();
  void show_databases();
  void show_config();
  void show_cache(const std::vector<CacheLine>& lines);
  void change(std::string_view verb, std::string_view name);
  [[nodiscard]] bool kill(std::uint32_t pid);
  void columns(std::span<const std::string_view> names);
  void row(Cells cells);
  void error(std::string_view sqlstate, std::string message);

  Session& s_;
  std::size_t rows_ = 0;
};

}  // namespace headroom::sql
