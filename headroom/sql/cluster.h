// headroom/sql/cluster.h - the servers of one database: which of them is the primary, how far each replica has come, and who answers a read.
//
// Owns: one watching connection for each server, where there is more than one. Worker: the watch runs on worker 0; any worker chooses, by what
//   it left in atomic cells; what a worker knows of functions is its own copy.
// Invariants: (1) the primary is the server that is out of recovery on the highest timeline that any of them was ever seen on, and stays until
//   another one is; one that runs on as a primary on an older timeline is fenced: nobody is sent there; (2) a replica is
//   chosen only while it answers its watch, is on the primary's timeline, is behind by no more than max_lag, and has replayed what the
//   reader must see; (3) lag is measured by the log alone: the age of the oldest position of the primary that a replica has not replayed, so
//   an idle primary makes nobody late.
// Limits: kMostServers; a position each `replica_check` is remembered for a minute at most.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "headroom/link/positions.h"
#include "headroom/net/task_group.h"
#include "headroom/postgres/pool.h"
#include "headroom/sql/functions.h"

namespace headroom::sql {

struct ClusterOptions {
  Duration check = 50ms;
  Duration max_lag = 1s;
};

enum class Role : std::uint8_t { away, primary, replica };
[[nodiscard]] constexpr std::string_view name_of(Role role) {
  return role == Role::primary ? "primary" : role == Role::replica ? "replica" : "away";
}

// What SHOW REPLICAS says of a server.
struct ServerStatus {
  std::string address{};
  Role role = Role::away;
  bool is_primary = false;  // the one that gets writes
  bool usable = false;      // as a replica
  bool fenced = false;      // says that it is a primary, though another is
  std::uint64_t lsn = 0;
  std::uint64_t lag_bytes = 0;
  std::uint32_t timeline = 0;
  Duration lag{};
  std::uint64_t busy = 0, reads = 0;
  std::string error{};
};

// A replica as the settings name it: a URL, or "host:port" for the primary's user, password and database. Errc::invalid.
[[nodiscard]] Result<postgres::Target> replica_target(const std::string& text,
                                                      const postgres::Target& primary);

class Cluster {
 public:
  static constexpr std::size_t kMostServers = 16;

  // routes[0]: the primary's URL. `who` looks at a server: each route's own user, or the primary's.
  Cluster(net::Workers& workers, postgres::Means means, std::string name,
          std::vector<postgres::Route> routes, ClusterOptions options);
  ~Cluster();

  // From main's thread, once each. `changed`: called on worker 0 after another server became the primary, or one went away.
  void start(std::function<void()> changed);
  void stop();

  [[nodiscard]] bool alone() const { return servers_.size() == 1; }
  [[nodiscard]] std::size_t size() const { return servers_.size(); }
  [[nodiscard]] const postgres::Route& route(std::size_t server) const {
    return servers_[server]->route;
  }
  [[nodiscard]] std::size_t primary() const { return primary_.load(std::memory_order_relaxed); }
  // Whether writes may go to primary(): each server has been looked at once, or tried in vain; and it is not fenced. Else `changed` tells when.
  [[nodiscard]] bool ready() const { return ready_.load(std::memory_order_acquire); }
  // Those that run on as a primary beside another one.
  [[nodiscard]] std::vector<std::string> fenced() const;
  [[nodiscard]] bool answers(std::size_t server) const {
    return servers_[server]->role.load(std::memory_order_relaxed) != Role::away;
  }
  // 0: not known.
  [[nodiscard]] std::uint64_t system() const { return system_.load(std::memory_order_relaxed); }

  struct Choice {
    std::optional<std::size_t> server{};
    bool soon = false;  // none has come so far, but one may within kPatience
  };
  static constexpr Duration kPatience = 100ms;
  // The least busy replica that has `needs` (none: {}), those less behind first.
  [[nodiscard]] Choice choose(const link::Position& needs, Random& random) const;
  // Whether this replica has replayed as much, as far as is known.
  [[nodiscard]] bool has(std::size_t server, const link::Position& needs) const;
  // Whether it has all that the primary is known to have written.
  [[nodiscard]] bool is_abreast(std::size_t server) const;
  // A client's commit lies before this place.
  void wrote(const link::Position& position);
  // A connection to it failed: it is not chosen until its watch has had an answer.
  void failed(std::size_t server);
  // A read runs on it, has run.
  void begin(std::size_t server) { servers_[server]->busy.fetch_add(1, std::memory_order_relaxed); }
  void end(std::size_t server) { servers_[server]->busy.fetch_sub(1, std::memory_order_relaxed); }
  void count_read(std::size_t server) {
    servers_[server]->reads.fetch_add(1, std::memory_order_relaxed);
  }

  // The primary as it was last seen; none: not yet.
  [[nodiscard]] link::Position head() const;
  // The position that the primary told as `lsn` ("16/B374D848"); nothing: malformed, or not known whose it is.
  [[nodiscard]] std::optional<link::Position> position(std::size_t server,
                                                       std::string_view lsn) const;

  // Null until the catalogue has been read. On that worker.
  [[nodiscard]] const Functions* functions(const net::Worker& worker) const {
    return functions_[worker.index()].get();
  }
  // The schema has changed: the catalogue is read anew. Any worker.
  void schema_changed() { schema_changes_.fetch_add(1, std::memory_order_relaxed); }

  [[nodiscard]] std::vector<ServerStatus> status() const;

 private:
  struct One {
    postgres::Route route;
    std::atomic<Role> role{Role::away};
    std::atomic<bool> usable{false};
    std::atomic<std::uint64_t> lsn{0};
    std::atomic<std::uint32_t> timeline{0};
    std::atomic<std::int64_t> lag_ns{0};
    std::atomic<std::uint64_t> busy{0}, reads{0};
    std::atomic<bool> fenced{false};
    bool looked = false;  // of worker 0: once, or in vain
    mutable std::mutex mutex;
    std::string error;
  };
  struct Sample {
    TimePoint when;
    std::uint64_t lsn;
  };

  [[nodiscard]] net::Task<> watch(std::size_t server);
  [[nodiscard]] net::Task<Result<>> look(std::size_t server, postgres::Server& connection);
  [[nodiscard]] net::Task<> read_functions(postgres::Server& connection);
  void note(One& one, bool recovers, std::uint64_t lsn, std::uint32_t timeline);
  void note_primary(std::uint64_t lsn);
  [[nodiscard]] Duration lag_of(std::uint64_t lsn) const;
  void set_away(One& one, const Error& why);
  void set_role(One& one, Role role);
  void elect();
  void fence();
  void look_whether_ready(One& one);

  net::Workers& workers_;
  const postgres::Means means_;
  const std::string name_;
  const ClusterOptions options_;
  std::vector<std::unique_ptr<One>> servers_;
  std::atomic<std::size_t> primary_{0};
  std::atomic<std::uint64_t> system_{0};
  std::atomic<bool> ready_{false};
  std::atomic<std::uint32_t> written_timeline_{0};
  std::atomic<std::uint64_t> written_{0};  // by clients, as far as they have asked
  std::vector<std::shared_ptr<const Functions>> functions_;  // one a worker
  std::atomic<std::uint64_t> schema_changes_{1};

  // Of worker 0.
  std::optional<net::TaskGroup> group_;
  std::function<void()> changed_;
  std::deque<Sample> samples_;  // of the primary, where it moved
  std::uint32_t highest_ = 0;   // timeline of any of them
  std::uint64_t functions_as_of_ = 0;
  TimePoint functions_read_{};
};

}  // namespace headroom::sql
