// headroom/monitor/alerts.h - the rules in force, looked at every few seconds; silences, history, and what is still to be told to whom.
//
// Owns: each rule's watch, the file state_dir/alerts.db. Borrows: the trends.
// Worker and threads: all on the trends thread, but status(), enabled() and health(), which any thread may ask.
// Invariants: (1) what has fired is in the file before anybody is told, so a restart neither fires again nor forgets to resolve; (2) an alert that a
//   firing one of its depends_on explains, or that is silenced, is watched and kept in the history, but told to nobody; if it still fires when
//   that ends, or once there is a webhook, it is told then, and nothing that was not told is told to be over; (3) what is to be told stays in the outbox until somebody says that it was; (4) what the file
//   could not take is written with the next tick that it can.
// Limits: 1000 lines of history; an outbox of 1000, the oldest go first.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "headroom/monitor/alert_rule.h"
#include "headroom/monitor/trends.h"
#include "headroom/net/interfaces.h"
#include "headroom/sqlite/database.h"

namespace headroom::monitor {

struct AlertStatus {
  AlertOptions rule;
  AlertState state = AlertState::ok;
  Severity severity = Severity::none;
  std::int64_t since = 0;
  std::optional<double> value;
  std::int64_t silenced_until = 0;  // 0: it is not
  std::string muted_by;             // the firing alert that explains it
};

struct AlertEvent {
  std::int64_t id = 0;
  std::int64_t at = 0;
  std::string name;
  AlertChange change{};
  Severity severity = Severity::none;
  std::optional<double> value;
  std::int64_t began = 0;  // when it fired
  std::string summary;
};

// The value a rule looks at, of [.., now]: nothing when too little has happened.
[[nodiscard]] std::optional<double> value_of(const AlertOptions& rule, Trends& trends,
                                             std::int64_t now);

class Alerts final : public net::Health {
 public:
  Alerts(Trends& trends, const AlertingOptions& options);

  // A file that cannot be opened is tried again with each tick.
  [[nodiscard]] Result<> open(const std::filesystem::path& path);
  void close();
  // Other rules and routes from now on. A rule of the same name goes on with its state and silence; one that is gone while it fires is resolved.
  void configure(const AlertingOptions& options);
  [[nodiscard]] bool enabled() const { return enabled_.load(std::memory_order_relaxed); }
  // Looks at the rules, when `interval` has passed.
  void tick(std::int64_t now);

  [[nodiscard]] std::vector<AlertStatus> status() const;
  [[nodiscard]] Result<std::vector<AlertEvent>> history(std::size_t most);
  // `until` 0 ends it. Errc::not_found: no such rule.
  [[nodiscard]] Result<> silence(std::string_view name, std::int64_t until);

  // What has not been told yet, the oldest first.
  [[nodiscard]] Result<std::vector<AlertEvent>> outbox(std::size_t most);
  [[nodiscard]] Result<> told(std::int64_t up_to_id);

  [[nodiscard]] std::vector<net::HealthReport> health() const override;

 private:
  struct Watched {
    AlertOptions rule;
    AlertWatch watch;
    std::optional<double> value;
    std::int64_t silenced_until = 0;
    std::int64_t next = 0;           // when it is looked at again: long windows move slowly
    Severity told = Severity::none;  // what it is as far as others know
    bool unwritten = false;          // the file could not take it: again with the next tick
    std::optional<AlertChange> unwritten_change{};
    explicit Watched(AlertOptions given) : rule(std::move(given)), watch(rule) {}
  };
  [[nodiscard]] Result<> load();
  [[nodiscard]] Result<> load_rows(std::vector<std::unique_ptr<Watched>>& gone);
  void adopt();
  // False: it could not be written, and is to be tried again.
  [[nodiscard]] bool retire(Watched& each, std::int64_t now);
  void retire_gone(std::int64_t now);
  void failed(const Error& error);
  [[nodiscard]] bool nobody_hears_of(const Watched& each, std::int64_t now) const;
  [[nodiscard]] std::string muted_by(const Watched& each) const;
  void look(Watched& each, std::int64_t now);
  void keep(Watched& each, std::int64_t now, std::optional<AlertChange> change);
  [[nodiscard]] Result<> store(const Watched& each);
  [[nodiscard]] Result<> store_event(const Watched& each, std::int64_t now, AlertChange change,
                                     bool tell);
  void publish();

  Trends& trends_;
  AlertingOptions options_;
  std::atomic<bool> enabled_;
  std::filesystem::path path_;
  std::vector<std::unique_ptr<Watched>> rules_;
  std::vector<std::unique_ptr<Watched>> gone_;  // their rules are no more, the file has them yet
  std::unique_ptr<sqlite::Database> database_;
  std::int64_t next_ = 0;
  std::int64_t last_tick_ = 0;
  std::atomic<bool> failing_{false};
  mutable std::mutex mutex_;  // of status_, copied once an interval
  std::vector<AlertStatus> status_;
};

}  // namespace headroom::monitor
