// headroom/edge/cdn.h - tells the CDN in front what is invalidated here.
//
// Owns: what waits to be told, and the task that tells it. Borrows: the workers (its task runs on the first), the resolver.
// Worker and threads: invalidated() and status() from any thread, under a mutex of its own that is held for a look-up; all else from main's
//   thread, or the one that reloads.
// Invariants: (1) what is invalidated is told once it is in force here, so that the CDN fetches what is new; (2) it is told until the CDN has
//   taken it, or a wider purge has; of what it refuses, a tag becomes everything, and a URL that it cannot have is dropped; (3) no secret is logged or shown.
// Limits: `queue` items, beyond which everything is purged; the provider's pace; a pause between tries from 1 s, doubled up to 1 min, or what
//   Retry-After says up to 10 min; at the end kLastWords for what still waits.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "headroom/base/metrics.h"
#include "headroom/edge/cdn_provider.h"
#include "headroom/edge/status.h"
#include "headroom/net/interfaces.h"
#include "headroom/net/resolver.h"
#include "headroom/net/worker.h"

namespace headroom::edge {

class Cdn final : public cache::InvalidationWatcher {
 public:
  static constexpr Duration kLastWords = std::chrono::seconds(3);

  Cdn(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry);
  Cdn(const Cdn&) = delete;
  Cdn& operator=(const Cdn&) = delete;

  // From now on; null: nobody is told.
  void use(std::shared_ptr<const CdnSettings> settings);
  void start();
  // Tells what waits, for kLastWords at most, and ends. Once started, before the workers end.
  void stop();

  void invalidated(const cache::Invalidation& what) override;
  [[nodiscard]] CdnStatus status() const;
  // Nothing while no CDN is told.
  [[nodiscard]] std::optional<net::HealthReport> health() const;

 private:
  struct Bucket {
    double tokens = 0;
    TimePoint filled{};
    [[nodiscard]] Duration wait_for(double wanted, const CdnPace& pace, TimePoint now);
  };
  // A batch on its way, and what became of it last.
  struct Telling {
    PurgeBatch batch;
    std::string reference;
    unsigned failures = 0;
  };

  [[nodiscard]] net::Task<> run();
  [[nodiscard]] net::Task<> tell(PurgeBatch batch);
  [[nodiscard]] net::Task<> tell_halves(PurgeBatch batch);
  void end_telling();
  [[nodiscard]] net::Task<CdnVerdict> send(const CdnSettings& settings, const Telling& telling);
  // False: the group stops.
  [[nodiscard]] net::Task<bool> pause(Duration time);
  [[nodiscard]] std::optional<PurgeBatch> take(const CdnSettings& settings);
  [[nodiscard]] bool is_covered(const PurgeBatch& batch) const;
  void note(const PurgeBatch& batch, const CdnVerdict& verdict);
  [[nodiscard]] std::shared_ptr<const CdnSettings> settings() const;

  net::Workers& workers_;
  net::Resolver& resolver_;
  metrics::Counter& done_;
  metrics::Counter& later_;
  metrics::Counter& refused_;
  metrics::Counter& overflows_;
  std::array<metrics::Counter*, kPurgeKinds> told_{};
  metrics::GaugeHandle waiting_gauge_;

  mutable std::mutex mutex_;
  std::shared_ptr<const CdnSettings> settings_;
  PurgeQueue queue_;
  CdnStatus status_;
  bool telling_ = false;  // a batch is on its way
  std::atomic<bool> on_{false};
  std::atomic<bool> hurrying_{false};

  // Of the first worker.
  std::optional<net::TaskGroup> group_;
  std::optional<net::Event> woken_;
  Bucket requests_;
  Bucket files_;
};

}  // namespace headroom::edge
