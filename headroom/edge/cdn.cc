#include "headroom/edge/cdn.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/edge/cdn_client.h"
#include "headroom/edge/metrics.h"

namespace headroom::edge {
namespace {

constexpr Duration kFirstPause = 1s;
constexpr Duration kMostPause = 60s;
constexpr Duration kLook = 20ms;

Duration pause_after(unsigned failures, Random& random) {
  const Duration doubled =
      std::min<Duration>(kFirstPause * (1U << std::min(failures, 6U)), kMostPause);
  return std::chrono::duration_cast<Duration>(doubled * (0.75 + 0.5 * random.unit()));
}

}  // namespace

Cdn::Cdn(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry)
    : workers_(workers),
      resolver_(resolver),
      done_(registry.counter(kCdnCalls, {"done"})),
      later_(registry.counter(kCdnCalls, {"later"})),
      refused_(registry.counter(kCdnCalls, {"refused"})),
      overflows_(registry.counter(kCdnOverflows)),
      waiting_gauge_(registry.gauge(kCdnWaiting, {},
                                    [this] { return static_cast<double>(status().waiting); })) {
  for (std::size_t i = 0; i < kPurgeKinds; ++i)
    told_[i] = &registry.counter(kCdnPurges, {std::string(to_string(static_cast<PurgeKind>(i)))});
}

void Cdn::use(std::shared_ptr<const CdnSettings> settings) {
  const std::scoped_lock lock(mutex_);
  settings_ = std::move(settings);
  on_ = settings_ != nullptr;
  status_.provider = settings_ ? config::Value<CdnProvider>::show(settings_->options.provider) : "";
  if (!settings_) queue_ = {};
}

std::shared_ptr<const CdnSettings> Cdn::settings() const {
  const std::scoped_lock lock(mutex_);
  return settings_;
}

void Cdn::start() {
  workers_[0].run_and_wait([this] {
    group_.emplace(workers_[0]);
    woken_.emplace(*group_);
    HR_ASSERT(group_->spawn([this] { return run(); }));
  });
}

void Cdn::stop() {
  if (!group_) return;
  hurrying_ = true;
  workers_[0].run_and_wait([this] { woken_->set(); });
  for (const TimePoint due = Clock::now() + kLastWords; status().waiting > 0 && Clock::now() < due;)
    std::this_thread::sleep_for(kLook);
  if (const CdnStatus left = status(); left.waiting > 0) {
    log::warn("edge", "the CDN has not been told of {} invalidations: {}", left.waiting,
              left.last_error.empty() ? "no time is left" : left.last_error);
  }
  on_ = false;
  group_->stop_and_join();
  workers_[0].run_and_wait([this] {
    woken_.reset();
    group_.reset();
  });
}

void Cdn::invalidated(const cache::Invalidation& what) {
  if (!on_.load(std::memory_order_relaxed)) return;
  auto item = purge_item(what);
  if (!item) return;
  {
    const std::scoped_lock lock(mutex_);
    if (!settings_) return;
    const bool idle = queue_.empty() && !telling_;
    if (!queue_.add(std::move(*item), settings_->options.queue)) overflows_.at(0).add();
    status_.waiting = queue_.size() + (telling_ ? 1 : 0);
    if (!idle) return;
  }
  workers_[0].post([this] {
    if (woken_) woken_->set();
  });
}

CdnStatus Cdn::status() const {
  const std::scoped_lock lock(mutex_);
  CdnStatus now = status_;
  now.waiting = queue_.size() + (telling_ ? 1 : 0);
  return now;
}

std::optional<net::HealthReport> Cdn::health() const {
  const CdnStatus now = status();
  if (now.provider.empty()) return std::nullopt;
  using State = net::HealthReport::State;
  if (now.failures == 0) return net::HealthReport{"edge.cdn", State::ok, {}};
  return net::HealthReport{"edge.cdn", State::degraded,
                           "it does not take invalidations: " + now.last_error};
}

net::Task<bool> Cdn::pause(Duration time) {
  const TimePoint due = Clock::now() + time;
  while (!group_->stopped() && !hurrying_ && Clock::now() < due) (void)co_await woken_->wait(due);
  co_return !group_->stopped();
}

net::Task<> Cdn::run() {
  while (!group_->stopped()) {
    auto known = settings();
    if (known) {
      const bool waits = status().waiting > 0;
      if (waits) {
        const bool goes_on = co_await pause(known->options.delay);
        if (!goes_on) co_return;
        while (auto batch = take(*known)) {
          co_await tell(std::move(*batch));
          end_telling();
        }
        if (group_->stopped()) co_return;
        if (status().waiting > 0) continue;
      }
    }
    (void)co_await woken_->wait();
  }
}

std::optional<PurgeBatch> Cdn::take(const CdnSettings& settings) {
  const std::scoped_lock lock(mutex_);
  auto batch = queue_.take([&](PurgeKind kind) { return most_names(settings.options, kind); });
  telling_ = batch.has_value();
  return batch;
}

// Whether a wider purge waits, of which this batch is part.
bool Cdn::is_covered(const PurgeBatch& batch) const {
  const std::scoped_lock lock(mutex_);
  return queue_.has_everything() && batch.kind != PurgeKind::everything;
}

Duration Cdn::Bucket::wait_for(double wanted, const CdnPace& pace, TimePoint now) {
  tokens = filled == TimePoint{}
               ? pace.burst
               : std::min(pace.burst, tokens + seconds(elapsed(filled, now)) * pace.rate);
  filled = now;
  wanted = std::min(wanted, pace.burst);
  if (tokens < wanted)
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>((wanted - tokens) / pace.rate));
  tokens -= wanted;
  return {};
}

net::Task<> Cdn::tell(PurgeBatch batch) {
  Telling telling{std::move(batch), text::random_hex(16), 0};
  for (;;) {
    const auto known = settings();
    if (!known || group_->stopped() || is_covered(telling.batch)) break;
    const bool by_files =
        telling.batch.kind == PurgeKind::url && known->options.provider == CdnProvider::cloudflare;
    const double cost = by_files ? 2 * static_cast<double>(telling.batch.names.size()) : 1;
    const CdnPace pace = pace_of(known->options, telling.batch.kind);
    const Duration wait = (by_files ? files_ : requests_).wait_for(cost, pace, Clock::now());
    if (wait > Duration::zero() && !hurrying_) {
      const bool goes_on = co_await pause(wait);
      if (!goes_on) break;
      continue;
    }
    const CdnVerdict verdict = co_await send(*known, telling);
    note(telling.batch, verdict);
    if (verdict.kind == CdnVerdict::Kind::refused && telling.batch.names.size() > 1)
      co_return co_await tell_halves(std::move(telling.batch));
    if (verdict.kind != CdnVerdict::Kind::later) break;
    const Duration rest =
        std::max(verdict.wait, pause_after(telling.failures++, group_->worker().random()));
    if (hurrying_) {
      auto slept = co_await net::sleep(*group_, kLook);
      if (!slept) break;
      continue;
    }
    const bool goes_on = co_await pause(rest);
    if (!goes_on) break;
  }
}

// One name that the CDN does not take must not cost the others: who may write URLs into a batch could empty the CDN's cache with it.
net::Task<> Cdn::tell_halves(PurgeBatch batch) {
  const auto half = batch.names.begin() + static_cast<std::ptrdiff_t>(batch.names.size() / 2);
  PurgeBatch second{batch.kind,
                    {std::make_move_iterator(half), std::make_move_iterator(batch.names.end())}};
  batch.names.erase(half, batch.names.end());
  co_await tell(std::move(batch));
  co_await tell(std::move(second));
}

void Cdn::end_telling() {
  const std::scoped_lock lock(mutex_);
  telling_ = false;
}

net::Task<CdnVerdict> Cdn::send(const CdnSettings& known, const Telling& telling) {
  const CdnRequest request = cdn_request(known, telling.batch, unix_seconds(), telling.reference);
  auto answer = co_await call_cdn(*group_, resolver_, known, request);
  if (!answer) co_return CdnVerdict{CdnVerdict::Kind::later, answer.error().message, {}};
  co_return judge(known.options, *answer);
}

void Cdn::note(const PurgeBatch& batch, const CdnVerdict& verdict) {
  using Kind = CdnVerdict::Kind;
  const std::size_t names = batch.kind == PurgeKind::everything ? 1 : batch.names.size();
  (verdict.kind == Kind::done    ? done_
   : verdict.kind == Kind::later ? later_
                                 : refused_)
      .at(0)
      .add();
  const std::scoped_lock lock(mutex_);
  ++status_.calls;
  if (verdict.kind == Kind::done) {
    status_.failures = 0;
    status_.told += names;
    status_.last_told = unix_seconds();
    told_[static_cast<std::size_t>(batch.kind)]->at(0).add(names);
    return;
  }
  status_.last_error = verdict.why;
  if (verdict.kind == Kind::later) {
    if (status_.failures++ == 0)
      log::warn("edge", "the CDN has not taken {} invalidations ({}) yet: {}", names,
                to_string(batch.kind), verdict.why);
    return;
  }
  if (names > 1) return;  // asked one by one
  ++status_.refused;
  log::warn("edge", "the CDN refuses an invalidation ({}): {}", to_string(batch.kind), verdict.why);
  // A page that it cannot have is dropped; of a tag nothing is known.
  if (batch.kind == PurgeKind::tag) (void)queue_.add({PurgeKind::everything, {}}, 1);
}

}  // namespace headroom::edge
