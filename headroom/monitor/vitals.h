// headroom/monitor/vitals.h - whether this process lives, has started and may be sent requests.
//
// Owns: the stage of the process's life. Borrows: the workers, the Health of rooms, which must outlive it.
// Worker and threads: every question from any thread, without I/O or locks; add() before started(), from main's thread.
// Invariants: (1) live() asks the workers' heartbeats and nothing else: a liveness probe that asks an engine restarts the whole fleet when
//   the engine is down; (2) degraded is ready: who sends us elsewhere for it would send everybody elsewhere.
// Limits: a worker is stuck when its heartbeat is older than kStuck.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/monitor/prometheus.h"
#include "headroom/net/interfaces.h"
#include "headroom/net/worker.h"

namespace headroom::monitor {

// A question's answer: yes, or why not; fit for everybody, so without what a component says of itself (addresses, users): that is in reports().
struct Verdict {
  bool yes = true;
  std::string reason;
};

enum class Stage : unsigned char { starting, serving, draining };
[[nodiscard]] std::string_view to_string(Stage stage);
[[nodiscard]] std::string_view to_string(net::HealthReport::State state);

class Vitals {
 public:
  static constexpr Duration kStuck = 5s;

  explicit Vitals(net::Workers& workers) : workers_(workers) {}

  void add(const net::Health& room) { rooms_.push_back(&room); }
  void enter(Stage stage) { stage_.store(stage, std::memory_order_relaxed); }
  [[nodiscard]] Stage stage() const { return stage_.load(std::memory_order_relaxed); }

  [[nodiscard]] Verdict live(TimePoint now = Clock::now()) const;
  [[nodiscard]] Verdict ready() const;
  [[nodiscard]] Verdict started() const;
  // Of every room, the worst first.
  [[nodiscard]] std::vector<net::HealthReport> reports() const;
  // The worst state of all.
  [[nodiscard]] net::HealthReport::State state() const;

  // `headroom_monitor_*` of the above.
  [[nodiscard]] std::vector<SampleFamily> samples(TimePoint now = Clock::now()) const;

 private:
  net::Workers& workers_;
  std::vector<const net::Health*> rooms_;
  std::atomic<Stage> stage_{Stage::starting};
};

}  // namespace headroom::monitor
