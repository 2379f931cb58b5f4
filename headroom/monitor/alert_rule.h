// headroom/monitor/alert_rule.h - one alert rule: what it watches, and how it goes from well to pending, firing and resolved.
//
// A rule has one state whatever its severity: a warning that becomes critical is one alert that changes, not two.
//
//   ok -> pending    the value is beyond a threshold
//   pending -> ok    it came back before `for` had passed: nobody is told
//   pending -> firing  beyond it for all of `for`: fired, with the worst severity that has held for so long
//   firing -> firing   another severity for all of `for` (worse), or for all of `keep_firing` (better): changed
//   firing -> ok     within `clear` for all of `keep_firing`: resolved
//
// Owns: a value of its state. Worker and threads: pure; one thread at a time.
// Invariants: (1) fired and resolved alternate; (2) one that became bad kFlaps times within kFlapTime resolves only after kFlapRest of calm.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "headroom/monitor/options.h"

namespace headroom::monitor {

[[nodiscard]] std::string_view to_string(Severity severity);

enum class AlertState : std::uint8_t { ok, pending, firing, no_data };
[[nodiscard]] std::string_view to_string(AlertState state);

enum class AlertChange : std::uint8_t { fired, changed, resolved };
[[nodiscard]] std::string_view to_string(AlertChange change);

class AlertWatch {
 public:
  static constexpr std::size_t kFlaps = 3;
  static constexpr std::int64_t kFlapTime = 1800;
  static constexpr std::int64_t kFlapRest = 600;

  // What lives through a restart.
  struct Memory {
    AlertState state = AlertState::ok;
    Severity severity = Severity::none;
    std::int64_t since = 0;           // of the state
    std::int64_t beyond_since = 0;    // beyond a threshold without a break; 0: it is not
    std::int64_t critical_since = 0;  // the same, of the critical one
    Severity wanted = Severity::none;
    std::int64_t wanted_since = 0;
    std::int64_t began = 0;             // when it last fired
    std::vector<std::int64_t> flaps{};  // when it became bad lately, also while it fired
  };

  explicit AlertWatch(const AlertOptions& rule) : rule_(&rule) {}

  // A value at a moment, or that there is none.
  [[nodiscard]] std::optional<AlertChange> see(std::int64_t now, std::optional<double> value);

  [[nodiscard]] AlertState state() const { return memory_.state; }
  [[nodiscard]] Severity severity() const { return memory_.severity; }
  [[nodiscard]] std::int64_t since() const { return memory_.since; }
  [[nodiscard]] const Memory& memory() const { return memory_; }
  void remember(Memory memory) { memory_ = std::move(memory); }

 private:
  [[nodiscard]] Severity beyond(double value) const;
  [[nodiscard]] bool within_clear(double value) const;
  void enter(AlertState state, std::int64_t now);
  [[nodiscard]] std::optional<AlertChange> see_firing(std::int64_t now, Severity wanted,
                                                      bool clear);

  const AlertOptions* rule_;
  Memory memory_;
};

// The rules with the seeds' thresholds, which are in force unless a rule of the same name is written.
[[nodiscard]] const std::vector<AlertOptions>& standard_alerts();
// Those in force: the standard ones that are not replaced or turned off, then those written.
[[nodiscard]] std::vector<AlertOptions> alerts_in_force(const AlertingOptions& options);

// "share of headroom_edge_all_errors_total in headroom_edge_all_requests_total over 5m above 5".
[[nodiscard]] std::string expression_of(const AlertOptions& rule);

}  // namespace headroom::monitor
